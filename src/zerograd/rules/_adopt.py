from zerograd.algebra import clamp, lerp, maximum, rule, sqrt, where


@rule
def adopt(g, exp_avg, exp_avg_sq, *, betas=(0.9, 0.9999), eps=1e-6, t):
    """ADOPT: Adam that divides by the square known before this gradient, so that it converges with any betas[1].

    Algorithm
        v_1 = g_1^2, no step at t = 1                      exp_avg_sq
        n   = clamp(g / max(sqrt(v_(t-1)), eps), -(t-1)^0.25, (t-1)^0.25)
        m   = betas[0] * m + (1 - betas[0]) * n            exp_avg
        v_t = betas[1] * v_(t-1) + (1 - betas[1]) * g^2
        p   = p - lr * m
    Hyper-parameters
        lr: as Adam's, 1e-3.
        betas: 0.9999 for the square works here, where Adam would need 0.999 or less.
        eps: the smallest root that is divided by.
    When to use
        Where Adam is unstable or its betas[1] must be tuned; it costs the same.
    Reference
        Taniguchi and others 2024, arXiv 2411.02853.
    """
    limit = (t - 1) ** 0.25  # 0 at t = 1: the first step only sets v
    n = clamp(g / maximum(sqrt(exp_avg_sq), eps), -limit, limit)
    m = lerp(exp_avg, n, 1 - betas[0])
    beta2 = where(t == 1, 0, betas[1])
    return m, m, beta2 * exp_avg_sq + (1 - beta2) * g * g
