"""``import zerograd as optim`` in the place of ``import torch.optim as optim``."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType

import pytest
import torch
import torch.optim.lr_scheduler
import torch.optim.swa_utils

import zerograd
import zerograd as optim

SUBMODULES = ["lr_scheduler", "swa_utils"]


def test_every_name_of_torch_optim_is_here() -> None:
    assert set(torch.optim.__all__) <= set(dir(zerograd))


@pytest.mark.parametrize("name", sorted(torch.optim.__all__))
def test_a_name_means_the_same_kind_of_thing(name: str) -> None:
    ours, torchs = getattr(optim, name), getattr(torch.optim, name)
    assert inspect.isclass(ours) == inspect.isclass(torchs)
    assert isinstance(ours, ModuleType) == isinstance(torchs, ModuleType)
    if inspect.isclass(ours):
        assert ours.__name__ == torchs.__name__
        assert issubclass(ours, torch.optim.Optimizer)


def test_the_base_class_is_torchs() -> None:
    assert zerograd.Optimizer is torch.optim.Optimizer


@pytest.mark.parametrize("name", zerograd.optim.__all__)
def test_every_optimizer_is_an_optimizer_of_torch(name: str) -> None:
    assert issubclass(getattr(zerograd, name), torch.optim.Optimizer)


@pytest.mark.parametrize("name", SUBMODULES)
def test_a_submodule_holds_everything_of_torchs(name: str) -> None:
    ours, torchs = importlib.import_module(f"zerograd.{name}"), getattr(torch.optim, name)
    assert getattr(zerograd, name) is ours
    assert ours.__all__ == torchs.__all__
    for public in torchs.__all__:
        assert getattr(ours, public) is getattr(torchs, public), public


def test_submodules_are_imported_in_every_way() -> None:
    import zerograd.lr_scheduler
    import zerograd.swa_utils
    from zerograd import lr_scheduler
    from zerograd.lr_scheduler import LRScheduler, StepLR
    from zerograd.swa_utils import AveragedModel

    assert zerograd.lr_scheduler.StepLR is lr_scheduler.StepLR is StepLR is torch.optim.lr_scheduler.StepLR
    assert issubclass(StepLR, LRScheduler)
    assert zerograd.swa_utils.AveragedModel is AveragedModel


def test_a_name_that_does_not_exist_is_answered_with_the_nearest() -> None:
    with pytest.raises(AttributeError, match="did you mean 'AdamW'"):
        _ = optim.adamw  # type: ignore[attr-defined]
    with pytest.raises(ImportError):
        from zerograd import Adamm  # type: ignore[attr-defined]  # noqa: F401
