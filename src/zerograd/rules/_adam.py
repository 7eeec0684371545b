from zerograd.algebra import lerp, maximum, rule, sqrt


@rule
def adam(g, exp_avg, exp_avg_sq, max_exp_avg_sq, *, betas=(0.9, 0.999), eps=1e-8, amsgrad=False, t):
    """Adam: each element's step is its mean gradient over the root of its mean squared gradient.

    Algorithm
        m   = betas[0] * m + (1 - betas[0]) * g            exp_avg
        v   = betas[1] * v + (1 - betas[1]) * g^2          exp_avg_sq
        x   = max(x, v) with amsgrad, else v               max_exp_avg_sq
        u   = m / (1 - betas[0]^t) / (sqrt(x) / sqrt(1 - betas[1]^t) + eps)
        p   = p - lr * u
    Hyper-parameters
        lr: 1e-3 for small networks, 1e-4 to 6e-4 for transformers with a warm-up of a few hundred steps.
        betas: memory of the mean and of the square; (0.9, 0.95) is common for large transformers, where 0.999 forgets
            too slowly.
        eps: keeps the step of an element with a tiny gradient small; raise it (1e-4 and more) if training spikes.
        amsgrad: never lets the square's average fall; rarely better in practice.
    When to use
        The default for transformers, embeddings and anything whose gradients differ in scale. Not where memory is
        short (two numbers a parameter), nor where plain SGD is known to generalise better.
    Reference
        Kingma and Ba 2015, arXiv 1412.6980; Reddi, Kale, Kumar 2018 (amsgrad), arXiv 1904.09237.
    """
    m = lerp(exp_avg, g, 1 - betas[0])
    v = v_max = betas[1] * exp_avg_sq + (1 - betas[1]) * g * g
    if amsgrad:
        v_max = max_exp_avg_sq = maximum(max_exp_avg_sq, v)
    m_hat, root = m / (1 - betas[0] ** t), sqrt(v_max) / sqrt(1 - betas[1] ** t)
    return m_hat / (root + eps), m, v, max_exp_avg_sq
