"""torch.compile round a whole training step: the optimizer stays as it is, from its first step on."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zerograd as optim
from engine.common import OWN, SHARED, noise, ours
from zerograd.engine.dynamo import untraced

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:torch"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),  # the compiler looks at it
]

Wrap = Callable[[Callable[[Tensor], Tensor]], Callable[[Tensor], Tensor]]


class Counter:
    """A backend of torch.compile that counts graphs and runs them as they are."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, module: Any, _: Any) -> Any:
        self.graphs += 1
        return module.forward


@pytest.fixture
def counter() -> Iterator[Counter]:
    torch._dynamo.reset()
    yield Counter()
    torch._dynamo.reset()


def compiled(counter: Counter) -> Wrap:
    return lambda function: torch.compile(function, backend=counter)


def trained(make: Callable[[Any], Any], wrap: Wrap, *, scheduled: bool = False) -> list[Tensor]:
    """The parameters and losses of four steps."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = make(model.parameters())
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5) if scheduled else None

    def training_step(x: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    step = wrap(training_step)
    losses = []
    for i in range(4):
        losses.append(step(noise(i, 4, 3)).detach())
        if scheduler:
            scheduler.step()
    return [*losses, *(p.detach() for p in model.parameters())]


class Child(optim.AdamW):
    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


@pytest.mark.parametrize("scheduled", [False, True], ids=["", "with a scheduler"])
@pytest.mark.parametrize("make", [*(lambda params, n=n: ours(n, params) for n in [*SHARED, *OWN]), Child],
                         ids=[*SHARED, *OWN, "a subclass"])  # fmt: skip
def test_a_compiled_training_step_is_the_eager_one(make: Any, scheduled: bool, counter: Counter) -> None:
    eager = trained(make, lambda function: function, scheduled=scheduled)
    graphed = trained(make, compiled(counter), scheduled=scheduled)
    # The graph runs the model's operations one by one as eager mode does, and the step is the very same code.
    torch.testing.assert_close(graphed, eager, rtol=0, atol=0)
    assert 1 <= counter.graphs <= 2, "the model's forward and nothing of the optimizer"


def test_a_closure_may_hold_a_compiled_model(counter: Counter) -> None:
    def trained_with(wrap: Callable[[nn.Module], Any]) -> list[Tensor]:
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        called = wrap(model)
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = called(noise(0, 4, 3)).square().mean()
            loss.backward()
            return loss

        return [*(optimizer.step(closure).detach() for _ in range(3)), *(p.detach() for p in model.parameters())]

    eager = trained_with(lambda model: model)
    torch.testing.assert_close(trained_with(lambda m: torch.compile(m, backend=counter)), eager, rtol=0, atol=0)
    assert counter.graphs == 1


def test_hooks_fire_in_a_compiled_training_step(counter: Counter) -> None:
    seen: list[str] = []

    def make(params: Any) -> Any:
        optimizer = Child(params)
        optimizer.register_step_pre_hook(lambda *_: seen.append("pre"))
        optimizer.register_step_post_hook(lambda *_: seen.append("post"))
        return optimizer

    trained(make, compiled(counter))
    assert seen == ["pre", "post"] * 4


def test_a_demand_for_one_graph_says_why_it_can_not_be(counter: Counter) -> None:
    p = noise(0, 3).requires_grad_()
    optimizer = optim.SGD([p], lr=0.1)
    p.grad = noise(1, 3)
    step = torch.compile(lambda: optimizer.step(), backend=counter, fullgraph=True)
    with pytest.raises(torch._dynamo.exc.Unsupported, match="Leave fullgraph=True out, or call the optimizer outside"):
        step()


def test_without_marks_on_code_torchs_own_wrapper_is_taken(monkeypatch: pytest.MonkeyPatch, counter: Counter) -> None:
    from torch._C._dynamo import eval_frame

    def plain(x: Tensor) -> Tensor:
        return x + 1 if not torch.compiler.is_compiling() else x

    monkeypatch.delattr(eval_frame, "set_code_exec_strategy")
    hidden = untraced(plain)
    assert hidden is not plain
    assert torch.equal(torch.compile(lambda x: hidden(x), backend=counter)(torch.ones(2)), torch.full((2,), 2.0))
    assert counter.graphs == 0


def test_the_first_step_of_all_may_lie_in_a_compiled_function() -> None:
    """In a fresh interpreter, in which neither the compiler nor a kernel has run before."""
    program = """
        import sys
        import torch
        import zerograd as optim
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        optimizer = optim.AdamW(model.parameters(), lr=0.01, clip=1.0)
        assert "torch._dynamo" not in sys.modules
        graphs = []

        def backend(module, _):
            graphs.append(module)
            return module.forward

        @torch.compile(backend=backend)
        def training_step(x):
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        losses = [training_step(torch.ones(4, 3)).item() for _ in range(3)]
        assert losses[2] < losses[0], losses
        assert float(optimizer.state[model.weight]["step"]) == 3
        assert len(graphs) <= 2, len(graphs)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
