from zerograd.algebra import rule, where


@rule
def sgd(g, momentum_buffer, *, momentum=0.0, dampening=0.0, nesterov=False, first):
    """Stochastic gradient descent, with momentum if wanted.

    Algorithm
        b_1 = g_1
        b_t = momentum * b_(t-1) + (1 - dampening) * g_t
        u   = g                       without momentum
              b                       with momentum
              g + momentum * b        with nesterov
        p   = p - lr * u
    Hyper-parameters
        lr: 0.1 for convolutional networks with momentum 0.9, lowered in steps or along a cosine; there is no default
            that suits all problems.
        momentum: 0.9 is usual; the step then sums about 1 / (1 - momentum) gradients, so lower lr with it.
        dampening: share of the new gradient that is left out; 0 almost always.
        nesterov: looks ahead along the momentum; needs momentum > 0 and dampening = 0.
    When to use
        Convolutional networks and everything that is well scaled, where it often generalises best and needs the
        least memory. Not for transformers or embeddings, whose gradients differ in scale from layer to layer.
    Reference
        Robbins and Monro 1951; Polyak 1964 (momentum); Sutskever, Martens, Dahl, Hinton 2013 (this form of Nesterov's).
    """
    if not momentum:
        return g
    momentum_buffer = momentum * momentum_buffer + where(first, 1, 1 - dampening) * g
    return g + momentum * momentum_buffer if nesterov else momentum_buffer, momentum_buffer


@sgd.requires("Nesterov momentum requires a momentum and zero dampening")
def _(nesterov, momentum, dampening):
    return not nesterov or (momentum > 0 and dampening == 0)
