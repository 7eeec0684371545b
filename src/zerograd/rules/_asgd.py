from zerograd.algebra import lerp, maximum, rule, scalar


@rule
def asgd(g, p, eta=scalar("lr"), mu=scalar(1.0), ax=0.0, *, lr, lambd=1e-4, alpha=0.75, t0=1e6, t):
    """ASGD: SGD with a falling rate that also keeps the average of the weights.

    Algorithm
        p     = (1 - lambd * eta) * p - eta * g
        ax    = ax + mu * (p - ax)                         the average
        eta   = lr / (1 + lambd * lr * t)^alpha            for the next step
        mu    = 1 / max(1, t - t0)                         for the next step
    Hyper-parameters
        lr: the first rate; a change by a scheduler acts one step late, because eta is computed for the next step.
        lambd: decay of the weights and of the rate.
        alpha: power with which the rate falls.
        t0: the step at which averaging starts; until then ax is a copy of the weights.
    When to use
        Convex problems with noise, where the average converges at the best rate. For networks see ema and
        ScheduleFreeAdamW, which average without the fixed schedule.
    Reference
        Polyak and Juditsky 1992, SIAM J. Control Optim. 30; Bottou's implementation, 2010.
    """
    p = (1 - lambd * eta) * p - eta * g
    ax = lerp(ax, p, mu)
    return p, lr / (1 + lambd * lr * t) ** alpha, 1 / maximum(1, t - t0), ax
