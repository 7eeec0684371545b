import math

import torch

from zerograd.algebra import matrix_rule, part

LARGE = 16_384
"""Elements of a stack from which a pass over them costs more than to see whether it is needed."""


@matrix_rule
def adafactor(
    g, p, row_var=part("rows"), col_var=part("columns"), variance=part("vector"), *, lr, beta2_decay=-0.8,
    eps=(None, 1e-3), d=1.0, weight_decay=0.0, t, dtype,
):  # fmt: skip
    """Adafactor: Adam's square as a row times a column, and steps in proportion to the weights.

    Algorithm
        b   = 1 - t^beta2_decay
        a   = max(eps[1], RMS(p)) * min(lr, 1 / sqrt(t))
        p   = (1 - lr * weight_decay) * p
        R   = b * R + (1 - b) * mean of g^2 in each row    row_var
        C   = b * C + (1 - b) * mean of g^2 in each column col_var
        V   = R C / max(mean(R), eps[0]);  of vectors V = b * V + (1 - b) * g^2        variance
        u   = g / sqrt(max(V, eps[0]^2))
        p   = p - a * u / max(1, RMS(u) / d)
    Hyper-parameters
        lr: the largest step relative to the weights; it falls as 1 / sqrt(t) once that is smaller.
        beta2_decay: how the memory of the squares grows: b goes from 0 to 1.
        eps: the least root of a square, None for the dtype's own precision; and the least size of a tensor's weights.
        d: steps of a greater RMS than this are scaled down.
        weight_decay: decoupled, with lr itself.
    When to use
        Large models where memory is short: a matrix keeps a row and a column, no momentum. Where memory allows it AdamW
        trains better.
    Reference
        Shazeer and Stern 2018, arXiv 1804.04235; with torch's use of lr and eps.
    """
    least = torch.finfo(dtype).eps if eps[0] is None else eps[0]
    fresh = t**beta2_decay  # 1 - b
    a = at_least(rms(p), eps[1]) * min(lr, 1 / math.sqrt(t))
    if weight_decay:
        p.mul_(1 - lr * weight_decay)
    square = g * g
    if variance is not None:
        variance.lerp_(square, fresh)
        u = torch.clamp(variance, min=least**2, out=square).rsqrt_().mul_(g)
    else:
        rows, columns = g.shape[-2:]
        remember(row_var, square.sum(-1, True), fresh, columns)
        remember(col_var, square.sum(-2, True), fresh, rows)
        total = row_var.sum(-2, True).clamp_min_(least * rows)
        row = torch.addcdiv(torch.zeros_like(total), row_var, total, value=rows)  # row_var / mean, at least eps[0]
        if g.numel() >= LARGE and row.min() * col_var.min() >= least**2:  # nothing to clamp: no matrix of roots
            u = torch.mul(g, row.rsqrt_(), out=square).mul_(col_var.rsqrt())
        else:
            u = torch.mul(row, col_var, out=square).clamp_min_(least**2).rsqrt_().mul_(g)
    step = a / at_least(rms(u) / d, 1.0)
    if isinstance(step, float):
        p.add_(u, alpha=-step)
    else:
        p.addcmul_(u, step, value=-1)


def remember(state, total, fresh, count):
    """state = (1 - fresh) * state + fresh * total / count; a product with a number would take twice as long as a sum
    with a factor if they are small, and torch's own mean takes longer too."""
    state.sub_(state, alpha=fresh).add_(total, alpha=fresh / count)


def rms(x):
    """The root mean square of each of a stack; of a stack of one, a plain number."""
    stack = x.shape[0]
    count = x.numel() // stack
    if stack == 1:
        return torch.linalg.vector_norm(x).item() / math.sqrt(count)
    norm = torch.linalg.vector_norm(x.reshape(-1, count), dim=1)
    each = (norm if norm.dtype == torch.float64 else norm.float()) / math.sqrt(count)
    return each.reshape(-1, *[1] * (x.ndim - 1))


def at_least(x, least):
    """The larger of the two, and ``least`` for nan: one bad element shall not spoil the steps of all others."""
    return max(least, x) if isinstance(x, float) else torch.where(x > least, x, least)


@adafactor.requires("Learning rate should be >= 0 but is: {lr}")
def _(lr):
    return lr >= 0


@adafactor.requires("beta2_decay should be <= 0 but is: {beta2_decay}")
def _(beta2_decay):
    return beta2_decay <= 0


@adafactor.requires("epsilon1 should be >= 0 but is: {eps[0]}")
def _(eps):
    return eps[0] is None or eps[0] >= 0


@adafactor.requires("epsilon2 should be >= 0 but is: {eps[1]}")
def _(eps):
    return eps[1] >= 0


@adafactor.requires("Clipping threshold d should be >= 1 but is: {d}")
def _(d):
    return d >= 1


@adafactor.requires("weight_decay should be >= 0 but is: {weight_decay}")
def _(weight_decay):
    return weight_decay >= 0
