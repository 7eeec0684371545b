"""What the tests of this folder found, each as small as it gets. Strict: a test that passes has to lose its mark."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import zerograd
from zerograd.kernels.cpu import inspector
from zerograd.kernels.cpu.inspector import Inspected


def found(reason: str) -> Any:
    return pytest.mark.xfail(strict=True, reason=reason)


def stepped(name: str, p: Tensor, steps: int = 2, **hypers: Any) -> tuple[Any, Any, Tensor]:
    """zerograd's optimizer after some steps, torch's after the same steps, and the parameter of torch's."""
    q = p.detach().clone().requires_grad_()
    ours = getattr(zerograd, name)([p.requires_grad_()], **hypers)
    theirs = getattr(torch.optim, name)([q], foreach=False, **hypers)
    for _ in range(steps):
        for x, optimizer in ((p, ours), (q, theirs)):
            x.grad = torch.ones_like(p)
            optimizer.step()
    return ours, theirs, q


def test_autograd_hands_over_views_of_the_opposite() -> None:
    """The gradient of a parameter without dimensions: a lazy negation, whose memory holds the opposite."""
    p = torch.tensor(1.0).requires_grad_()
    torch.complex(torch.zeros(()), p).conj().resolve_conj().backward(torch.tensor(1 + 2j))
    assert p.grad is not None
    assert p.grad.is_neg()


def test_a_negative_gradient_without_dimensions() -> None:
    p = torch.tensor(1.0)
    ours, theirs, q = stepped("SGD", p, lr=0.1)
    for x, optimizer in ((p, ours), (q, theirs)):
        x.grad = None
        torch.complex(torch.zeros(()), x).conj().resolve_conj().backward(torch.tensor(1 + 2j))
        optimizer.step()
    assert p.item() == pytest.approx(q.item())


def test_a_negative_gradient_of_several_elements() -> None:
    p = torch.zeros(4)
    ours, theirs, q = stepped("SGD", p, lr=0.1)
    for x, optimizer in ((p, ours), (q, theirs)):
        x.grad = torch.ones(4, dtype=torch.complex64).mul(1j).conj().imag.as_strided((4,), (1,))
        optimizer.step()
    torch.testing.assert_close(p, q)


@pytest.mark.parametrize("kind", ["_Native", "_Python"])
@pytest.mark.parametrize("which", ["p", "state"])
def test_memory_seen_through_a_negation(which: str, kind: str) -> None:
    p, state, place = torch.ones(3), torch.ones(3), np.zeros(1, np.int64)
    p.grad = torch.ones(3)
    asked = Inspected()
    asked.add(p, p.grad, [state], place.ctypes.data)
    one = getattr(inspector, kind)(asked)
    assert one.passes()
    changed = p if which == "p" else state
    changed.data = torch._neg_view(changed.data)
    assert not one.passes()


def test_a_state_swapped_with_another_tensor() -> None:
    """The kernel goes on writing into the memory of the other one; if that is freed, into anybody's."""
    p = torch.zeros(5)
    ours, theirs, q = stepped("SGD", p, lr=0.1, momentum=0.9)
    others = []
    for x, optimizer in ((p, ours), (q, theirs)):
        other = torch.full((5,), 7.0)
        torch.utils.swap_tensors(optimizer.state[x]["momentum_buffer"], other)
        others.append(other)
    kept = others[0].clone()
    ours.step()
    theirs.step()
    torch.testing.assert_close(p, q)
    assert torch.equal(others[0], kept), "what was swapped out is somebody else's now"


def test_a_gradient_without_memory() -> None:
    p, place = torch.ones(3), np.zeros(1, np.int64)
    p.grad = torch.ones(3)
    asked = Inspected()
    asked.add(p, p.grad, [], place.ctypes.data)
    one = inspector._Python(asked)
    assert one.passes()
    p.grad.untyped_storage().resize_(0)
    assert not one.passes()


