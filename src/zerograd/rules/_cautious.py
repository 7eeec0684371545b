from zerograd.algebra import maximum, mean, where, wrapper


@wrapper
def cautious(direction, g):
    """cautious steps: elements whose step disagrees with the gradient's sign stand still; the others move more.

    Algorithm
        a   = 1 where u * g > 0, else 0                    after the rule
        u   = u * a / max(mean(a), 1e-3)                   mean per tensor
    Hyper-parameters
        none of its own.
    When to use
        Around any rule with momentum; it costs one more pass over the tensors.
    Reference
        Liang, Chen, Liu, Liu 2024, arXiv 2411.16085.
    """
    u = direction(g)
    agree = where(u * g > 0, 1, 0)
    return u * agree / maximum(mean(agree), 1e-3)
