from zerograd.algebra import lerp, rule, scalar, sqrt


@rule
def nadam(g, exp_avg, exp_avg_sq, mu_product=scalar(1.0), *, betas=(0.9, 0.999), eps=1e-8, momentum_decay=4e-3, t):
    """NAdam: Adam whose mean gradient looks one step ahead, as Nesterov's momentum does.

    Algorithm
        mu_t = betas[0] * (1 - 0.5 * 0.96^(t * momentum_decay))
        P    = P * mu_t                                    mu_product
        m    = betas[0] * m + (1 - betas[0]) * g           exp_avg
        v    = betas[1] * v + (1 - betas[1]) * g^2         exp_avg_sq
        n    = (1 - mu_t) / (1 - P) * g + mu_(t+1) / (1 - P * mu_(t+1)) * m
        u    = n / (sqrt(v) / sqrt(1 - betas[1]^t) + eps)
        p    = p - lr * u
    Hyper-parameters
        lr: 2e-3; otherwise as Adam's.
        betas, eps: as Adam's.
        momentum_decay: how fast the momentum rises from half of betas[0] to betas[0]; 4e-3.
    When to use
        Where Adam serves and the first few hundred steps matter. On long runs the two seldom differ.
    Reference
        Dozat 2016, "Incorporating Nesterov Momentum into Adam".
    """
    mu, mu_next = (betas[0] * (1 - 0.5 * 0.96 ** (s * momentum_decay)) for s in (t, t + 1))
    mu_product = mu_product * mu
    m = lerp(exp_avg, g, 1 - betas[0])
    v = betas[1] * exp_avg_sq + (1 - betas[1]) * g * g
    n = (1 - mu) / (1 - mu_product) * g + mu_next / (1 - mu_product * mu_next) * m
    return n / (sqrt(v) / sqrt(1 - betas[1] ** t) + eps), m, v, mu_product


@nadam.requires("Invalid momentum_decay value: {momentum_decay}; it must be 0 or more")
def _(momentum_decay):
    return momentum_decay >= 0
