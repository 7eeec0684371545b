from zerograd.algebra import lerp, start, where, wrapper


@wrapper
def lookahead(move, g, p, slow=start("p"), *, every=5, alpha=0.5, t):
    """lookahead: every few steps the weights go back part of the way to where they came from.

    Algorithm
        slow = slow + alpha * (p - slow);  p = slow        after every ``every``-th step
    Hyper-parameters
        every: steps between two returns, 5 to 10.
        alpha: how much of the way is kept.
    When to use
        To calm a fast rule with little tuning; costs one more number a parameter.
    Reference
        Zhang, Lucas, Hinton, Ba 2019, arXiv 1907.08610.
    """
    p = move(g, p)
    slow = where(t % every == 0, lerp(slow, p, alpha), slow)
    return where(t % every == 0, slow, p), slow


@lookahead.requires("Invalid every value: {every}; it counts steps, so it must be a whole number above 0")
def _(every):
    return every >= 1 and every == int(every)
