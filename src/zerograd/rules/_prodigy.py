from zerograd.algebra import abs, maximum, minimum, rule, scalar, sqrt, start, total, where


@rule
def prodigy(
    g,
    p,
    exp_avg,
    exp_avg_sq,
    s,
    p0=start("p"),
    k=scalar(0, per="all"),
    d=scalar("d0", per="all"),
    d_max=scalar("d0", per="all"),
    d_numerator=scalar(0.0, per="all"),
    *,
    lr,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.0,
    beta3=None,
    d0=1e-6,
    d_coef=1.0,
    growth_rate=float("inf"),
    use_bias_correction=False,
    safeguard_warmup=False,
):
    """Prodigy: Adam that estimates its learning rate from how far the weights have to travel.

    Algorithm
        e   = d * lr;  with use_bias_correction also * sqrt(1 - betas[1]^k) / (1 - betas[0]^k)
        m   = betas[0] * m + d * (1 - betas[0]) * g        exp_avg
        v   = betas[1] * v + d^2 * (1 - betas[1]) * g^2    exp_avg_sq
        s   = beta3 * s + d / d0 * e * g
        N   = beta3 * N + sum(d / d0 * e * g * (p0 - p))   d_numerator, over all parameters
        h   = d_coef * N / sum(|s|)
        d'  = max(d, h) while d = d0;  d_max = max(d_max, h);  d' = min(d_max, d' * growth_rate)
        p   = (1 - weight_decay * e) * p - e * m / (sqrt(v) + d' * eps)
        d   = d'
    Hyper-parameters
        lr: 1.0, a factor on the estimate; schedulers (cosine) may lower it. Equal in all groups.
        betas, eps: as Adam's.
        weight_decay: decoupled.
        beta3: memory of the estimate; None is sqrt(betas[1]).
        d0: the first guess; too small costs a few hundred steps, too large can diverge.
        d_coef: factor on the estimate, the first thing to change if it is too cautious (2) or too bold (0.5).
        growth_rate: how much d may grow in one step.
        use_bias_correction: as Adam's.
        safeguard_warmup: leaves lr out of the estimate's denominator, for runs with a warm-up.
    When to use
        When no learning rate is known: fine-tuning, many small runs. Twice the memory of Adam; look at d in the groups.
    Reference
        Mishchenko and Defazio 2023, arXiv 2306.06101.
    """
    beta3 = sqrt(betas[1]) if beta3 is None else beta3
    k = k + 1
    dlr = d * lr * (sqrt(1 - betas[1] ** k) / (1 - betas[0] ** k) if use_bias_correction else 1)
    m = betas[0] * exp_avg + d * (1 - betas[0]) * g
    v = betas[1] * exp_avg_sq + d * d * (1 - betas[1]) * g * g
    s = beta3 * s + d / d0 * (d if safeguard_warmup else dlr) * g
    d_numerator = beta3 * d_numerator + total(d / d0 * dlr * g * (p0 - p), per="all")
    denominator = total(abs(s), per="all")
    d_hat = where(denominator > 0, d_coef * d_numerator / denominator, d)
    d_max = maximum(d_max, d_hat)
    d_new = where(denominator > 0, minimum(d_max, where(d == d0, maximum(d, d_hat), d) * growth_rate), d)
    p = p * (1 - weight_decay * dlr) - dlr * m / (sqrt(v) + d_new * eps)
    return p, m, v, s, p0, k, d_new, d_max, d_numerator


@prodigy.requires("Invalid d0 value: {d0}; it must be above 0")
def _(d0):
    return d0 > 0
