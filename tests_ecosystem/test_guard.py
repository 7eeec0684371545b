"""The guard under Lightning, Accelerate and Hugging Face's Trainer: silent on right programs, not on wrong ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from lightning.pytorch import LightningModule
from torch import Tensor, nn

import zerograd
from tests_ecosystem.common import network, torchs
from tests_ecosystem.test_accelerate import Run
from tests_ecosystem.test_hugging_face import trainer
from tests_ecosystem.test_lightning import Manual, Regression, fitted
from zerograd.lifecycle.sessions import guarded_session

Program = Callable[[Any, Path], Any]

HOMES = pytest.mark.parametrize("home", [zerograd, torchs], ids=["zerograd", "torch"])


@pytest.fixture(autouse=True)
def clean_slate() -> Iterator[None]:
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


class Pair(LightningModule):
    """Two networks with an optimizer each, stepped by hand: the generator's gradients reach the discriminator."""

    def __init__(self, home: Any, *, clears: bool = True) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = nn.Linear(5, 5), network()
        self.home, self.clears = home, clears
        self.losses: list[float] = []
        self.rates: list[float] = []

    def training_step(self, batch: Any, _: int) -> None:  # type: ignore[override]
        inputs, _targets = batch
        first, second = self.optimizers()
        self.toggle_optimizer(first)
        first.zero_grad()
        self.manual_backward(-self.discriminator(self.generator(inputs)).mean())
        first.step()
        self.untoggle_optimizer(first)
        if self.clears:
            second.zero_grad()
        loss = self.discriminator(self.generator(inputs).detach()).mean() - self.discriminator(inputs).mean()
        self.manual_backward(loss)
        self.clip_gradients(second, gradient_clip_val=0.1, gradient_clip_algorithm="norm")
        second.step()

    def configure_optimizers(self) -> Any:
        return [
            self.home.Adam(self.generator.parameters(), lr=0.01),
            self.home.AdamW(self.discriminator.parameters(), lr=0.01),
        ]


class Forgetful(Regression):
    """Steps by hand and never clears."""

    def __init__(self, home: Any) -> None:
        super().__init__(home, "AdamW")
        self.automatic_optimization = False

    def training_step(self, batch: Any, index: int) -> None:  # type: ignore[override]
        self.manual_backward(super().training_step(batch, index))
        self.optimizers().step()


class Emptying(Regression):
    """Clears in every micro-batch of a window."""

    def training_step(self, batch: Any, index: int) -> Tensor:
        self.zero_grad()
        return super().training_step(batch, index)


def prepared(home: Any, *, mistake: str = "", **options: Any) -> None:
    """Accelerate's loop; ``mistake``: "forgotten" never clears, "inside" clears the optimizer below its wrapper."""
    run = Run(home, "AdamW", dtype=torch.float32, **options)
    if mistake == "forgotten":
        run.optimizer.zero_grad = lambda *_: None
    elif mistake == "inside":
        run.optimizer.zero_grad = run.optimizer.optimizer.zero_grad
    run.go(24, None if options.get("scaled") else "norm", overflow_at=5 if options.get("scaled") else -1)


def trained(home: Any, folder: Path, *, mistake: bool = False, **options: Any) -> None:
    made = trainer(home, "AdamW", folder, **options)
    if mistake:
        step = made.training_step

        def training_step(model: nn.Module, *arguments: Any) -> Tensor:
            model.zero_grad()
            return step(model, *arguments)

        made.training_step = training_step
    made.train()


RIGHT: dict[str, Program] = {
    "Lightning": lambda home, folder: fitted(Regression(home, "AdamW"), folder),
    "Lightning, accumulated and clipped": lambda home, folder: fitted(
        Regression(home, "AdamW"), folder, accumulate_grad_batches=3, gradient_clip_val=0.1
    ),
    "Lightning by hand": lambda home, folder: fitted(Manual(home, "AdamW", "norm"), folder),
    "Lightning, two optimizers": lambda home, folder: fitted(Pair(home), folder, torch.float32),
    "Accelerate": lambda home, _: prepared(home),
    "Accelerate, accumulated": lambda home, _: prepared(home, every=3),
    "Accelerate with a scaler": lambda home, _: prepared(home, scaled=True),
    "Accelerate with a scaler, accumulated": lambda home, _: prepared(home, scaled=True, every=2),
    "Trainer": lambda home, folder: trained(home, folder),
    "Trainer, accumulated": lambda home, folder: trained(home, folder, gradient_accumulation_steps=3),
}

WRONG: dict[str, tuple[Program, str]] = {
    "Lightning by hand without a clear": (lambda home, folder: fitted(Forgetful(home), folder), "ZG101"),
    "Lightning, two optimizers and a clear too few": (
        lambda home, folder: fitted(Pair(home, clears=False), folder, torch.float32),
        "ZG101",
    ),
    "Lightning, a clear inside the window": (
        lambda home, folder: fitted(Emptying(home, "AdamW"), folder, accumulate_grad_batches=2),
        "ZG105",
    ),
    "Accelerate without a clear": (lambda home, _: prepared(home, mistake="forgotten"), "ZG101"),
    "Accelerate, a clear inside the window": (lambda home, _: prepared(home, every=2, mistake="inside"), "ZG105"),
    "Trainer, a clear inside the window": (
        lambda home, folder: trained(home, folder, mistake=True, gradient_accumulation_steps=2),
        "ZG105",
    ),
}


@HOMES
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_program_is_left_in_peace(name: str, home: Any, tmp_path: Path) -> None:
    with guarded_session() as session:
        RIGHT[name](home, tmp_path)
    assert [str(finding) for finding in session.findings] == []


@HOMES
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_program_is_named(name: str, home: Any, tmp_path: Path) -> None:
    program, code = WRONG[name]
    with guarded_session() as session:
        program(home, tmp_path)
    assert [finding.code for finding in session.findings] == [code], [str(f) for f in session.findings]
    assert all(Path(__file__).parent == Path(site.file).parent for site in session.findings[0].sites)


@pytest.mark.parametrize("wrong", [False, True])
def test_a_guard_is_put_on_through_a_wrapper(wrong: bool) -> None:
    """On the optimizer that Accelerate has prepared."""
    run = Run(zerograd, "AdamW", every=2, dtype=torch.float32)
    if wrong:
        run.optimizer.zero_grad = lambda *_: None
    with zerograd.guard(run.optimizer, run.model, action=lambda _: None) as guard:
        run.go(12)
    assert [finding.code for finding in guard.findings] == ["ZG101"] * wrong
    assert all(finding.parameters[0] == "0.weight" for finding in guard.findings)
