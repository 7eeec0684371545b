"""Numbers that hang on reductions, between two passes: NumPy in float64, one entry a tensor.

The same operations as on the host, with the same answers to 1/0 and the like (IEEE 754, nothing raises).
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

import numpy as np

from zerograd.algebra.graph import Node

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power, "mod": np.mod,
    "neg": np.negative, "abs": np.abs, "sqrt": np.sqrt, "exp": np.exp, "log": np.log, "tanh": np.tanh,
    "sign": lambda x: np.where(np.isnan(x), 0.0, np.sign(x)),
    "maximum": np.maximum, "minimum": np.minimum, "where": np.where,
    "lerp": lambda a, b, weight: a + weight * (b - a),
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "eq": np.equal, "ne": np.not_equal, "and": np.logical_and, "or": np.logical_or,
}  # fmt: skip

Values = MutableMapping[int, Any]
"""Node's id -> a number or an array with one for each tensor."""


def evaluated(node: Node, values: Values) -> Any:
    """The value of a node, from those of the host numbers, late states and reductions in ``values``; kept there."""
    if node.op == "const":
        return node.args[0]
    if node.id not in values:
        operands = [evaluated(a, values) for a in node.nodes]
        with np.errstate(all="ignore"):
            values[node.id] = _OPERATIONS[node.op](*operands)
    return values[node.id]


def finished(kind: str, amounts: Any, counts: Any) -> Any:
    """The values of a reduction per tensor, from the sums over each tensor's elements and how many those are."""
    with np.errstate(all="ignore"):
        if kind == "norm":
            return np.sqrt(amounts)
        return amounts / counts if kind == "mean" else amounts
