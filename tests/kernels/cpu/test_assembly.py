"""The machine code of kernels: whole vectors of elements at once, and no call of a function for each."""

from __future__ import annotations

import functools
import re
from typing import Any

import llvmlite.binding as llvm
import pytest
import torch

import zerograd
from algebra.table import CASES, Case
from kernels.cpu.running import give, model
from zerograd import from_rule
from zerograd.algebra import abs as magnitude
from zerograd.algebra import exp, log, rule, tanh
from zerograd.engine.optimizer import RuleOptimizer
from zerograd.formats.layout import Layout
from zerograd.formats.plain import BF16, FP32, FP64
from zerograd.kernels.cpu import machine, squares
from zerograd.kernels.cpu.kernel import Function
from zerograd.kernels.cpu.words import OUTSIDE

CLASSES = {name: getattr(zerograd.optim, name) for name in zerograd.optim.__all__}
NAMES = [
    name
    for name, cls in CLASSES.items()
    if issubclass(cls, RuleOptimizer) and cls.rule.elementwise and cls.sparse != "only"
]
"""The classes whose steps are compiled kernels: neither those on whole matrices nor those on rows."""
TYPES = [
    *((name, torch.float32) for name in NAMES),
    ("AdamW", torch.bfloat16), ("SGD", torch.bfloat16), ("LAMB", torch.bfloat16),
    ("AdamW", torch.float64), ("Prodigy", torch.float64), ("AdamW", torch.float16),
]  # fmt: skip
MEMORY = {"memset", "memcpy", "memmove"}
"""What LLVM may make of a loop that only stores or copies; every process has them."""


@pytest.fixture(autouse=True)
def _on_x86() -> None:
    if not re.match(r"x86_64|i.86|amd64", llvm.get_default_triple()):
        pytest.skip(f"these tests read the instructions of x86, and this processor is another: {machine.processor()}")


@functools.cache
def functions(name: str, dtype: torch.dtype) -> tuple[Function, ...]:
    """The passes of a class with its default flags."""
    params = model([(5,)], dtype)
    give(params, 0)
    optimizer = getattr(zerograd, name)(params)
    optimizer.step()
    (bucket,) = optimizer._plan.buckets
    return tuple(bucket.kernel.functions)


def instructions(source: str) -> list[str]:
    """Lines such as ``vmulps %ymm1, %ymm2, %ymm3``."""
    lines = [line.split("#")[0].strip() for line in machine.assembly(source).splitlines()]
    return [line for line in lines if line and not line.startswith(".") and not line.endswith(":")]


def packed(code: list[str], operation: str, double: bool, *, summed: bool = False) -> list[str]:
    """The instructions of an operation that work on whole vectors, in the widest registers that programs use.

    summed: beside sums in float64, of which a register holds half as many: float32 has the half of one then.
    """
    form = re.compile(rf"v?({operation})p{'d' if double else 's'}\s")
    half = summed and not double and "+avx512f," not in machine.features()
    register = re.compile(r"%[yz]mm" if "+avx," in machine.features() and not half else r"%xmm")
    return [line for line in code if form.match(line) and register.search(line)]


def calls(code: list[str]) -> list[str]:
    return [line for line in code if line.startswith("call") or re.match(r"jmpq?\s+(?!\.L)", line)]


def computed(one: Function) -> set[str]:
    """The operations per element of a pass."""
    return {n.op for n in one.one.elements() if n.id not in one.one.known}


PRODUCT = r"mul|fn?m(?:add|sub)(?:132|213|231)"


@pytest.mark.parametrize(("name", "dtype"), TYPES, ids=lambda value: str(value).removeprefix("torch."))
def test_every_pass_works_on_whole_vectors(name: str, dtype: torch.dtype) -> None:
    double = dtype == torch.float64
    for one in functions(name, dtype):
        code, found, summed = instructions(one.source), computed(one), bool(one.one.sums)
        assert packed(code, PRODUCT, double, summed=summed), f"{name} multiplies one by one"
        if "sqrt" in found:
            assert packed(code, "sqrt", double, summed=summed), f"{name} takes roots one by one"
        if "div" in found:
            assert packed(code, "div", double, summed=summed), f"{name} divides one by one"
        if summed:
            assert packed(code, rf"add|{PRODUCT}", double=True), f"{name} sums one by one"
        assert calls(code) == []
        assert not [line for line in code if "gather" in line or "scatter" in line]


def test_roots_and_quotients_are_looked_for() -> None:
    """What the law above asks for is there to be asked for."""
    with_roots = [name for name in NAMES if any("sqrt" in computed(one) for one in functions(name, torch.float32))]
    assert {"Adam", "AdamW", "NAdam", "RMSprop", "Adagrad", "LAMB", "Prodigy", "ADOPT"} <= set(with_roots)
    assert "SGD" not in with_roots
    assert sum(bool(one.one.sums) for name in NAMES for one in functions(name, torch.float32)) >= 3


@pytest.mark.parametrize("form", [FP32, BF16, FP64], ids=lambda form: form.name)
def test_the_norm_of_the_gradients_is_summed_in_whole_vectors(form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sources: list[str] = []
    monkeypatch.setattr(squares, "function_at", lambda source, _: sources.append(source) or 0)
    squares.squares_function.__wrapped__(Layout(form, form, ()))
    (source,) = sources
    code = instructions(source)
    assert packed(code, PRODUCT, double=True), "a sum of squares of float32 can be beyond float32"
    assert calls(code) == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_functions_of_the_c_library_are_called_where_a_rule_asks_for_them(dtype: torch.dtype) -> None:
    """A check of these tests: calls are seen in the code."""
    for one in _passes(Case(_bent), dtype):
        code = instructions(one.source)
        assert len(calls(code)) >= 4
        assert _called(code) >= {f"{name}{'f' if dtype == torch.float32 else ''}" for name in ("exp", "log", "tanh")}


@rule
def _bent(g: Any, p: Any) -> Any:
    return exp(-magnitude(g)) + log(1 + magnitude(p)) + tanh(g) ** 3 + magnitude(g) ** 1.3


def _passes(case: Case, dtype: torch.dtype) -> tuple[Function, ...]:
    params = model([(5,)], dtype)
    give(params, 0)
    optimizer: Any = from_rule(case.rule, name="Case", lr=0.1)(params, **case.hypers)
    optimizer.step()
    return tuple(function for bucket in optimizer._plan.buckets for function in bucket.kernel.functions)


def _called(code: list[str]) -> set[str]:
    """The names of the functions outside that the code calls, or takes the address of to call it."""
    found = {m.group(1) for line in calls(code) if (m := re.match(r"\w+\s+\*?([A-Za-z_]\w*)", line))}
    return found | {m.group(1) for line in code if (m := re.match(r"movabsq\s+\$([A-Za-z_]\w*)", line))}


@pytest.mark.parametrize("case", [*CASES, Case(_bent)], ids=str)
def test_code_calls_nothing_that_was_not_looked_for(case: Case) -> None:
    """A function that is not there ends the process when code is loaded, so each has to be asked for before."""
    for one in _passes(case, torch.float32):
        needed = {f"{OUTSIDE[op]}f" for op in computed(one) if op in OUTSIDE}
        code = instructions(one.source)
        assert _called(code) <= needed | MEMORY
        assert bool(calls(code)) == bool(_called(code))
