from zerograd.algebra import lerp, rule, sqrt


@rule
def sparse_adam(g, exp_avg, exp_avg_sq, *, betas=(0.9, 0.999), eps=1e-8, t):
    """SparseAdam: Adam on the rows of a table that a sparse gradient touches; all others stand still.

    Algorithm
        m   = betas[0] * m + (1 - betas[0]) * g            exp_avg, in the rows of the gradient
        v   = betas[1] * v + (1 - betas[1]) * g^2          exp_avg_sq, in the rows of the gradient
        u   = sqrt(1 - betas[1]^t) / (1 - betas[0]^t) * m / (sqrt(v) + eps)
        p   = p - lr * u                                   t counts the steps of the whole table
    Hyper-parameters
        lr: 1e-3; tables of embeddings bear more than the rest of a network.
        betas: memory of the mean and of the square. A row's memory fades only in the steps that touch it.
        eps: keeps the step of an element with a tiny gradient small; here it is not corrected for t.
    When to use
        Embeddings with ``sparse=True``, where a batch touches few of many rows. Gradients have to be sparse: the rest
        of the network needs an optimizer of its own.
    Reference
        Kingma and Ba 2015, arXiv 1412.6980; the lazy form is torch's, 2017.
    Example
        >>> import torch, zerograd as optim
        >>> _ = torch.manual_seed(0)
        >>> model, loss_fn = torch.nn.Embedding(10, 4, sparse=True), torch.nn.MSELoss()
        >>> optimizer = optim.SparseAdam(model.parameters())
        >>> inputs, targets, losses = torch.tensor([1, 2, 2, 7]), torch.randn(4, 4), []
        >>> for _ in range(20):
        ...     optimizer.zero_grad()
        ...     loss = loss_fn(model(inputs), targets)
        ...     loss.backward()
        ...     optimizer.step()
        ...     losses.append(loss.item())
        >>> losses[-1] < losses[0]
        True
    """
    m = lerp(exp_avg, g, 1 - betas[0])
    v = lerp(exp_avg_sq, g * g, 1 - betas[1])
    return sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t) * m / (sqrt(v) + eps), m, v


@sparse_adam.requires("Invalid learning rate: {lr}")
def _(lr):
    return lr > 0


@sparse_adam.requires("Invalid epsilon value: {eps}")
def _(eps):
    return eps > 0


@sparse_adam.requires_parameters("Sparse params at indices {indices}: {optimizer} requires dense parameter tensors")
def _(p):
    return not p.is_sparse


@sparse_adam.requires_parameters("Complex params at indices {indices}: {optimizer} does not support complex parameters")
def _(p):
    return not p.is_complex()
