"""Random rules: the printed foreach function agrees with the interpreter, the interpreter with the rule itself.

The rules share values in every way, so an operation that overwrites what is needed later does not go unseen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from algebra.running import interpret
from kernels.agreement import Twice, closely, exactly
from kernels.exact_rules import ExactRule
from kernels.layouts import FOR_GRADIENTS, FOR_PARAMETERS
from kernels.random_rules import HYPERS, SPANS, TENSOR_STATES, made
from kernels.smooth_rules import SmoothRule
from zerograd.algebra import Graph

SHAPES: tuple[tuple[tuple[int, ...], ...], ...] = (((), (0, 3), (2,), (1, 1), (2, 2)), ((2, 1, 2, 2),))
"""8 elements in each of two groups, so that all means are divisions by a power of two."""

GENOMES = st.binary(min_size=80, max_size=160)
LAYOUTS = st.tuples(st.sampled_from(FOR_PARAMETERS), st.sampled_from(FOR_GRADIENTS))
COMPUTED_IN = {torch.float64: torch.float64, torch.float32: torch.float32, torch.bfloat16: torch.float32}
BITS = {torch.float64: 40, torch.float32: 20, torch.bfloat16: 20}

Numbers = Callable[[Any], Tensor]


def integers(generator: torch.Generator) -> Numbers:
    """Whole numbers from -4 to 4, often 0."""
    return lambda shape: (
        torch.randint(-4, 5, shape, generator=generator).double() * (torch.rand(shape, generator=generator) < 0.8)
    )


def normals(generator: torch.Generator) -> Numbers:
    return lambda shape: torch.randn(shape, generator=generator, dtype=torch.float64)


def two_steps(twice: Twice, numbers: Numbers, layout: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    """The first step makes the states; before the second, all of them get other numbers."""
    for step in range(2):
        if step:
            twice.scramble(numbers)
        for group in twice.optimizer.param_groups:
            for p in group["params"]:
                p.grad = layout(numbers(p.shape).to(dtype))
        twice.step()


def groups(numbers: Numbers, layout: Callable[[Tensor], Tensor], dtype: torch.dtype) -> list[dict[str, Any]]:
    return [
        {"params": [layout(numbers(shape).to(dtype)).requires_grad_() for shape in shapes], **hypers}
        for shapes, hypers in zip(SHAPES, HYPERS, strict=True)
    ]


@pytest.mark.parametrize("spans", [(), ("tensor",), SPANS], ids=["no-reductions", "per-tensor", "per-anything"])
@pytest.mark.parametrize("dtype", COMPUTED_IN, ids=str)
@settings(max_examples=40, deadline=None)
@given(genome=GENOMES, layouts=LAYOUTS, seed=st.integers(0, 2**20), maximize=st.booleans())
def test_an_exact_rule_agrees_to_the_last_bit(
    spans: tuple[str, ...], dtype: torch.dtype, genome: bytes, layouts: Any, seed: int, maximize: bool
) -> None:
    source = ExactRule(genome, spans, bits=BITS[dtype]).source()
    numbers = integers(torch.Generator().manual_seed(seed))
    twice = Twice(made(source), groups(numbers, layouts[0], dtype), exactly, COMPUTED_IN[dtype], maximize=maximize)
    try:
        two_steps(twice, numbers, layouts[1], dtype)
    except Exception as error:
        error.add_note(source)
        raise


@settings(max_examples=100, deadline=None)
@given(genome=GENOMES, seed=st.integers(0, 2**20), t=st.integers(1, 2))
def test_the_graph_of_an_exact_rule_is_its_function(genome: bytes, seed: int, t: int) -> None:
    """The function called with tensors, and the graph that was traced and simplified from it."""
    source = ExactRule(genome).source()
    rule, numbers, hypers = made(source), integers(torch.Generator().manual_seed(seed)), {"lr": 0.5, **HYPERS[0]}
    graph = Graph(rule, hypers)
    p, g, *tensors = (numbers((4,)) for _ in range(6))
    states = {**dict(zip(TENSOR_STATES, tensors, strict=True)), "n": float(numbers(())), "m": float(numbers(()))}
    supplied = {"t": t, "first": t == 1, "lr": 0.5}
    returned = rule(g, p, *states.values(), **HYPERS[0], **{name: supplied[name] for name in rule.own.supplied})
    result, *new = returned if isinstance(returned, tuple) else (returned, *states.values())
    wanted = dict(zip(states, new, strict=True))
    try:
        new_p, new_states = interpret(graph, p, g, states, hypers, t, first=t == 1)
        exactly("p", new_p, torch.as_tensor(result if rule.moves else p - 0.5 * result))
        for name, value in new_states.items():
            exactly(name, torch.as_tensor(value), torch.as_tensor(wanted[name]))
    except Exception as error:
        error.add_note(source)
        raise


@settings(max_examples=60, deadline=None)
@given(genome=GENOMES, spans=st.sampled_from([(), SPANS]), seed=st.integers(0, 2**20))
def test_a_smooth_rule_agrees_but_for_rounding(genome: bytes, spans: tuple[str, ...], seed: int) -> None:
    """1e-7: rounding in float64 is 1e-16 and grows at most a few digits in so few operations; a slip is of order 1."""
    source = SmoothRule(genome, spans).source()
    numbers = normals(torch.Generator().manual_seed(seed))
    same = closely(rtol=1e-7, atol=1e-7)
    twice = Twice(made(source), groups(numbers, Tensor.clone, torch.float64), same, torch.float64)
    try:
        two_steps(twice, numbers, Tensor.clone, torch.float64)
    except Exception as error:
        error.add_note(source)
        raise
