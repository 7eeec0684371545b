from zerograd.algebra import abs, lerp, maximum, rule


@rule
def adamax(g, exp_avg, exp_inf, *, betas=(0.9, 0.999), eps=1e-8, t):
    """Adamax: Adam with the largest recent gradient in place of the root mean square.

    Algorithm
        m   = betas[0] * m + (1 - betas[0]) * g            exp_avg
        n   = max(betas[1] * n, |g| + eps)                 exp_inf
        u   = m / (1 - betas[0]^t) / n
        p   = p - lr * u
    Hyper-parameters
        lr: 2e-3.
        betas: memory of the mean and of the maximum.
        eps: keeps the division finite where every gradient was 0.
    When to use
        Sparse or heavy-tailed gradients (embeddings), where one large gradient should calm an element for long.
    Reference
        Kingma and Ba 2015, section 7, arXiv 1412.6980.
    """
    exp_avg = lerp(exp_avg, g, 1 - betas[0])
    exp_inf = maximum(betas[1] * exp_inf, abs(g) + eps)
    return exp_avg / (1 - betas[0] ** t) / exp_inf, exp_avg, exp_inf
