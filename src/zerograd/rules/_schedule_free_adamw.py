from zerograd.algebra import lerp, maximum, rule, scalar, sqrt, start, view, where


@rule
def schedule_free_adamw(
    g,
    p,
    z=start("p"),
    exp_avg_sq=0.0,
    k=scalar(0, per="group"),
    lr_max=scalar(0.0, per="group"),
    weight_sum=scalar(0.0, per="group"),
    *,
    lr,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.0,
    warmup_steps=0,
    r=0.0,
    weight_lr_power=2.0,
):
    """Schedule-free AdamW: an average of the iterates takes the place of a learning-rate schedule.

    Algorithm
        k    = k + 1
        lr_t = lr * min(1, k / warmup_steps)
        w    = k^r * max(lr_1 .. lr_t)^weight_lr_power;  c = w / sum of all w
        v    = betas[1] * v + (1 - betas[1]) * g^2         exp_avg_sq; g is taken at y, which p holds in training
        n    = g / (sqrt(v) / sqrt(1 - betas[1]^k) + eps) + weight_decay * y
        y    = (1 - c) * y + c * z + lr_t * (betas[0] * (1 - c) - 1) * n
        z    = z - lr_t * n
        x    = y + (1 - 1 / betas[0]) * (z - y)            the weights to evaluate and to save
    Hyper-parameters
        lr: 1 to 10 times what AdamW would get with a schedule; no scheduler is needed.
        betas: the first is the weight of the average in y, 0.9 to 0.98; the second as Adam's.
        eps: as Adam's.
        weight_decay: as AdamW's.
        warmup_steps: linear warm-up, a few hundred to a few thousand steps.
        r, weight_lr_power: how much more late iterates count in the average.
    When to use
        When the length of training is not known, or a schedule is a nuisance. Call ``optimizer.eval()`` before
        evaluating or saving weights and ``optimizer.train()`` before going on.
    Reference
        Defazio and others 2024, arXiv 2405.15682.
    """
    k = k + 1
    lr_t = lr * where(k < warmup_steps, k / warmup_steps, 1)
    lr_max = maximum(lr_max, lr_t)
    weight = k**r * lr_max**weight_lr_power
    weight_sum = weight_sum + weight
    c = where(weight_sum > 0, weight / weight_sum, 0)
    v = betas[1] * exp_avg_sq + (1 - betas[1]) * g * g
    n = g / (sqrt(v) / sqrt(1 - betas[1] ** k) + eps) + weight_decay * p
    y = lerp(p, z, c) + lr_t * (betas[0] * (1 - c) - 1) * n
    return y, z - lr_t * n, v, k, lr_max, weight_sum


@schedule_free_adamw.requires("Invalid warmup_steps value: {warmup_steps}; it must be 0 or more")
def _(warmup_steps):
    return warmup_steps >= 0


@schedule_free_adamw.requires("Invalid beta parameter at index 0: {betas[0]}; it must be above 0")
def _(betas):
    return betas[0] > 0


@view
def schedule_free_average(p, z, *, betas):
    """What to evaluate and to save: x, while p holds y."""
    return lerp(p, z, 1 - 1 / betas[0])


schedule_free_adamw.view = schedule_free_average
