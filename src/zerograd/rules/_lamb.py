from zerograd.algebra import lerp, norm, rule, sqrt, where


@rule
def lamb(g, p, exp_avg, exp_avg_sq, *, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01, always_adapt=False, t):
    """LAMB: Adam's direction, rescaled in each tensor to the size of its weights.

    Algorithm
        m   = betas[0] * m + (1 - betas[0]) * g            exp_avg
        v   = betas[1] * v + (1 - betas[1]) * g^2          exp_avg_sq
        u   = m / (1 - betas[0]^t) / (sqrt(v) / sqrt(1 - betas[1]^t) + eps) + weight_decay * p
        r   = ||p|| / ||u||, or 1 if either is 0           per tensor
        p   = p - lr * r * u
    Hyper-parameters
        lr: relative to the size of the weights: 1e-3 to 1e-2, growing with the root of the batch size.
        betas, eps: as Adam's.
        weight_decay: inside the rescaled direction.
        always_adapt: rescale also where weight_decay is 0 (usually biases and norms, which are left alone).
    When to use
        Very large batches (thousands and more). Clip the global gradient norm at 1, as the paper does.
    Reference
        You and others 2020, arXiv 1904.00962.
    """
    m = lerp(exp_avg, g, 1 - betas[0])
    v = betas[1] * exp_avg_sq + (1 - betas[1]) * g * g
    u = m / (1 - betas[0] ** t) / (sqrt(v) / sqrt(1 - betas[1] ** t) + eps) + weight_decay * p
    if weight_decay or always_adapt:
        w, d = norm(p), norm(u)
        u = where((w > 0) & (d > 0), w / d, 1) * u
    return u, m, v
