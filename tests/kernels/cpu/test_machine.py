"""What can't be compiled or loaded is a CodeError, never the end of the process; without a compiler a step works."""

from __future__ import annotations

import contextlib
import io
import json
import textwrap
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
import torch

from kernels.cpu.conftest import Made
from kernels.cpu.running import adding, answer, fresh_step, give, model, program
from zerograd import from_rule, rules
from zerograd.errors import ZerogradError
from zerograd.kernels.cpu import machine
from zerograd.kernels.cpu.kernel import function_at
from zerograd.kernels.cpu.machine import CodeError

BAD = {
    "no code": "hello",
    "half a function": adding(1)[:-20],
    "wrong type": "define i64 @zerograd_kernel(i64 %x) {\n  ret i32 0\n}\n",
    "unknown value": "define i64 @zerograd_kernel(i64 %x) {\n  ret i64 %y\n}\n",
    "unknown function": "define i64 @zerograd_kernel(i64 %x) {\n  %y = call i64 @f(i64 %x)\n  ret i64 %y\n}\n",
    "used before it is there": "define i64 @zerograd_kernel(i64 %x) {\na:\n  br label %b\nb:\n  %y = add i64 %z, 1\n"
    "  %z = add i64 %y, 1\n  ret i64 %z\n}\n",
    "two of one name": adding(1) + adding(2),
}

MISSING = """\
declare i64 @zerograd_has_no_such_function(i64)
define i64 @zerograd_kernel(i64 %x) {
  %y = call i64 @zerograd_has_no_such_function(i64 %x)
  ret i64 %y
}
"""
NEEDS = ("zerograd_has_no_such_function",)


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("made_by", [machine.compiled, machine.assembly, function_at], ids=lambda f: f.__name__)
def test_a_bad_source_is_refused_and_the_next_good_one_is_not(made_by: Callable[[str], Any], kind: str) -> None:
    for _ in range(2):
        with pytest.raises(CodeError, match="LLVM refused a kernel: "):
            made_by(BAD[kind])
    assert answer(adding(1000)) == 1001


def test_it_is_an_error_of_ours() -> None:
    assert issubclass(CodeError, ZerogradError)


def test_a_function_that_is_not_there_is_refused_by_its_name(made: Made) -> None:
    code = machine.compiled(MISSING)
    for load in (lambda: machine.loaded(code, "zerograd_kernel", NEEDS), lambda: function_at(MISSING, NEEDS)):
        with pytest.raises(CodeError, match=NEEDS[0]):
            load()
    made.clear()
    with pytest.raises(CodeError, match=NEEDS[0]):
        function_at(MISSING, NEEDS)
    assert made.loaded, "nothing was asked anew: a library that is loaded later may have the function"


def test_code_without_the_function_is_refused_by_its_name() -> None:
    with pytest.raises(CodeError, match="lacks the function another"):
        machine.loaded(machine.compiled(adding(1)), "another")


def test_code_that_is_no_code_is_refused() -> None:
    """In a process of its own, which LLVM may end."""
    text = """
        from zerograd.kernels.cpu import machine
        code = machine.compiled({source!r})
        for wrong in (b"", b"no code", code[:200], code[:-1], b"X" + code):
            try:
                machine.loaded(wrong, "zerograd_kernel")
            except machine.CodeError:
                continue
            raise SystemExit(f"{{len(wrong)}} bytes were loaded")
    """
    program(text.format(source=adding(1)))


def test_what_is_compiled_is_the_same_each_time() -> None:
    """Else a cache would hide that two runs of one program compute different things."""
    source = adding(17)
    assert machine.compiled(source) == machine.compiled(source)
    assert machine.assembly(source) == machine.assembly(source)
    assert machine.digest(source) == machine.digest(source) != machine.digest(source + " ")


@pytest.mark.parametrize("name", ["from_triple", "get_host_cpu_name", "get_host_cpu_features"])
def test_a_processor_that_the_compiler_does_not_know_stops_no_step(
    name: str, monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None]
) -> None:
    import llvmlite.binding as llvm

    def unknown(*_: Any) -> NoReturn:
        raise RuntimeError("unable to get a target for this processor")

    expected = fresh_step()
    kept = [
        machine._binding,
        machine.features,
        machine.processor,
        machine.identity,
        machine.converts_half,
        machine._target,
    ]
    monkeypatch.setattr(llvm.Target if name == "from_triple" else llvm, name, unknown)
    for one in kept:
        one.cache_clear()
    forget()
    try:
        with contextlib.suppress(CodeError):  # code for any processor would do as well
            assert answer(adding(1)) == 2
        torch.testing.assert_close(fresh_step(), expected)
    finally:
        for one in kept:
            one.cache_clear()


def test_float16_goes_the_eager_way_where_the_processor_cannot_convert_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for converts in (True, False):
        monkeypatch.setattr(machine, "converts_half", lambda converts=converts: converts)
        params = model([(5,)], torch.float16) + model([(3,)])
        give(params, 0)
        optimizer = from_rule(rules.sgd, name="Fresh", lr=0.25)(params)
        optimizer.step()
        assert sum(len(bucket.params) for bucket in optimizer._plan.buckets) == 1 + converts  # type: ignore[union-attr]
        found.append([p.detach() for p in params])
    torch.testing.assert_close(*found)


EAGER = """
    import json, sys
    BLOCK = {block}
    if BLOCK:
        sys.modules["llvmlite"] = None
    import torch, zerograd
    found = {{}}
    for name in ("SGD", "AdamW", "LAMB", "Prodigy"):
        params = [(torch.arange(n, dtype=torch.float64) - n / 3).div_(7).requires_grad_() for n in (5, 12, 1)]
        optimizer = getattr(zerograd, name)(params, lr=0.1)
        for step in range(4):
            for p in params:
                p.grad = (p.detach() - step).sin()
            optimizer.step()
        assert (optimizer._plan is None) == BLOCK, name
        found[name] = [p.tolist() for p in params]
    assert ("llvmlite.binding" in sys.modules) == (not BLOCK)
    print(json.dumps(found))
"""


def test_without_llvmlite_a_step_gives_the_same_numbers() -> None:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(textwrap.dedent(EAGER.format(block=False)), {})
    without, with_it = json.loads(program(EAGER.format(block=True))), json.loads(printed.getvalue())
    for name, params in with_it.items():
        for one, other in zip(without[name], params, strict=True):
            found, wanted = (torch.tensor(numbers, dtype=torch.float64) for numbers in (one, other))
            torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12, msg=name)


def test_no_compiler_is_loaded_before_the_first_step() -> None:
    """It takes a tenth of a second; a program that only looks at an optimizer should not wait for it."""
    program("""
        import sys
        import torch, zerograd
        p = torch.ones(3, 2).requires_grad_()
        made = [getattr(zerograd, name) for name in zerograd.optim.__all__]
        made = [cls([p]) for cls in made if issubclass(cls, zerograd.RuleOptimizer)]
        assert len(made) > 10
        for optimizer in made:
            optimizer.zero_grad()
            optimizer.load_state_dict(optimizer.state_dict())
            optimizer.step()  # no gradients
        found = [name for name in sys.modules if name.split(".")[0] in ("llvmlite", "numba")]
        assert not found, found
        p.grad = torch.ones(3, 2)
        made[0].step()
        assert "llvmlite" in sys.modules
        assert "numba" not in sys.modules
    """)
