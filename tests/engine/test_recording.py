"""Law: a mode that fakes or records operations sees the step, as it would see torch's; no kernel goes past it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

import zerograd as optim
from engine.common import SHARED, noise, ours


class Seen(TorchDispatchMode):
    """The names of the operations that change a tensor in place."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names += [str(func)] if func._schema.is_mutable else []
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", SHARED)
def test_a_step_on_fake_tensors_makes_fake_states_and_counts(name: str) -> None:
    with FakeTensorMode():
        p = torch.randn(4, 3).requires_grad_()
        optimizer = ours(name, [p])
        for _ in range(2):
            p.grad = torch.randn(4, 3)
            optimizer.step()
    state = optimizer.state[p]
    if "step" in state:
        assert state["step"].item() == 2
    assert all(isinstance(value, FakeTensor) and value.shape == p.shape for value in state.values() if value.dim())


@pytest.mark.parametrize("name", ["AdamW", "SGD", "Muon"])
def test_a_mode_sees_the_operations_and_changes_nothing(name: str) -> None:
    finals = []
    for seen in (None, Seen()):
        p = noise(0, 4, 3).requires_grad_()
        optimizer = getattr(optim, name)([p], lr=0.1)
        for step in range(6):  # steps by a plan before and after
            p.grad = noise(step, 4, 3)
            if seen is not None and step in (3, 4):
                with seen:
                    optimizer.step()
            else:
                optimizer.step()
        assert seen is None or len(seen.names) >= 2
        finals.append(p.detach())
    torch.testing.assert_close(*finals)


def test_a_recorded_step_of_sgd_can_be_repeated() -> None:
    def move(p: Tensor, g: Tensor, buffer: Tensor) -> Tensor:
        p.grad = g
        optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
        optimizer.state[p]["momentum_buffer"] = buffer
        optimizer.step()
        return p

    graph = make_fx(move)(noise(0, 4, 3), noise(1, 4, 3), noise(2, 4, 3))
    torch.testing.assert_close(graph(*(noise(i, 4, 3) for i in (3, 4, 5))), move(*(noise(i, 4, 3) for i in (3, 4, 5))))


def test_a_graph_that_would_repeat_a_step_count_is_refused() -> None:
    def move(p: Tensor, g: Tensor) -> Tensor:
        p.grad = g
        optim.AdamW([p]).step()
        return p

    with pytest.raises(RuntimeError, match=r"AdamW.step\(\) can't be recorded by make_fx: it counts its steps"):
        make_fx(move)(noise(0, 4, 3), noise(1, 4, 3))
