from zerograd.algebra import lerp, start, view, wrapper


@wrapper
def ema(move, g, p, average=start("p"), *, ema_decay=0.999):
    """a moving average of the weights: beside training and without a say in it.

    Algorithm
        a   = ema_decay * a + (1 - ema_decay) * p          after the step; a starts as p
    Hyper-parameters
        ema_decay: memory, about 1 / (1 - ema_decay) steps: 0.999 to 0.9999.
    When to use
        Wherever evaluation is noisy (generative models, small batches). ``optimizer.eval()`` puts the average into the
        parameters, ``optimizer.train()`` takes it out again.
    Reference
        Polyak and Juditsky 1992; Tarvainen and Valpola 2017, arXiv 1703.01780.
    """
    p = move(g, p)
    return p, lerp(average, p, 1 - ema_decay)


@ema.requires("Invalid ema_decay value: {ema_decay}; it must be from 0 to 1")
def _(ema_decay):
    return 0 <= ema_decay <= 1


@view
def ema_average(average):
    """The average of the weights."""
    return average


ema.view = ema_average
