from zerograd.algebra import lerp, rule, sqrt


@rule
def rmsprop(g, square_avg, momentum_buffer, grad_avg, *, alpha=0.99, eps=1e-8, momentum=0.0, centered=False):
    """RMSprop: the gradient over the root of its running mean square.

    Algorithm
        v   = alpha * v + (1 - alpha) * g^2                square_avg
        a   = alpha * a + (1 - alpha) * g                  grad_avg, with centered
        d   = sqrt(v - a^2 with centered, else v) + eps
        u   = g / d
        b   = momentum * b + u;  u = b                     momentum_buffer, with momentum
        p   = p - lr * u
    Hyper-parameters
        lr: 1e-2 or less; 1e-3 is safer.
        alpha: memory of the mean square.
        eps: stands outside the root (TensorFlow puts it inside).
        momentum: on the scaled step, not on the gradient.
        centered: divides by the standard deviation; with a nearly constant gradient v - a^2 can round below 0
            and give nan, as in torch.
    When to use
        Recurrent networks and reinforcement learning, where published settings often name it. Else Adam.
    Reference
        Tieleman and Hinton 2012, Coursera lecture 6.5; Graves 2013 (centered), arXiv 1308.0850.
    """
    square_avg = alpha * square_avg + (1 - alpha) * g * g
    if centered:
        grad_avg = lerp(grad_avg, g, 1 - alpha)
    u = g / (sqrt(square_avg - grad_avg * grad_avg if centered else square_avg) + eps)
    if momentum:
        u = momentum_buffer = momentum * momentum_buffer + u
    return u, square_avg, momentum_buffer, grad_avg


@rmsprop.requires("Invalid alpha value: {alpha}; it must be 0 or more")
def _(alpha):
    return alpha >= 0
