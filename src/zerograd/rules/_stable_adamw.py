from zerograd.algebra import lerp, maximum, mean, rule, sqrt


@rule
def stable_adamw(g, p, exp_avg, exp_avg_sq, *, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.01, t):
    """StableAdamW: AdamW that slows a whole tensor down when its gradient outruns what the square has seen.

    Algorithm
        b_i = 1 - (1 - betas[i]) / (1 - betas[i]^t)        corrects the bias
        m   = b_0 * m + (1 - b_0) * g                      exp_avg
        v   = b_1 * v + (1 - b_1) * g^2                    exp_avg_sq
        rms = sqrt(mean(g^2 / max(v, eps^2)))              per tensor
        p   = p - lr / max(1, rms) * (m / (sqrt(v) + eps) + weight_decay * p)
    Hyper-parameters
        lr: as AdamW's.
        betas: 0.99 for the square.
        eps: as Adam's, and the smallest root in rms.
        weight_decay: 0.01; slowed down together with the step.
    When to use
        Training with loss spikes (low precision, large vision and language models), instead of gradient clipping.
    Reference
        Wortsman and others 2023, arXiv 2304.13013.
    """
    b1, b2 = (1 - (1 - b) / (1 - b**t) for b in betas)  # debiased
    m = lerp(exp_avg, g, 1 - b1)
    v = b2 * exp_avg_sq + (1 - b2) * g * g
    ratio = g / maximum(sqrt(v), eps)
    rms = sqrt(mean(ratio * ratio))
    return (m / (sqrt(v) + eps) + weight_decay * p) / maximum(1, rms), m, v
