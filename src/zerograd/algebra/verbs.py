"""The verbs of the language: the same name on symbols, on tensors and on numbers.

On symbols they build the graph, on tensors they are torch's functions, on numbers IEEE arithmetic. So a rule that is
called with tensors is its own reference. torch is imported by whoever hands in a tensor, never here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from zerograd.algebra.arithmetic import HOST, Number
from zerograd.algebra.graph import Node
from zerograd.errors import RuleError

# builtins that the verbs shadow in rules
_builtin_abs = abs


def _is_tensor(x: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def _tensors(operands: tuple[Any, ...]) -> list[Any]:
    """The operands as tensors of the dtype and device of the first that is a tensor of numbers."""
    torch = sys.modules["torch"]
    given = [x for x in operands if isinstance(x, torch.Tensor)]
    like = next((x for x in given if x.dtype != torch.bool), None)
    device = given[0].device

    def as_tensor(x: Any) -> Any:
        if isinstance(x, torch.Tensor):
            return x
        dtype = torch.bool if isinstance(x, bool) else like.dtype if like is not None else torch.float64
        return torch.as_tensor(x, dtype=dtype, device=device)

    return [as_tensor(x) for x in operands]


def _on_tensors(op: str, operands: tuple[Any, ...]) -> Any:
    torch = sys.modules["torch"]
    if op == "where" and not isinstance(operands[0], torch.Tensor):
        return operands[1] if operands[0] else operands[2]
    return getattr(torch, op)(*_tensors(operands))


def _verb(op: str, document: str) -> Callable[..., Any]:
    def verb(*operands: Any) -> Any:
        symbol = next((x for x in operands if isinstance(x, Node)), None)
        if symbol is not None:
            return symbol.builder.apply(op, *operands)
        result = _on_tensors(op, operands) if any(_is_tensor(x) for x in operands) else HOST[op](*operands)
        return Number(result) if isinstance(result, (int, float)) and not isinstance(result, bool) else result

    verb.__name__ = verb.__qualname__ = op
    verb.__doc__ = document
    return verb


sqrt = _verb("sqrt", "Square root; nan below zero.")
exp = _verb("exp", "e to the power x.")
log = _verb("log", "Natural logarithm; -inf at zero, nan below.")
tanh = _verb("tanh", "Hyperbolic tangent.")
abs = _verb("abs", "Absolute value.")
sign = _verb("sign", "-1, 0 or 1; 0 for nan.")
where = _verb("where", "where(condition, a, b): a where the condition holds, else b. Both arms are computed.")
minimum = _verb("minimum", "The smaller of two; nan if either is.")
maximum = _verb("maximum", "The larger of two; nan if either is.")


def clamp(x: Any, low: Any, high: Any) -> Any:
    """x held between low and high; nan stays nan."""
    return minimum(maximum(x, low), high)


def lerp(a: Any, b: Any, weight: Any) -> Any:
    """a + weight * (b - a)."""
    symbol = next((x for x in (a, b, weight) if isinstance(x, Node)), None)
    if symbol is not None:
        return symbol.builder.apply("lerp", a, b, weight)
    result = a + weight * (b - a)
    return result if _is_tensor(result) else Number(result)


def _reduction(kind: str, document: str) -> Callable[..., Any]:
    def reduction(x: Any, per: str = "tensor") -> Any:
        if isinstance(x, Node):
            return x.builder.reduction(kind, x, per)
        if not _is_tensor(x):
            raise RuleError(f"{kind}() of {x!r}, which is one number already; it reduces the elements of tensors")
        x = x.double() if x.dtype == sys.modules["torch"].bool else x
        return {"total": x.sum, "norm": x.norm, "mean": x.mean}[kind]()

    reduction.__name__ = reduction.__qualname__ = kind
    reduction.__doc__ = (
        document + " per is 'tensor' (default), 'group' or 'all'; tensors without a gradient are left out."
    )
    return reduction


total = _reduction("total", "The sum of the elements.")
norm = _reduction("norm", "The 2-norm: the square root of the sum of squares.")
mean = _reduction("mean", "The mean of the elements.")
