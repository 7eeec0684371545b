"""Hugging Face's Trainer with a tiny model made from a configuration: both ways in, schedules, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

import zerograd as optim
from tests_ecosystem.common import BOTH, FEW, OPTIMIZERS, assert_same_run, optimizer, torchs, weights


class Tokens(Dataset[dict[str, Tensor]]):
    """Random sequences, always the same."""

    def __init__(self) -> None:
        self.rows = torch.randint(0, 16, (24, 6), generator=torch.Generator().manual_seed(2))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        return {"input_ids": self.rows[i], "labels": self.rows[i]}


def language_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=16,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=16,
    )
    return LlamaForCausalLM(config)


def trainer(home: Any, name: str, folder: Path, *, given: str = "object", **options: Any) -> Trainer:
    """A trainer of eight steps that is given an optimizer, or a class and arguments."""
    model = language_model()
    arguments = TrainingArguments(
        **{
            "output_dir": str(folder), "per_device_train_batch_size": 3, "max_steps": 8, "logging_steps": 1,
            "save_strategy": "no", "report_to": "none", "use_cpu": True, "disable_tqdm": True, "seed": 3,
            "lr_scheduler_type": "linear", "warmup_steps": 2, "max_grad_norm": 0.5, "weight_decay": 0.1,
            "dataloader_pin_memory": False, **options,
        }
    )  # fmt: skip
    ways: dict[str, Any] = (
        {"optimizers": (optimizer(home, name, model.parameters()), None)}
        if given == "object"
        else {"optimizer_cls_and_kwargs": (getattr(home, name), OPTIMIZERS[name])}
    )
    return Trainer(model=model, args=arguments, train_dataset=Tokens(), **ways)


def outcome(trained: Trainer) -> list[Any]:
    """Losses, norms of gradients and learning rates at every step, and the weights."""
    history = [entry for entry in trained.state.log_history if "loss" in entry]
    logged = torch.tensor([[entry["loss"], entry["grad_norm"], entry["learning_rate"]] for entry in history])
    return [logged, *weights(trained.model)]


def run(home: Any, name: str, folder: Path, *, resume: str | None = None, **options: Any) -> Trainer:
    made = trainer(home, name, folder, **options)
    made.train(resume_from_checkpoint=resume)
    return made


RUNS = [
    *((name, "object", {}) for name in OPTIMIZERS),
    *((name, "class", {}) for name in FEW),
    *((name, given, {"gradient_accumulation_steps": 2}) for name in FEW for given in ("object", "class")),
]
"""A trainer takes seconds, so every class runs in one way and a few in the others."""


@pytest.mark.parametrize(("name", "given", "options"), RUNS)
def test_a_run(name: str, given: str, options: dict[str, Any], tmp_path: Path) -> None:
    mine, theirs = (run(home, name, tmp_path, given=given, **options) for home in BOTH)
    assert_same_run(outcome(mine), outcome(theirs), torch.float32)
    inner = mine.optimizer.optimizer
    assert type(inner) is getattr(optim, name)
    assert len(inner.param_groups) == (2 if given == "class" else 1)


@pytest.mark.parametrize("name", FEW)
def test_a_run_in_bfloat16_autocast(name: str, tmp_path: Path) -> None:
    mine, theirs = (outcome(run(home, name, tmp_path, bf16=True)) for home in BOTH)
    # bfloat16 keeps 8 bits: a last bit of a weight may turn a bit of an activation.
    torch.testing.assert_close(mine, theirs, rtol=2e-2, atol=4e-3)


@pytest.mark.parametrize(
    ("saved_by", "given"),
    [(optim, "object"), (torchs, "class")],
    ids=["saved by zerograd, object", "saved by torch, class"],
)
@pytest.mark.parametrize("name", FEW)
def test_a_checkpoint_is_taken_up_again(name: str, saved_by: Any, given: str, tmp_path: Path) -> None:
    whole = outcome(run(torchs, name, tmp_path / "whole", given=given))
    saving = {"save_strategy": "steps", "save_steps": 4}
    run(saved_by, name, tmp_path / "saved", given=given, **saving)
    resumed = run(optim, name, tmp_path / "resumed", given=given, resume=str(tmp_path / "saved" / "checkpoint-4"))
    assert resumed.state.global_step == 8
    assert_same_run(outcome(resumed), whole, torch.float32)
