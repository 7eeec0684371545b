from zerograd.algebra import lerp, rule, sqrt, where


@rule
def radam(g, exp_avg, exp_avg_sq, *, betas=(0.9, 0.999), eps=1e-8, t):
    """RAdam: Adam that waits with the adaptive rate until it is known well enough, a warm-up built in.

    Algorithm
        m       = betas[0] * m + (1 - betas[0]) * g        exp_avg
        v       = betas[1] * v + (1 - betas[1]) * g^2      exp_avg_sq
        rho_inf = 2 / (1 - betas[1]) - 1
        rho     = rho_inf - 2 * t * betas[1]^t / (1 - betas[1]^t)
        r       = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
        a       = r * sqrt(1 - betas[1]^t) / (sqrt(v) + eps)     if rho > 5, else 1
        u       = m / (1 - betas[0]^t) * a
        p       = p - lr * u
    Hyper-parameters
        lr: as Adam's, without a warm-up of your own.
        betas: as Adam's; betas[1] decides how many first steps are plain momentum (five at 0.999).
        eps: as Adam's; it stands beside the uncorrected root.
    When to use
        Where Adam needs a warm-up and you would rather not tune one. With a warm-up schedule Adam does as well.
    Reference
        Liu, Jiang, He, Chen, Liu, Gao, Han 2020, arXiv 1908.03265.
    """
    m = lerp(exp_avg, g, 1 - betas[0])
    v = betas[1] * exp_avg_sq + (1 - betas[1]) * g * g
    bias_correction2 = 1 - betas[1] ** t
    rho_inf = 2 / (1 - betas[1]) - 1
    rho = rho_inf - 2 * t * betas[1] ** t / bias_correction2
    r = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
    adaptive = where(rho > 5, r * sqrt(bias_correction2) / (sqrt(v) + eps), 1)
    return m / (1 - betas[0] ** t) * adaptive, m, v
