"""The plain interpreter: a graph evaluated node by node on one tensor, out of place, with torch's own operations.

Autograd goes through it (``differentiable=True``), hyper-parameters may be tensors there, and tests hold the printed
backends to it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from zerograd.algebra import verbs
from zerograd.algebra.arithmetic import HOST
from zerograd.algebra.graph import REDUCTIONS, Level, Node
from zerograd.algebra.tracing import Graph
from zerograd.kernels.reducing import Kernel, Partial, finished

_ON_TENSORS: dict[str, Callable[..., Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv,
    "pow": operator.pow, "mod": operator.mod, "neg": operator.neg, "and": operator.and_, "or": operator.or_,
    "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge, "eq": operator.eq, "ne": operator.ne,
    **{
        name: getattr(verbs, name)
        for name in ("sqrt", "exp", "log", "tanh", "abs", "sign", "maximum", "minimum", "where", "lerp")
    },
}  # fmt: skip


def run(
    graph: Graph,
    p: Tensor,
    g: Tensor,
    states: Mapping[str, Any],
    hypers: Mapping[str, Any],
    t: float,
    first: Mapping[tuple[str, ...], bool],
) -> Kernel:
    """Generator (see kernels.reducing) that returns the new parameter and name -> new value of every state.

    states: tensors, and numbers for the scalar states.
    """
    values: dict[int, Any] = {graph.g.id: g, graph.p_old.id: p}

    def leaf(node: Node) -> Any:
        if node.op == "const":
            return node.args[0]
        if node.op == "hyper":
            name, index = node.args
            value = hypers[name] if index is None else hypers[name][index]
            return value.reshape(()) if isinstance(value, Tensor) else float(value)
        if node.op == "state":
            return states[node.args[0]]
        return t if node.op == "t" else first[node.args[0]]

    def element(value: Any) -> Tensor:
        """A value for each element, though a `where` may have chosen one number, or made one of no tensor's dtype."""
        if not isinstance(value, Tensor):
            return torch.full_like(g, value, dtype=torch.bool if isinstance(value, bool) else g.dtype)
        kind = torch.promote_types(p.dtype, g.dtype) if value.is_floating_point() else value.dtype
        return value.to(kind).expand_as(g)

    for node in graph.nodes:
        if node.id in values:
            continue
        if not node.nodes:
            values[node.id] = leaf(node)
        elif node.op in REDUCTIONS:
            operand, per = node.args
            x = values[operand.id]
            amount = x.square().sum() if node.op == "norm" else x.sum()
            if per == "tensor":
                values[node.id] = finished(node.op, amount, x.numel())
            else:
                values[node.id] = yield Partial(node.op, per, amount, x.numel())
        else:
            operands = [values[a.id] for a in node.nodes]
            table = _ON_TENSORS if any(isinstance(x, Tensor) for x in operands) else HOST
            value = table[node.op](*operands)
            values[node.id] = element(value) if node.level == Level.ELEMENT else value

    def like(value: Any, model: Tensor) -> Tensor:
        return value.to(model.dtype).expand_as(model) if isinstance(value, Tensor) else torch.full_like(model, value)

    new = {name: values[node.id] for name, node in graph.new.items()}
    for name in graph.tensor_states:
        new[name] = like(new[name], states[name])
    return like(values[graph.p.id], p), new
