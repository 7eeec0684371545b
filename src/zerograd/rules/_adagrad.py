from zerograd.algebra import rule, sqrt, start


@rule
def adagrad(g, sum=start("initial_accumulator_value"), *, lr_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, t):
    """Adagrad: the gradient over the root of the sum of all its squares so far.

    Algorithm
        s   = s + g^2                                      sum
        u   = g / (sqrt(s) + eps) / (1 + (t - 1) * lr_decay)
        p   = p - lr * u
    Hyper-parameters
        lr: 1e-2; it can be larger than Adam's, for the rate of every element only falls.
        lr_decay: lowers the rate further, as 1 / (1 + (t - 1) * lr_decay).
        initial_accumulator_value: what the sum starts with; 0.1 tames the first steps.
        eps: keeps the division finite where every gradient was 0.
    When to use
        Convex problems and sparse features (word counts, recommendation), also with sparse gradients. Not for long
        training of deep networks: the rate falls for ever.
    Reference
        Duchi, Hazan, Singer 2011, JMLR 12.
    """
    sum = sum + g * g
    return g / (sqrt(sum) + eps) / (1 + (t - 1) * lr_decay), sum


@adagrad.requires("Invalid lr_decay value: {lr_decay}; it must be 0 or more")
def _(lr_decay):
    return lr_decay >= 0


@adagrad.requires("Invalid initial_accumulator_value value: {initial_accumulator_value}; it must be 0 or more")
def _(initial_accumulator_value):
    return initial_accumulator_value >= 0