def test_a_sparse_gradient_before_a_dense_one_that_goes_the_eager_way() -> None:
    """Where no kernel serves the dense one (another device, gaps), both get into one SparseBucket: ValueError."""
    params = [torch.zeros(4).requires_grad_(), torch.zeros(8)[::2].requires_grad_()]
    optimizer = zerograd.Adagrad(params, lr=0.1)
    params[0].grad, params[1].grad = torch.ones(4).to_sparse(), torch.ones(4)
    optimizer.step()
    assert torch.equal(params[1], params[0])


@pytest.mark.parametrize("name", ["SGD", "Adam", "NAdam", "RMSprop", "Adagrad"])
def test_an_infinite_weight_without_decay(name: str) -> None:
    """As a mask of -inf that is part of a parameter; torch leaves the decay out if it is 0."""
    p = torch.tensor([1.0, -torch.inf])
    ours, theirs, q = stepped(name, p, steps=0, lr=0.1)
    for _ in range(3):
        for x, optimizer in ((p, ours), (q, theirs)):
            x.grad = torch.tensor([1.0, 0.0])
            optimizer.step()
    torch.testing.assert_close(p, q, equal_nan=True)


def test_the_memory_of_a_step_count_exchanged() -> None:
    p = torch.zeros(3)
    ours, theirs, q = stepped("Adam", p, lr=0.1)
    for x, optimizer in ((p, ours), (q, theirs)):
        optimizer.state[x]["step"].data = torch.tensor(50.0)
        optimizer.step()
    assert float(ours.state[p]["step"]) == float(theirs.state[q]["step"]) == 51
    torch.testing.assert_close(p, q)


class Doubled(Tensor):
    """A gradient that says itself what it is: twice what its memory holds."""

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        def plain(x: Any) -> Any:
            if isinstance(x, Doubled):
                with torch._C._DisableTorchDispatch():
                    return x.as_subclass(Tensor) * 2
            return type(x)(map(plain, x)) if isinstance(x, (list, tuple)) else x

        return func(*plain(args), **{k: plain(v) for k, v in (kwargs or {}).items()})


def test_a_gradient_of_a_type_with_its_own_operations() -> None:
    """The gate refuses it at the first step; between two steps nobody looks."""
    p, place = torch.ones(3), np.zeros(1, np.int64)
    p.grad = torch.ones(3)
    asked = Inspected()
    asked.add(p, p.grad, [], place.ctypes.data)
    made = [inspector._Python(asked), inspector._Native(asked)]
    assert all(one.passes() for one in made)
    p.grad = Tensor._make_subclass(Doubled, torch.ones(3))
    assert [one.passes() for one in made] == [False, False]


def test_a_parameter_that_has_become_fit_for_a_kernel_is_taken_into_the_plan() -> None:
    params = [torch.zeros(4).requires_grad_() for _ in range(2)]
    optimizer = zerograd.SGD(params, lr=0.1)
    params[0].grad, params[1].grad = torch.ones(4), torch.ones(1).expand(4)  # as the gradient of a sum is
    optimizer.step()
    for _ in range(3):
        for p in params:
            p.grad = torch.ones(4)
        optimizer.step()
    assert optimizer._plan is not None
    assert optimizer._plan.covered == {id(p) for p in params}


@pytest.mark.parametrize("when", ["first step", "later"])
def test_what_one_backend_writes_another_does_not_read(when: str) -> None:
    """The gradient of a compiled parameter is the memory of an eager one that comes first: torch updates that first."""
    results = []
    for module in (zerograd, torch.optim):
        wide = torch.zeros(4)
        first, second = wide[::2].requires_grad_(), torch.zeros(2).requires_grad_()
        optimizer: Any = module.SGD([first, second], lr=1.0, foreach=False)
        for step in range(2):
            first.grad = torch.ones(2)
            second.grad = wide[:2].detach() if step or when == "first step" else torch.zeros(2)
            optimizer.step()
        results.append(second.tolist())
    assert results[0] == results[1]
