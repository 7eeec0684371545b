"""Where an uneven window is divided: in the step's own pass, unless something may look at the gradients before."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zerograd
from zerograd.lifecycle import accumulating

SIZES = [2, 5, 1, 3]
Program = Callable[[nn.Parameter, Any], None]
Look = Callable[[], Any]


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


class Clipping(torch.amp.GradScaler):
    """As users write it, to have it in one place."""

    def __init__(self, look: Look) -> None:
        super().__init__("cpu", init_scale=4.0)
        self.look = look

    def step(self, optimizer: Any) -> Any:  # type: ignore[override]
        self.unscale_(optimizer)
        self.look()
        return super().step(optimizer)


class Trainer:
    """Whose optimizer is behind a property that has its name in the instance, too."""

    def __init__(self, optimizer: Any, look: Look) -> None:
        self.__dict__["optimizer"], self.look = optimizer, look

    @property
    def optimizer(self) -> Any:
        self.look()
        return self.__dict__["optimizer"]


def by_a_scaler(batches: Any, backward: Any, optimizer: Any, look: Look) -> None:
    scaler = Clipping(look)
    for n in batches:
        backward(n, scaler.scale)
    scaler.step(optimizer)


def by_a_property(batches: Any, backward: Any, optimizer: Any, look: Look) -> None:
    trainer = Trainer(optimizer, look)
    for n in batches:
        backward(n)
    trainer.optimizer.step()


def in_the_last_round(batches: Any, backward: Any, optimizer: Any, look: Look) -> None:
    for at, n in enumerate(batches):
        backward(n)
        if at == 2 or n == 3:
            look()
    optimizer.step()


def at_a_sentinel(batches: Any, backward: Any, optimizer: Any, look: Look) -> None:
    for n, more in itertools.pairwise(itertools.chain(batches, [None])):
        backward(n)
        [look] and [look, int][more is not None]()
    optimizer.step()


def from_an_iterator(batches: Any, backward: Any, optimizer: Any, look: Look) -> None:
    batches = iter(batches)
    for n in itertools.islice(batches, 3):
        backward(n)
    look()
    optimizer.step()


def after_all_losses(batches: Any, backward: Any, optimizer: Any, look: Look) -> None:
    sum(batches.weighted(backward(n, None), n=n) for n in batches).backward()
    look()
    optimizer.step()


def in_a_comprehension(batches: Any, backward: Any, optimizer: Any, look: Look) -> None:
    for _ in [backward(n) for n in batches][:1]:
        look()
    optimizer.step()


def in_a_closure(batches: Any, backward: Any, optimizer: Any, look: Look) -> None:
    def closure() -> float:
        for n in batches:
            backward(n)
        look()
        return 0.0

    optimizer.step(closure)


@pytest.mark.parametrize("make", [zerograd.SGD, torch.optim.SGD])
@pytest.mark.parametrize(
    "program",
    [by_a_scaler, by_a_property, in_the_last_round, at_a_sentinel, from_an_iterator, after_all_losses,
     in_a_comprehension, in_a_closure],
    ids=lambda p: p.__name__,
)  # fmt: skip
def test_what_looks_before_the_step_sees_the_mean(program: Any, make: Any) -> None:
    p = nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer, seen = make([p], lr=0.1), list[float]()
    for batches in zerograd.accumulate(SIZES, optimizer, every=3):
        optimizer.zero_grad()

        def backward(n: int, scale: Any = lambda x: x, batches: Any = batches) -> Any:
            loss = (p * n).sum()
            return batches.backward(scale(loss), n=n) if scale else loss

        program(batches, backward, optimizer, lambda: seen.append(p.grad[0].item()))  # type: ignore[index]
    assert seen == pytest.approx([(4 + 25 + 1) / 8, 3.0], abs=1e-14)  # float64
    torch.testing.assert_close(p[0].item(), 1.0 - 0.1 * (30 / 8 + 3), rtol=0, atol=1e-14)


@pytest.mark.parametrize("read", [iter, list])
@pytest.mark.parametrize("make", [zerograd.SGD, torch.optim.SGD])
def test_gradients_that_are_hidden_until_the_last_backward_are_divided_then(make: Any, read: Any) -> None:
    """As FSDP does without a sync."""
    p = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer, hidden = make([p], lr=0.1), list[Tensor]()

    def hide(p: Tensor) -> None:
        assert p.grad is not None
        hidden.append(p.grad)
        p.grad = torch.stack(hidden).sum(0) if len(hidden) == 3 else None

    p.register_post_accumulate_grad_hook(hide)
    for batches in zerograd.accumulate(SIZES[:3], optimizer, every=3):
        for n in read(batches):
            batches.backward((p * n).sum(), n=n)
        assert p.grad is not None
        torch.testing.assert_close(p.grad.item(), 30 / 8, rtol=0, atol=1e-14)  # float64
        optimizer.step()


def test_gradients_that_are_added_by_hand_are_divided_after_that() -> None:
    p = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = zerograd.SGD([p], lr=0.1)
    for batches in zerograd.accumulate(SIZES[:3], optimizer, every=3):
        p.grad = torch.zeros_like(p)
        for n in batches:
            p.grad += torch.autograd.grad(batches.weighted((p * n).sum(), n=n), [p])[0]
        torch.testing.assert_close(p.grad.item(), 30 / 8, rtol=0, atol=1e-14)


def test_a_source_that_was_edited_is_not_what_runs(tmp_path: Path) -> None:
    lines = ["for n in batches:", "    batches.backward((p * n).sum(), n=n)", "look()", "optimizer.step()"]
    p = nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer, seen = zerograd.SGD([p], lr=0.1), list[float]()
    code = compile("\n".join(lines), str(tmp_path / "program.py"), "exec")
    (tmp_path / "program.py").write_text("\n".join(x for x in lines if x != "look()"))
    for batches in zerograd.accumulate(SIZES[:3], optimizer, every=3):
        exec(code, {"batches": batches, "p": p, "optimizer": optimizer, "look": lambda: seen.append(p.grad[0].item())})  # type: ignore[index]
    assert seen == pytest.approx([30 / 8], abs=1e-14)


def test_a_function_keeps_nothing_that_it_has_let_go() -> None:
    p = nn.Parameter(torch.ones(3))
    optimizer = zerograd.SGD([p], lr=0.1)
    for batches in zerograd.accumulate(SIZES, optimizer, every=3):
        kept = torch.ones(1)
        for n in batches:
            batches.backward((p * n).sum(), n=n)
        optimizer.step()
        optimizer.zero_grad()
        reference = weakref.ref(kept)
        del kept
        assert reference() is None


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
