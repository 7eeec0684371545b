"""Where an uneven window is divided: in the step's own pass, unless something may look at the gradients before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zerograd
from zerograd.lifecycle import accumulating

SIZES = [2, 5, 1, 3]
Program = Callable[[nn.Parameter, Any], None]


def bare(p: nn.Parameter, optimizer: Any) -> None:
    for batches in zerograd.accumulate(SIZES, optimizer, every=3):
        optimizer.zero_grad()
        for n in batches:
            batches.backward((p * n).sum(), n=n)
        optimizer.step()


def counted_in_a_method(p: nn.Parameter, optimizer: Any) -> None:
    class Trainer:
        def __init__(self) -> None:
            self.optimizer = optimizer

        def fit(self) -> None:
            with torch.enable_grad():
                for batches in zerograd.accumulate(SIZES, self.optimizer, every=3):
                    for _, n in enumerate(batches):
                        batches.backward((p * n).sum(), n=n)
                    self.optimizer.step()
                    self.optimizer.zero_grad()

    Trainer().fit()


def scheduled(p: nn.Parameter, optimizer: Any) -> None:
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    for batches in zerograd.accumulate(SIZES, optimizer, every=3):
        optimizer.zero_grad()
        for n in batches:
            batches.backward((p * n).sum(), n=n)
        optimizer.step()
        scheduler.step()


def scaled(p: nn.Parameter, optimizer: Any) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for batches in zerograd.accumulate(SIZES, optimizer, every=3):
        optimizer.zero_grad()
        for n in batches:
            batches.backward(scaler.scale((p * n).sum()), n=n)
        scaler.step(optimizer)
        scaler.update()


def guarded(p: nn.Parameter, optimizer: Any) -> None:
    with zerograd.guard(optimizer, action="raise"):
        bare(p, optimizer)


def clipped(p: nn.Parameter, optimizer: Any) -> None:
    for batches in zerograd.accumulate(SIZES, optimizer, every=3):
        optimizer.zero_grad()
        for n in batches:
            batches.backward((p * n).sum(), n=n)
        nn.utils.clip_grad_norm_([p], 1.0)
        optimizer.step()


def logged_after(p: nn.Parameter, optimizer: Any) -> None:
    for batches in zerograd.accumulate(SIZES, optimizer, every=3):
        optimizer.zero_grad()
        for n in batches:
            batches.backward((p * n).sum(), n=n)
        optimizer.step()
        assert p.grad is not None


def left_early(p: nn.Parameter, optimizer: Any) -> None:
    for batches in zerograd.accumulate(SIZES, optimizer, every=3):
        optimizer.zero_grad()
        for n in batches:
            batches.backward((p * n).sum(), n=n)
            if n == 5:
                break
        optimizer.step()


def through_a_generator(p: nn.Parameter, optimizer: Any) -> None:
    def shown(batches: Any) -> Any:
        yield from batches

    for batches in zerograd.accumulate(SIZES, optimizer, every=3):
        optimizer.zero_grad()
        for n in shown(batches):
            batches.backward((p * n).sum(), n=n)
        optimizer.step()


def stepped_by_another(p: nn.Parameter, optimizer: Any) -> None:
    class Other:
        def step(self) -> None:
            optimizer.step()

    other = Other()
    for batches in zerograd.accumulate(SIZES, optimizer, every=3):
        optimizer.zero_grad()
        for n in batches:
            batches.backward((p * n).sum(), n=n)
        other.step()


def hooked(p: nn.Parameter, optimizer: Any) -> None:
    handle = optimizer.register_step_pre_hook(lambda *_: None)
    bare(p, optimizer)
    handle.remove()


def replaced(p: nn.Parameter, optimizer: Any) -> None:
    step = optimizer.step
    optimizer.step = lambda *given: step(*given)
    bare(p, optimizer)


IN_THE_STEP = [bare, counted_in_a_method, scheduled, scaled, guarded]
BEFORE_IT = [clipped, logged_after, left_early, through_a_generator, stepped_by_another, hooked, replaced]


def run(program: Program, optimizer: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, int]:
    """The weights at the end, and how often something but backward and step has passed over the gradients."""
    passes: list[float] = []
    scale = accumulating.scale_gradients

    def counting(owner: Any, factor: float) -> None:
        passes.append(factor)
        scale(owner, factor)

    monkeypatch.setattr(accumulating, "scale_gradients", counting)
    p = nn.Parameter(torch.ones(3, dtype=torch.float64))
    program(p, optimizer([p]))
    return p.detach(), len(passes)


@pytest.mark.parametrize("program", [*IN_THE_STEP, *BEFORE_IT], ids=lambda p: p.__name__)
def test_where_a_window_is_divided(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    got, passes = run(program, lambda params: zerograd.SGD(params, lr=0.1), monkeypatch)
    # The window of 2, 5 and 1 counts 8 samples and not the 6 that the first one foretold; the one of 3 counts 3 and
    # not 9. One that is left early, after 5, counts 7, and the next one 4 in place of 9.
    assert passes == (0 if program in IN_THE_STEP else 2)
    expected, _ = run(program, lambda params: torch.optim.SGD(params, lr=0.1), monkeypatch)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-14)  # float64: the division comes in another place


class Reading(zerograd.SGD):
    """A step of the user's own, which looks at the gradients first."""

    def step(self) -> None:  # type: ignore[override]
        self.seen = self.param_groups[0]["params"][0].grad.clone()
        super().step()


def test_a_step_of_the_users_own_sees_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Reading] = []
    run(bare, lambda params: made.append(Reading(params, lr=0.1)) or made[0], monkeypatch)
    torch.testing.assert_close(made[0].seen, torch.full((3,), 3.0, dtype=torch.float64), rtol=0, atol=1e-14)


def test_a_program_without_source_is_divided_in_the_step_too(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["for batches in accumulate(SIZES, optimizer, every=3):", "  for n in batches:",
             "    batches.backward((p * n).sum(), n=n)", "  optimizer.step()", "  optimizer.zero_grad()"]  # fmt: skip

    def unread(p: nn.Parameter, optimizer: Any) -> None:
        exec("\n".join(lines), {"SIZES": SIZES, "p": p, "optimizer": optimizer, "accumulate": zerograd.accumulate})

    assert run(unread, lambda params: zerograd.SGD(params, lr=0.1), monkeypatch)[1] == 0
