"""Keras's update rules and its clipping, where they differ from torch's."""

from zerograd.algebra import clamp, lerp, maximum, norm, rule, sqrt, wrapper


@rule
def velocity_sgd(g, p, velocity, *, lr, momentum=0.0, nesterov=False):
    """SGD with a velocity: the learning rate is part of what the momentum remembers.

    Algorithm
        v   = momentum * v - lr * g                        velocity
        p   = p + v, or with nesterov p + momentum * v - lr * g
    Reference
        Sutskever, Martens, Dahl and Hinton 2013, "On the importance of initialization and momentum".
    """
    if not momentum:
        return p - lr * g
    velocity = momentum * velocity - lr * g
    return p + momentum * velocity - lr * g if nesterov else p + velocity, velocity


@rule
def inside_rmsprop(
    g, p, square_avg, momentum_buffer, grad_avg, *, lr, alpha=0.9, eps=1e-7, momentum=0.0, centered=False
):
    """RMSprop with epsilon inside the root and the learning rate inside the momentum.

    Algorithm
        v   = alpha * v + (1 - alpha) * g^2                square_avg
        a   = alpha * a + (1 - alpha) * g                  grad_avg, with centered
        u   = lr * g / sqrt(v - a^2 + eps with centered, else v + eps)
        b   = momentum * b + u;  u = b                     momentum_buffer, with momentum
        p   = p - u
    Reference
        Tieleman and Hinton 2012, Coursera lecture 6.5.
    """
    square_avg = alpha * square_avg + (1 - alpha) * g * g
    spread = square_avg
    if centered:
        grad_avg = lerp(grad_avg, g, 1 - alpha)
        spread = square_avg - grad_avg * grad_avg
    u = lr * g / sqrt(spread + eps)
    if momentum:
        u = momentum_buffer = momentum * momentum_buffer + u
    return p - u, square_avg, momentum_buffer, grad_avg


@rule
def hat_adam(g, exp_avg, exp_avg_sq, max_exp_avg_sq, *, betas=(0.9, 0.999), eps=1e-7, amsgrad=False, t):
    """Adam with "epsilon hat": epsilon is added to the root before the bias is corrected.

    Algorithm
        m   = betas[0] * m + (1 - betas[0]) * g            exp_avg
        v   = betas[1] * v + (1 - betas[1]) * g^2          exp_avg_sq
        x   = max(x, v) with amsgrad, else v               max_exp_avg_sq
        u   = sqrt(1 - betas[1]^t) / (1 - betas[0]^t) * m / (sqrt(x) + eps)
        p   = p - lr * u
    Reference
        Kingma and Ba 2015, the note before section 2.1, arXiv 1412.6980.
    """
    m = lerp(exp_avg, g, 1 - betas[0])
    v = v_max = betas[1] * exp_avg_sq + (1 - betas[1]) * g * g
    if amsgrad:
        v_max = max_exp_avg_sq = maximum(max_exp_avg_sq, v)
    correction = sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
    return correction * m / (sqrt(v_max) + eps), m, v, max_exp_avg_sq


@wrapper
def keras_clipping(move, g, p, *, clipnorm=0.0, clipvalue=0.0, global_clipnorm=0.0):
    """Keras's three ways to clip, 0 for none.

    Algorithm
        g   = g * c / max(norm(g), c)                      clipnorm: each tensor by itself
        g   = clamp(g, -c, c)                              clipvalue
        g   = g * c / max(norm of all gradients, c)        global_clipnorm
    Reference
        Pascanu, Mikolov and Bengio 2013, arXiv 1211.5063.
    """
    if clipnorm:
        g = g * (clipnorm / maximum(norm(g), clipnorm))
    if clipvalue:
        g = clamp(g, -clipvalue, clipvalue)
    if global_clipnorm:
        g = g * (global_clipnorm / maximum(norm(g, per="all"), global_clipnorm))
    return move(g, p)
