from zerograd.algebra import clamp, rule, sign, start, where


@rule
def rprop(g, p, prev, step_size=start("lr"), *, lr, etas=(0.5, 1.2), step_sizes=(1e-6, 50.0)):
    """Rprop: steps by the gradient's sign, with a step size of its own for each element.

    Algorithm
        a   = g_t * g_(t-1)                                g_(t-1) is prev
        s   = clamp(s * etas[1] if a > 0, s * etas[0] if a < 0, else s; step_sizes)     step_size, at first lr
        g   = 0 where a < 0
        p   = p - sign(g) * s
    Hyper-parameters
        lr: the first step size; it is not read again, so schedulers do nothing.
        etas: factors by which the step size shrinks when the sign turns and grows when it stays.
        step_sizes: the smallest and the largest step size.
    When to use
        Full-batch training of small networks, where it is fast and needs no tuning. Not with mini-batches: the sign
        of a noisy gradient turns at random.
    Reference
        Riedmiller and Braun 1993; this variant (iRprop-) Igel and Hüsken 2003.
    """
    agree = g * prev
    factor = where(agree > 0, etas[1], where(agree < 0, etas[0], 1))
    step_size = clamp(step_size * factor, step_sizes[0], step_sizes[1])
    g = where(agree < 0, 0, g)
    return p - sign(g) * step_size, g, step_size


@rprop.requires("Invalid eta values: {etas[0]}, {etas[1]}; they must be 0 < etas[0] < 1 < etas[1]")
def _(etas):
    return 0 < etas[0] < 1 < etas[1]
