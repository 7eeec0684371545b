"""Plans: parts of a model that take turns share them, and nothing that interrupts a step makes later ones wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from zerograd.engine import stepping


def noise(step: int, i: int, size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(100 * step + i), dtype=torch.float64)


LIVE: dict[str, Callable[[int, int], bool]] = {
    "one trunk and two heads": lambda step, i: i < 3 or (i == 3) == (step % 2 == 0),
    "disjoint halves": lambda step, i: (i < 2) == (step % 2 == 0),
    "three in turn": lambda step, i: i % 3 != step % 3,
}


@pytest.mark.parametrize("size", [4, 9000], ids=["short", "long"])
@pytest.mark.parametrize("name", ["AdamW", "SGD", "NAdam"])
@pytest.mark.parametrize("live", LIVE)
@pytest.mark.usefixtures("double")
def test_parts_that_take_turns_are_gathered_a_few_times_only(
    live: str, name: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathered: list[int] = []
    gather = stepping._gather
    monkeypatch.setattr(stepping, "_gather", lambda *given: (gathered.append(1), gather(*given)))
    pair = [[torch.ones(size).requires_grad_() for _ in range(5)] for _ in range(2)]
    ours, theirs = getattr(optim, name)(pair[0], lr=0.1), getattr(torch.optim, name)(pair[1], lr=0.1, foreach=False)
    steps = 40
    for step in range(steps):
        for params in pair:
            for i, p in enumerate(params):
                p.grad = noise(step, i, size) if LIVE[live](step, i) else None
        ours.step()
        theirs.step()
    torch.testing.assert_close(pair[0], pair[1], rtol=1e-10, atol=1e-12)
    if name != "NAdam":  # its products of momenta differ between the parameters: rows that no plan foresees
        assert len(gathered) <= 9, "twice for each set of parameters, and at the very first steps"


@pytest.mark.parametrize("size", [4, 40_000], ids=["short", "long"])
def test_an_interrupt_anywhere_leaves_the_steps_right_that_follow(size: int) -> None:
    """KeyboardInterrupt on each line that a steady step runs: afterwards the step number is that of the state."""
    lines = range(1, 400)
    for at in lines:
        p = torch.ones(size).requires_grad_()
        optimizer = optim.AdamW([p], lr=0.1)
        for _ in range(3):
            p.grad = torch.ones(size)
            optimizer.step()
        if not interrupted(optimizer.step, at):
            break
        taken = float(optimizer.state[p]["step"])
        before = p.detach().clone()
        p.grad = torch.ones(size)
        optimizer.step()
        assert float(optimizer.state[p]["step"]) == taken + 1
        twin = before.clone().requires_grad_()
        m, v = (optimizer.state[p][name] for name in ("exp_avg", "exp_avg_sq"))
        t = taken + 1
        expected = twin * (1 - 0.1 * 0.01) - 0.1 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        torch.testing.assert_close(p, expected, rtol=1e-5, atol=1e-6)
    assert 5 < at < 399, "the trace has reached the end of a step"


def interrupted(call: Callable[[], Any], at: int) -> bool:
    """Raise KeyboardInterrupt at the at-th line of zerograd's that the call runs; whether there was one."""
    seen = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal seen
        if "zerograd" not in frame.f_code.co_filename:
            return None
        if event == "line":
            seen += 1
            if seen == at:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


UNDER = """
import torch, zerograd
from zerograd.kernels.cpu import inspector, versions, watch
p = torch.nn.Parameter(torch.ones(4))
p.grad = torch.ones(4)
optimizer = zerograd.SGD([p], lr=0.5)
with {context}:
    optimizer.step()
assert p.tolist() == [0.5] * 4, p
p.grad = torch.ones(4)
optimizer.step()
optimizer.step()
assert p.tolist() == [-0.5] * 4, p
assert inspector.native() is None and watch.works() and versions._function() is not None
"""


@pytest.mark.parametrize("context", ["torch.inference_mode()", "torch.device('meta')", "torch.no_grad()"])
def test_the_first_step_of_a_process_may_be_taken_under_anything(context: str) -> None:
    done = subprocess.run([sys.executable, "-c", UNDER.format(context=context)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
