from zerograd.algebra import lerp, rule, sign


@rule
def lion(g, exp_avg, *, betas=(0.9, 0.99)):
    """Lion: the sign of a momentum; every element moves by lr.

    Algorithm
        u   = sign(betas[0] * m + (1 - betas[0]) * g)
        m   = betas[1] * m + (1 - betas[1]) * g            exp_avg
        p   = p - lr * u
    Hyper-parameters
        lr: 3 to 10 times smaller than AdamW's.
        betas: the first mixes the gradient into the step, the second is the momentum's memory;
            (0.95, 0.98) if unstable.
    When to use
        Large batches, vision and language models, half of Adam's memory; give weight_decay 3 to 10 times AdamW's.
        Not for small batches, where the sign is mostly noise.
    Reference
        Chen and others 2023, arXiv 2302.06675.
    """
    # Written from the average's side: in float32 a weight near 1, such as betas[1], would lose the digits of 1 - it.
    return sign(lerp(exp_avg, g, 1 - betas[0])), lerp(exp_avg, g, 1 - betas[1])
