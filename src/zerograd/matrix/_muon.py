import math

import torch

from zerograd.algebra import matrix_rule

LEAST = 8
"""Rows and columns of a matrix in a stack: smaller ones get rows and columns of zeros, which stay zero."""

ADJUSTMENTS = ("original", "match_rms_adamw")


@matrix_rule(lists=True)
def muon(
    g, p, momentum_buffer, *, lr, weight_decay=0.1, momentum=0.95, nesterov=True,
    ns_coefficients=(3.4445, -4.7750, 2.0315), eps=1e-7, ns_steps=5, adjust_lr_fn=None,
):  # fmt: skip
    """Muon: a momentum whose singular values are all brought near 1, for the matrices of hidden layers.

    Algorithm
        B   = momentum * B + (1 - momentum) * g            momentum_buffer
        D   = (1 - momentum) * g + momentum * B with nesterov, else B
        X   = D / ||D||, the narrow side first, in bfloat16
        A   = X X^T,  X = a X + (b A + c A A) X            ns_steps times, with a, b, c = ns_coefficients
        p   = (1 - lr * weight_decay) * p
        p   = p - lr * s * X                               s by adjust_lr_fn and the shape of the matrix
    Hyper-parameters
        lr: 0.02 with adjust_lr_fn "original"; with "match_rms_adamw" what AdamW would take, such as 1e-3.
        weight_decay: decoupled; 0.1 in long training, 0 in short.
        momentum: memory of the mean gradient; 0.95 is rarely changed.
        nesterov: look one step ahead; better in practice.
        ns_coefficients: of the Newton-Schulz polynomial; these rise steeply at 0 and end between 0.7 and 1.2.
        eps: the smallest norm that a matrix is divided by.
        ns_steps: iterations; 5, and less than 100.
        adjust_lr_fn: None or "original": s = sqrt(max(1, rows / columns)); "match_rms_adamw": s = 0.2 * sqrt(max(rows,
            columns)), the size of AdamW's steps.
    When to use
        Hidden layers of transformers and other networks, where it needs fewer steps than AdamW. Only for matrices: give
        biases, norms, embeddings and the last layer to AdamW, in a second optimizer.
    Reference
        Jordan and others 2024, kellerjordan.github.io/posts/muon; Liu and others 2025, arXiv 2502.16982.
    Example
        >>> import torch, zerograd as optim
        >>> _ = torch.manual_seed(0)
        >>> model, loss_fn = torch.nn.Linear(4, 3, bias=False), torch.nn.MSELoss()
        >>> optimizer = optim.Muon(model.parameters())
        >>> inputs, targets, losses = torch.randn(32, 4), torch.randn(32, 3), []
        >>> for _ in range(20):
        ...     optimizer.zero_grad()
        ...     loss = loss_fn(model(inputs), targets)
        ...     loss.backward()
        ...     optimizer.step()
        ...     losses.append(loss.item())
        >>> losses[-1] < losses[0]
        True
    """
    torch._foreach_lerp_(momentum_buffer, g, 1 - momentum)
    d = torch._foreach_lerp(g, momentum_buffer, momentum) if nesterov else momentum_buffer
    x = [matrix.to(torch.bfloat16, copy=True) for matrix in d]
    size = torch._foreach_norm(x)
    torch._foreach_clamp_min_(size, eps)
    torch._foreach_div_(x, size)
    if weight_decay:
        for matrix in p:  # in a list, torch would round the factor to 16 bits if p has them, often to 1
            matrix.mul_(1 - lr * weight_decay)
    for (rows, columns), places in by_shape(x).items():
        s = math.sqrt(max(1, rows / columns))
        if adjust_lr_fn == "match_rms_adamw":
            s = 0.2 * math.sqrt(max(rows, columns))
        step = orthogonalized([x[at] for at in places], ns_coefficients, ns_steps)
        torch._foreach_add_([p[at] for at in places], step, alpha=-lr * s)


def by_shape(matrices):
    """The places of the matrices of each shape."""
    found = {}
    for at, matrix in enumerate(matrices):
        found.setdefault(matrix.shape, []).append(at)
    return found


def orthogonalized(x, coefficients, steps):
    """Matrices of one shape and norm 1, with their singular values brought near 1 (Newton and Schulz's iteration).

    A matrix that is alone goes through torch's own operations. Products of a stack have the same bits but where torch
    multiplies small matrices by another loop than a stack of them, which adds up the same products in another order.
    """
    a, b, c = coefficients
    rows, columns = x[0].shape
    alone, least, most = len(x) == 1, min(rows, columns), max(rows, columns)
    x = x[0] if alone else torch.stack(x)
    x = x.mT if rows > columns else x
    if not alone and least < LEAST:
        x = torch.nn.functional.pad(x, (0, max(0, LEAST - most), 0, LEAST - least))
    product, multiplied = (torch.mm, torch.addmm) if alone else (torch.bmm, torch.baddbmm)
    gram, polynomial, turns = None, None, [None, None]  # memory that is written again, from the first use on
    for i in range(steps):
        gram = product(x, x.mT, out=gram)
        polynomial = multiplied(gram, gram, gram, beta=b, alpha=c, out=polynomial)
        x = turns[i % 2] = multiplied(x, polynomial, x, beta=a, out=turns[i % 2])
    if not alone and least < LEAST:
        x = x[..., :least, :most]
    x = x.mT if rows > columns else x
    return [x] if alone else x.unbind()


@muon.requires("Learning rate should be >= 0 but is: {lr}")
def _(lr):
    return lr >= 0


@muon.requires("momentum should be >= 0 but is: {momentum}")
def _(momentum):
    return momentum >= 0


@muon.requires("weight decay should be >= 0 but is: {weight_decay}")
def _(weight_decay):
    return weight_decay >= 0


@muon.requires(
    "Adjust learning rate function {adjust_lr_fn} is not supported; it is one of None, " + str(ADJUSTMENTS)[1:]
)
def _(adjust_lr_fn):
    return adjust_lr_fn is None or adjust_lr_fn in ADJUSTMENTS


@muon.requires("Number of steps must be less than 100 for computational efficiency, and a whole number; not {ns_steps}")
def _(ns_steps):
    return isinstance(ns_steps, int) and 0 <= ns_steps < 100


@muon.requires_parameters("{optimizer} only supports 2D parameters whereas we found a parameter with size: {size}")
def _(p):
    return p.ndim == 2
