from zerograd.algebra import norm, where, wrapper


@wrapper
def trust_ratio(direction, g, p):
    """a trust ratio: each tensor's direction is rescaled to the size of its weights.

    Algorithm
        u   = u * ||p|| / ||u||, unless either is 0        after the rule, per tensor
    Hyper-parameters
        none of its own.
    When to use
        Large batches. LAMB is this around Adam with the decay inside.
    Reference
        You, Gitman, Ginsburg 2017 (LARS), arXiv 1708.03888.
    """
    u = direction(g)
    w, d = norm(p), norm(u)
    return where((w > 0) & (d > 0), w / d, 1) * u
