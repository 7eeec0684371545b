"""The policies of weight decay: wrappers with the hyper-parameter ``weight_decay``. Their order is the nesting.

Each is a policy too: ``AdamW(params, weight_decay=cautious_decay(0.1))`` puts it where the class's own policy sits.
"""

from zerograd.algebra import where, wrapper


@wrapper
def l2(move, g, p, *, weight_decay=0.0):
    """an L2 penalty: the decay is part of the gradient, so the rule rescales it like the rest.

    Algorithm
        g   = g + weight_decay * p                         before the rule
    Hyper-parameters
        weight_decay: factor of the penalty weight_decay / 2 * ||p||^2; 1e-4 to 5e-4 for SGD on images.
    When to use
        L2 suits SGD; with adaptive rules decoupled decay is nearly always better.
    Reference
        Krogh and Hertz 1991.
    """
    return move(g + weight_decay * p, p)


@wrapper
def decoupled(move, g, p, *, lr, weight_decay=0.0):
    """decoupled weight decay: the weights shrink by lr * weight_decay before the step.

    Algorithm
        p   = (1 - lr * weight_decay) * p                  before the step
    Hyper-parameters
        weight_decay: 0.01 to 0.1 for transformers; leave biases and norms out by a group with 0.
    When to use
        Decoupled decay suits adaptive rules; with SGD, L2 is usual.
    Reference
        Loshchilov and Hutter 2019, arXiv 1711.05101.
    """
    return move(g, (1 - lr * weight_decay) * p)


@wrapper
def torch_decay(move, g, p, *, lr, weight_decay=0.0, decoupled_weight_decay=False):
    """L2 or decoupled weight decay: chosen by torch's own flag.

    Algorithm
        g   = g + weight_decay * p                         before the rule or, with decoupled_weight_decay,
        p   = (1 - lr * weight_decay) * p                  before the step
    Hyper-parameters
        weight_decay: factor of the decay; 0 for none.
        decoupled_weight_decay: shrink the weights instead of adding to the gradient.
    When to use
        For adaptive rules set decoupled_weight_decay if weights shall decay at all.
    Reference
        Loshchilov and Hutter 2019, arXiv 1711.05101.
    """
    if decoupled_weight_decay:
        return move(g, (1 - lr * weight_decay) * p)
    return move(g + weight_decay * p, p)


@wrapper
def cautious_decay(direction, g, p, *, weight_decay=0.0):
    """cautious weight decay: only those weights decay whose step goes towards zero anyway.

    Algorithm
        u   = u + weight_decay * p where u * p > 0         after the rule
    Hyper-parameters
        weight_decay: as decoupled decay's, often somewhat larger.
    When to use
        Cautious decay stands in for decoupled decay; it does not pull against the loss.
    Reference
        Chen and others 2025, "Cautious Weight Decay", arXiv 2510.12402.
    """
    u = direction(g)
    return u + where(u * p > 0, weight_decay * p, 0)
