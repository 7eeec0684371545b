from zerograd.algebra import rule, sqrt


@rule
def adadelta(g, square_avg, acc_delta, *, rho=0.9, eps=1e-6):
    """Adadelta: the gradient scaled by the ratio of recent steps to recent gradients, so that units cancel.

    Algorithm
        v   = rho * v + (1 - rho) * g^2                    square_avg
        u   = sqrt(d + eps) / sqrt(v + eps) * g
        d   = rho * d + (1 - rho) * u^2                    acc_delta
        p   = p - lr * u
    Hyper-parameters
        lr: 1.0; the method finds its own scale.
        rho: memory of both averages.
        eps: also sets the size of the very first steps, sqrt(eps) times the gradient's sign.
    When to use
        When there is no time to tune a learning rate and slow progress is acceptable.
    Reference
        Zeiler 2012, arXiv 1212.5701.
    """
    square_avg = rho * square_avg + (1 - rho) * g * g
    u = sqrt(acc_delta + eps) / sqrt(square_avg + eps) * g
    return u, square_avg, rho * acc_delta + (1 - rho) * u * u


@adadelta.requires("Invalid rho value: {rho}; it must be from 0 to 1")
def _(rho):
    return 0 <= rho <= 1
