"""The rule language: ``@rule``, ``@wrapper``, ``@view``, how state starts, and the verbs that rules are written with.

Needs neither torch nor any compiler. A rule says which way one element moves; it knows no dtype, device or pointer.
The parts, in order of reading:

- ``notation``, ``states``, ``verbs``: the decorators, how state starts, the words of the language
- ``tracing``, ``symbols``, ``graph``: a rule called once with symbols gives the graph that every backend prints
- ``roles``: what a state is to its rule; ``arithmetic``: numbers of the host, by IEEE 754
- ``refusals``: errors that name the line in a rule; ``matrices``: rules on whole matrices, of which there is no graph

>>> from zerograd.algebra import rule, sqrt
>>> @rule
... def rms(g, square_avg, *, alpha=0.99, eps=1e-8):
...     square_avg = alpha * square_avg + (1 - alpha) * g * g
...     return g / (sqrt(square_avg) + eps), square_avg
>>> rms.states, rms.hypers
({'square_avg': 0.0}, {'alpha': 0.99, 'eps': 1e-08})
"""

from zerograd.algebra.matrices import MatrixRule, matrix_rule
from zerograd.algebra.notation import Policy, Rule, View, Wrapper, rule, view, wrapper
from zerograd.algebra.states import part, scalar, start
from zerograd.algebra.tracing import Graph, Tracer
from zerograd.algebra.verbs import (
    abs,
    clamp,
    exp,
    lerp,
    log,
    maximum,
    mean,
    minimum,
    norm,
    sign,
    sqrt,
    tanh,
    total,
    where,
)

__all__ = [
    "Graph",
    "MatrixRule",
    "Policy",
    "Rule",
    "Tracer",
    "View",
    "Wrapper",
    "abs",
    "clamp",
    "exp",
    "lerp",
    "log",
    "matrix_rule",
    "maximum",
    "mean",
    "minimum",
    "norm",
    "part",
    "rule",
    "scalar",
    "sign",
    "sqrt",
    "start",
    "tanh",
    "total",
    "view",
    "where",
    "wrapper",
]
