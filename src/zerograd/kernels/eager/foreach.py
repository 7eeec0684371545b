"""The foreach printer: a graph as a Python function of ``torch._foreach_*`` calls on lists of tensors.

Values are of three kinds: lists of tensors (one number an element), host numbers (from the prelude) and late scalars:
vectors with one number a tensor, or 0-dim tensors for a group or all. An operation works in place when its first
operand is not needed any more and is either a temporary or the very tensor that the result is stored in, so
AdamW costs the same calls as torch's own foreach implementation. ``x + s * y`` and its like are one call.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch

from zerograd.algebra import verbs
from zerograd.algebra.graph import REDUCTIONS, Level, Node
from zerograd.algebra.tracing import Graph
from zerograd.kernels.eager import lists
from zerograd.kernels.eager.fusion import Instruction, instructions
from zerograd.kernels.reducing import Kernel, Partial

_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", "mod": "%", "and": "&", "or": "|",
    "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=",
}  # fmt: skip
_TEMPORARY = re.compile(r"\bx\d+\b")
_UNARY = frozenset({"neg", "abs", "sqrt", "exp", "log", "tanh", "sign"})


class Foreach:
    """The printed function of one graph.

    ``run(p, g, states, late, host, dtype)`` is a generator (see kernels.reducing); it returns the list that holds the
    new parameters and name -> new value of each state. Lists of p and states may be overwritten; g never is.
    """

    def __init__(self, graph: Graph, host: tuple[Node, ...]) -> None:
        self.source = _Printer(graph, host).source()
        scope: dict[str, Any] = {"torch": torch, "Partial": Partial, **vars(lists)}
        scope.update(
            {f"_{op}": getattr(verbs, op) for op in (*_UNARY - {"neg"}, "maximum", "minimum", "where", "lerp")}
        )
        exec(compile(self.source, f"<foreach of {graph.rule.name}>", "exec"), scope)
        self.run: Callable[..., Kernel] = scope["run"]


class _Printer:
    def __init__(self, graph: Graph, host: tuple[Node, ...]) -> None:
        self.graph = graph
        self.lines: list[str] = []
        self.names: dict[int, str] = {node.id: f"h{i}" for i, node in enumerate(host)}
        self.spread: set[int] = set()
        self.tensor_states = graph.tensor_states
        self.late_states = tuple(n for n in graph.scalar_states if graph.new[n].late or graph.old[n].late)
        self.host_count = len(host)

    def source(self) -> str:
        graph = self.graph
        self.names[graph.g.id], self.names[graph.p_old.id] = "g", "p"
        for name, node in graph.old.items():
            self.names.setdefault(node.id, f"s_{name}")
        for line in instructions(graph):
            self._print(line)
        outputs = ", ".join(f"{name!r}: {self._output(name)}" for name in (*self.tensor_states, *self.late_states))
        p = self._name(graph.p) if graph.p.level == Level.ELEMENT else f"filled(p, {self._spread(graph.p)})"
        head = ["def run(p, g, state, late, host, dtype):"]
        head += [f"    s_{name} = state[{name!r}]" for name in self.tensor_states]
        head += [f"    s_{name} = late[{name!r}]" for name in self.late_states]
        if self.host_count:
            head.append(f"    {', '.join(f'h{i}' for i in range(self.host_count))}, = host")
        tail = [f"    return {p}, {{{outputs}}}"]
        if not any(n.op in REDUCTIONS and n.args[1] != "tensor" for n in graph.nodes):
            tail += ["    yield"]  # a generator, though it never asks for anything
        return "\n".join([*head, *(f"    {line}" for line in self._with_releases(f"{p}, {outputs}")), *tail])

    def _with_releases(self, result: str) -> list[str]:
        """The lines, and after each the end of what nothing later reads: a step holds few lists at a time."""
        last = {name: at for at, line in enumerate(self.lines) for name in _TEMPORARY.findall(line)}
        ended: dict[int, list[str]] = {}
        for name in last.keys() - set(_TEMPORARY.findall(result)):
            ended.setdefault(last[name], []).append(name)
        found = []
        for at, line in enumerate(self.lines):
            found += [line, f"del {', '.join(sorted(ended[at]))}"] if at in ended else [line]
        return found

    def _output(self, name: str) -> str:
        node = self.graph.new[name]
        if name in self.tensor_states and node.level > Level.ELEMENT:
            return f"filled(s_{name}, {self._spread(node)})"
        return self._name(node)

    def _name(self, node: Node) -> str:
        if node.op == "const":
            value = repr(node.args[0])
            return f"({value})" if value not in ("inf", "-inf", "nan") else f"float({value!r})"
        return self.names[node.id]

    def _spread(self, node: Node) -> str:
        """A scalar as an operand next to lists: a number stays, a late scalar becomes one 0-dim tensor a tensor."""
        if not node.late:
            name = self._name(node)
            large = node.op == "const" and abs(node.args[0]) > torch.finfo(torch.float32).max
            return f"within({name}, dtype)" if large else name
        if node.id not in self.spread:
            self.spread.add(node.id)
            each = "each" if node.level == Level.TENSOR else "repeated"
            self.lines.append(f"e{node.id} = {each}({self._name(node)}, g, dtype)")
        return f"e{node.id}"

    # ------------------------------------------------------------------------------------------ one line each

    def _print(self, line: Instruction) -> None:
        node = line.node
        name = f"x{node.id}"
        if node.op in REDUCTIONS:
            self.names[node.id] = name
            self._print_reduction(name, node)
            return
        if node.level > Level.ELEMENT:
            self.lines.append(f"{name} = {self._late_expression(node)}")
            self.names[node.id] = name
            return
        call = self._call(line)
        if line.in_place and call.startswith("torch._foreach_"):
            base = self._name(line.operands[0])
            function, rest = call.split("(", 1)
            self.lines.append(f"{function}_({rest}")
            self.names[node.id] = base
        else:
            self.lines.append(f"{name} = {call}")
            self.names[node.id] = name

    def _print_reduction(self, name: str, node: Node) -> None:
        operand, per = node.args
        if per == "tensor":
            self.lines.append(f"{name} = {node.op}_of_each({self._name(operand)}, dtype)")
        else:
            amount = f"{'squares' if node.op == 'norm' else 'total'}_of_all({self._name(operand)}, dtype)"
            self.lines.append(f"{name} = yield Partial({node.op!r}, {per!r}, {amount}, elements(g))")

    def _late_expression(self, node: Node) -> str:
        names = [self._name(a) for a in node.nodes]
        if node.op == "where" and node.nodes[0].on_host:
            return f"late_scalar({names[1]} if {names[0]} else {names[2]}, g, dtype)"
        if node.op in _INFIX:
            return f"{names[0]} {_INFIX[node.op]} {names[1]}"
        return f"-{names[0]}" if node.op == "neg" else f"_{node.op}({', '.join(names)})"

    def _call(self, line: Instruction) -> str:
        """The call for an operation on lists; its first argument is the operand that may be overwritten."""
        op, operands = line.op, line.operands
        elements = [x.level == Level.ELEMENT for x in operands]
        names = [self._name(x) if x.level == Level.ELEMENT else self._spread(x) for x in operands]
        late = [x.late and x.level > Level.ELEMENT for x in operands]
        if op == "add_scaled":
            return f"torch._foreach_add({names[0]}, {names[1]}, alpha={names[2]})"
        if op in ("addcmul", "addcdiv"):
            return f"torch._foreach_{op}({names[0]}, {names[1]}, {names[2]}, value={names[3]})"
        if op in _UNARY:
            return f"torch._foreach_{op}({names[0]})"
        if op == "where":
            return self._where(line, names)
        if op == "mul" and late[1] and operands[1].level > Level.TENSOR:
            return f"torch._foreach_mul({names[0]}, {self._name(operands[1])}.to(dtype))"
        if any(late) or line.node.is_bool or op in ("and", "or"):
            return self._comprehension(op, names, elements, late)
        if op == "lerp":
            return f"torch._foreach_lerp({names[0]}, {names[1]}, {names[2]})"
        if op == "pow":
            return f"torch._foreach_pow({names[0]}, {names[1]})"
        if not elements[0]:  # number - list, number / list
            return self._comprehension(op, names, elements, late)
        return f"torch._foreach_{op}({names[0]}, {names[1]})"

    def _where(self, line: Instruction, names: list[str]) -> str:
        condition, a, b = line.operands
        if condition.on_host:
            arms = [
                n if x.level == Level.ELEMENT else f"filled(g, {n})" for n, x in zip(names[1:], (a, b), strict=True)
            ]
            return f"{arms[0]} if {names[0]} else {arms[1]}"
        return f"chosen({', '.join(names)}, dtype)"

    def _comprehension(self, op: str, names: list[str], elements: list[bool], late: list[bool]) -> str:
        letters = "abc"[: len(names)]
        lists_ = [(v, n) for v, n, e, x in zip(letters, names, elements, late, strict=True) if e or x]
        arguments = [v if e or x else n for v, n, e, x in zip(letters, names, elements, late, strict=True)]
        if op in _INFIX:
            body = f"{arguments[0]} {_INFIX[op]} {arguments[1]}"
        else:
            body = f"_{op}({', '.join(arguments)})"
        if len(lists_) == 1:
            return f"[{body} for {lists_[0][0]} in {lists_[0][1]}]"
        variables = ", ".join(v for v, _ in lists_)
        return f"[{body} for {variables} in zip({', '.join(n for _, n in lists_)}, strict=True)]"
