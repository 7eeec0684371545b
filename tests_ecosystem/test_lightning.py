"""Lightning's Trainer: what it does with torch's optimizers it does with ours, and the runs are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor
from torch.utils.data import DataLoader

import zerograd as optim
from tests_ecosystem.common import BOTH, FEW, OPTIMIZERS, assert_same_run, network, optimizer, samples, torchs, weights
from zerograd.lifecycle.light import Light

SCHEDULES: dict[str, Any] = {
    "StepLR each epoch": lambda opt: torch.optim.lr_scheduler.StepLR(opt, 1, gamma=0.5),
    "cosine each step": lambda opt: {
        "scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(opt, 10),
        "interval": "step",
    },
    "plateau": lambda opt: {
        "scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau(opt, patience=0, threshold=0.9),
        "monitor": "loss",
    },
    "one cycle": lambda opt: {
        "scheduler": torch.optim.lr_scheduler.OneCycleLR(opt, max_lr=0.05, total_steps=12),
        "interval": "step",
    },
}


class Regression(LightningModule):
    """A network, an optimizer from either home, and the losses and learning rates it went through."""

    def __init__(self, home: Any, name: str, schedule: str | None = None) -> None:
        super().__init__()
        self.net = network()
        self.home, self.name, self.schedule = home, name, schedule
        self.losses: list[float] = []
        self.rates: list[float] = []

    def training_step(self, batch: Any, _: int) -> Tensor:
        inputs, targets = batch
        loss = torch.nn.functional.mse_loss(self.net(inputs), targets)
        self.losses.append(loss.item())
        self.rates.append(float(self.trainer.optimizers[0].param_groups[0]["lr"]))
        self.log("loss", loss, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        made = optimizer(self.home, self.name, self.parameters())
        return made if self.schedule is None else ([made], [SCHEDULES[self.schedule](made)])


class Manual(Regression):
    """The user steps by hand: accumulates over two batches, clips, and toggles the optimizer."""

    def __init__(self, home: Any, name: str, clip: str | None) -> None:
        super().__init__(home, name)
        self.automatic_optimization = False
        self.clip = clip

    def training_step(self, batch: Any, index: int) -> None:  # type: ignore[override]
        loss = super().training_step(batch, index)
        opt = self.optimizers()
        with opt.toggle_model(sync_grad=index % 2 == 1):
            self.manual_backward(loss / 2)
            if index % 2 == 1:
                if self.clip:
                    self.clip_gradients(opt, gradient_clip_val=0.1, gradient_clip_algorithm=self.clip)
                opt.step()
                opt.zero_grad()


def fitted(model: Regression, folder: Path, dtype: torch.dtype = torch.float64, **options: Any) -> list[Any]:
    """Losses, rates and weights of a run of three epochs of four batches each."""
    options = {"max_epochs": 3, "precision": "64-true" if dtype == torch.float64 else "32-true", **options}
    resume = options.pop("resume", None)
    plain = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = Trainer(**{**plain, "enable_checkpointing": False, "default_root_dir": folder, **options})
    trainer.fit(model, DataLoader(samples(dtype), batch_size=8), ckpt_path=resume)
    return [torch.tensor(model.losses, dtype=dtype), torch.tensor(model.rates, dtype=dtype), *weights(model)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_clip_val": 0.1},
        {"gradient_clip_val": 0.1, "gradient_clip_algorithm": "value"},
        {"accumulate_grad_batches": 3, "gradient_clip_val": 0.1},
    ],
    ids=["plain", "clipped by norm", "clipped by value", "accumulated"],
)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_automatic_optimization(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    mine, theirs = (fitted(Regression(home, name), tmp_path, **options) for home in BOTH)
    assert_same_run(mine, theirs)


def test_clipping_makes_a_difference_here(tmp_path: Path) -> None:
    """Or the test above would not see that it was left out."""
    free, clipped = (fitted(Regression(optim, "SGD"), tmp_path, gradient_clip_val=clip) for clip in (None, 0.1))
    assert (free[0] - clipped[0]).abs().max() > 1e-2


@pytest.mark.parametrize("clip", [None, "norm", "value"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_manual_optimization(name: str, clip: str | None, tmp_path: Path) -> None:
    mine, theirs = (fitted(Manual(home, name, clip), tmp_path) for home in BOTH)
    assert_same_run(mine, theirs)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", FEW)
def test_schedules(name: str, schedule: str, tmp_path: Path) -> None:
    mine, theirs = (fitted(Regression(home, name, schedule), tmp_path) for home in BOTH)
    assert_same_run(mine, theirs)
    assert len(set(mine[1].tolist())) > 1


@pytest.mark.parametrize("clip", [None, "norm", "value"])
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("name", FEW)
def test_mixed_precision_with_lightnings_clipping(name: str, precision: Any, clip: str | None, tmp_path: Path) -> None:
    """Lightning refuses to clip where an optimizer says that it unscales gradients itself, in either precision."""
    runs = []
    for home in BOTH:
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0) if precision == "16-mixed" else None
        options: dict[str, Any] = {"plugins": MixedPrecision(precision, "cpu", scaler), "precision": None}
        if clip:
            options |= {"gradient_clip_val": 0.1, "gradient_clip_algorithm": clip}
        runs.append(fitted(Regression(home, name), tmp_path, torch.float32, **options))
    # bfloat16 keeps 8 bits, half precision 11: a last bit of a weight may turn a bit of an activation (2 ** -9).
    torch.testing.assert_close(runs[0], runs[1], rtol=2e-2, atol=4e-3)


class Overflowing(Regression):
    """The loss of the third batch overflows."""

    def training_step(self, batch: Any, index: int) -> Tensor:
        loss = super().training_step(batch, index)
        return loss * float("inf") if len(self.losses) == 3 else loss


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_overflow_under_a_scaler_is_left_out(name: str, tmp_path: Path) -> None:
    runs = []
    for home in BOTH:
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        model = Overflowing(home, name)
        plugin = MixedPrecision("16-mixed", "cpu", scaler)
        run = fitted(model, tmp_path, torch.float32, plugins=plugin, precision=None, gradient_clip_val=0.1)
        assert scaler.get_scale() == 512.0
        assert all(p.isfinite().all() for p in run)
        runs.append(run)
    # As above.
    torch.testing.assert_close(runs[0], runs[1], rtol=2e-2, atol=4e-3)


@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("name", FEW)
def test_the_step_hears_of_an_overflow_from_the_scaler(name: str, clip: float | None, tmp_path: Path) -> None:
    """The scaler takes the fast path, and Lightning, which asks the same question, is told no and clips."""
    seen: list[Any] = []

    class Watched(Overflowing):
        def configure_optimizers(self) -> Any:
            made = super().configure_optimizers()
            made.register_step_pre_hook(Light(lambda *_: seen.append((float(made.found_inf), made.grad_scale))))
            return made

    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))
    fitted(Watched(optim, name), tmp_path, torch.float32, plugins=plugin, precision=None, gradient_clip_val=clip)
    # Lightning unscales before it clips or not, so the step has nothing left to unscale.
    assert seen == [(float(i == 2), None) for i in range(12)]


@pytest.mark.parametrize("saved_by", ["zerograd", "torch"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_checkpoint_is_taken_up_again(name: str, saved_by: str, tmp_path: Path) -> None:
    """From ours and from torch's: the run goes on as torch's run that was never stopped."""
    whole = fitted(Regression(torchs, name, "StepLR each epoch"), tmp_path)
    first = Regression(optim if saved_by == "zerograd" else torchs, name, "StepLR each epoch")
    saving = {"enable_checkpointing": True, "max_epochs": 2}
    fitted(first, tmp_path, **saving)
    (kept,) = tmp_path.rglob("*.ckpt")
    second = Regression(optim, name, "StepLR each epoch")
    resumed = fitted(second, tmp_path, resume=kept)
    assert len(second.losses) == 4
    assert_same_run(resumed[2:], whole[2:])
    assert_same_run([resumed[0], resumed[1]], [whole[0][8:], whole[1][8:]])


def test_a_run_with_zerograds_own_clipping(tmp_path: Path) -> None:
    class Own(Regression):
        def configure_optimizers(self) -> Any:
            return optim.AdamW(self.parameters(), **OPTIMIZERS["AdamW"], clip=0.1)  # type: ignore[call-arg, unused-ignore]

    theirs = fitted(Regression(torch.optim, "AdamW"), tmp_path, gradient_clip_val=0.1)
    # torch divides by norm + 1e-6, which is 1e-5 of the largest norm that is clipped here.
    torch.testing.assert_close(fitted(Own(optim, "AdamW"), tmp_path), theirs, rtol=1e-3, atol=1e-4)
