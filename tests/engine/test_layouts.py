"""Layouts: however parameters and gradients lie in memory, the numbers are those of torch's loop over the tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.common import FLAGS, SHARED, noise, ours, torchs

Made = tuple[Tensor, Callable[[int], Tensor]]


def plain(*shape: int) -> Callable[[int], Tensor]:
    return lambda seed: noise(seed, *shape, dtype=torch.float64)


def lying(memory_format: torch.memory_format, *shape: int) -> Callable[[int], Tensor]:
    return lambda seed: plain(*shape)(seed).to(memory_format=memory_format)


def transposed(rows: int, columns: int) -> Callable[[int], Tensor]:
    return lambda seed: plain(columns, rows)(seed).t()


def complexes(*shape: int) -> Callable[[int], Tensor]:
    return lambda seed: torch.complex(plain(*shape)(seed), plain(*shape)(seed + 50))


def with_gaps(rows: int, columns: int) -> Callable[[int], Tensor]:
    return lambda seed: plain(rows, 2 * columns)(seed)[:, ::2]


KINDS: dict[str, tuple[Callable[[int], Tensor], Callable[[int], Tensor]]] = {
    "channels last": (lying(torch.channels_last, 2, 3, 4, 5), lying(torch.channels_last, 2, 3, 4, 5)),
    "channels last, gradient not": (lying(torch.channels_last, 2, 3, 4, 5), plain(2, 3, 4, 5)),
    "gradient channels last": (plain(2, 3, 4, 5), lying(torch.channels_last, 2, 3, 4, 5)),
    "channels last 3d": (lying(torch.channels_last_3d, 2, 3, 2, 4, 5), lying(torch.channels_last_3d, 2, 3, 2, 4, 5)),
    "gradient channels last 3d": (plain(2, 3, 2, 4, 5), lying(torch.channels_last_3d, 2, 3, 2, 4, 5)),
    "transposed": (transposed(3, 4), transposed(3, 4)),
    "gradient transposed": (plain(3, 4), transposed(3, 4)),
    "parameter transposed": (transposed(3, 4), plain(3, 4)),
    "gradient expanded": (plain(3, 4), lambda seed: plain(1, 4)(seed).expand(3, 4)),
    "gradient one number": (plain(3, 4), lambda seed: plain()(seed).expand(3, 4)),
    "gradient with gaps": (plain(3, 4), with_gaps(3, 4)),
    "parameter with gaps": (with_gaps(3, 4), plain(3, 4)),
    "gradient negated": (plain(3, 4), lambda seed: torch._neg_view(plain(3, 4)(seed))),
    "complex": (complexes(3, 4), complexes(3, 4)),
    "complex transposed": (lambda seed: complexes(4, 3)(seed).t(), complexes(3, 4)),
    "complex, gradient conjugated": (complexes(3, 4), lambda seed: complexes(3, 4)(seed).conj()),
    "complex without dimensions": (complexes(), complexes()),
    "complex, gradient expanded": (complexes(3, 4), lambda seed: complexes(1, 4)(seed).expand(3, 4)),
}
"""A parameter and its gradients, by seed."""


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """Step counts in float64 on both sides, as the tensors are."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def run(make: Callable[..., Any], name: str, kind: str, sets: list[tuple[bool, ...]], **hypers: Any) -> list[Tensor]:
    """Two odd parameters between two plain ones; sets: which have a gradient, step by step."""
    starts, gradients = KINDS[kind]
    params = [plain(5)(1), starts(2), starts(3), plain(2, 2)(4)]
    params = [p.detach().requires_grad_() for p in params]
    optimizer = make(name, params, **FLAGS.get(name, {}), **hypers)
    for step, wanted in enumerate(sets):
        kept = []
        for i, (p, has) in enumerate(zip(params, wanted, strict=True)):
            p.grad = (gradients if i in (1, 2) else plain(*p.shape))(20 * step + i) if has else None
            if p.grad is not None:
                if make is torchs:  # torch's own rules, but for SGD's, raise for conjugate views
                    p.grad = p.grad.resolve_conj()
                kept.append((p.grad, p.grad.stride(), p.grad.clone()))
        optimizer.step()
        for g, stride, numbers in kept:
            assert torch.equal(g, numbers), "a gradient is left as it was"
            assert g.stride() == stride
    states = [optimizer.state[p] for p in params if p in optimizer.state]
    return [*params, *(held[key] for held in states for key in sorted(held) if held[key].dim())]


ALL = [(True,) * 4] * 5
TURNS = [tuple((step * 7 + i * 3) % 4 != 0 for i in range(4)) for step in range(40)]
"""Another set of parameters at nearly every step: those are not worth a plan, and are gathered the quick way."""


@pytest.mark.parametrize("sets", [ALL, TURNS], ids=["always", "in turns"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SHARED)
def test_layouts_change_no_number(name: str, kind: str, sets: list[tuple[bool, ...]]) -> None:
    found = [run(make, name, kind, sets) for make in (ours, torchs)]
    assert len(found[0]) == len(found[1])
    for mine, theirs in zip(*found, strict=True):
        # float64 in another order of operations; Adadelta and a centred variance cancel some digits.
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("sets", [ALL, TURNS], ids=["always", "in turns"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_clipped_norm_sees_every_layout(kind: str, sets: list[tuple[bool, ...]]) -> None:
    def clipping(name: str, params: list[Tensor], **hypers: Any) -> Any:
        optimizer = torchs(name, params, **hypers)

        def clip(*_: Any) -> None:
            for p in params:
                if p.grad is not None:
                    p.grad = p.grad.resolve_conj().resolve_neg().clone()
            torch.nn.utils.clip_grad_norm_(params, 0.5)

        class Clipped:
            state = optimizer.state

            def step(self) -> None:
                kept = [p.grad for p in params]
                clip()
                optimizer.step()
                for p, g in zip(params, kept, strict=True):
                    p.grad = g

        return Clipped()

    mine = run(lambda name, params, **hypers: ours(name, params, clip=0.5, **hypers), "AdamW", kind, sets)
    theirs = run(clipping, "AdamW", kind, sets)
    for a, b in zip(mine, theirs, strict=True):
        # torch divides by the norm + 1e-6 in the gradient's dtype, as we do: the rest is order.
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)


def test_complex_parameters_are_served_by_kernels_as_pairs() -> None:
    p = complexes(3, 4)(0).requires_grad_()
    optimizer = ours("AdamW", [p])
    for step in range(3):
        p.grad = complexes(3, 4)(step + 1)
        version = p._version
        optimizer.step()
        assert p._version > version
    assert optimizer._plan is not None
    assert optimizer._plan.covered == {id(p)}
    assert optimizer.state[p]["exp_avg"].dtype == torch.complex128
    p.grad = complexes(3, 4)(9).conj()  # the plan has to see that: memory holds other numbers
    q = p.detach().clone().requires_grad_()
    other = ours("AdamW", [q])
    other.load_state_dict(optimizer.state_dict())
    q.grad = p.grad.resolve_conj()
    optimizer.step()
    other.step()
    torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)  # the order of a product


@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")  # torch's Adagrad makes some
@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
@pytest.mark.parametrize("coalesced", [False, True])
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("dense_dims", [0, 1, 2])
def test_sparse_gradients_go_as_torchs(name: str, coalesced: bool, maximize: bool, dense_dims: int) -> None:
    shape = (6, 3, 2)
    found = []
    for make in (ours, torchs):
        p, q = plain(*shape)(1).requires_grad_(), plain(4)(2).requires_grad_()
        optimizer = make(name, [p, q], lr=0.1, maximize=maximize)
        for step in range(4):
            index = torch.tensor([[0, 3, 3, 5], [1, 0, 0, 2], [1, 1, 1, 0]])[: 3 - dense_dims]
            g = torch.sparse_coo_tensor(index, plain(4, *shape[3 - dense_dims :])(step), shape, check_invariants=True)
            p.grad, q.grad = (g.coalesce() if coalesced else g), plain(4)(step + 9)
            optimizer.step()
            assert p.grad.is_sparse
            assert p.grad.is_coalesced() == coalesced
        found.append((p, q))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)  # float64 in another order


@pytest.mark.parametrize("coalesced", [False, True])
def test_a_sparse_gradient_of_a_slice_moves_that_slice_only(coalesced: bool) -> None:
    """torch 2.13 adds a coalesced one in a wrong place, beyond the slice."""
    memory = torch.zeros(30)
    p = memory[10:14].requires_grad_()
    optimizer = ours("SGD", [p], lr=1.0)
    for _ in range(12):  # also when gathered the quick way
        p.grad = torch.sparse_coo_tensor(torch.tensor([[0, 3]]), torch.ones(2), (4,), check_invariants=True)
        p.grad = p.grad.coalesce() if coalesced else p.grad
        optimizer.step()
    expected = torch.zeros(30)
    expected[[10, 13]] = -12
    assert torch.equal(memory, expected)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")
@pytest.mark.parametrize("name", SHARED)
def test_who_refuses_sparse_gradients(name: str) -> None:
    """Where torch raises, so does zerograd, with the same type; the other way round it does not raise either."""
    raised = []
    for make in (ours, torchs):
        p = plain(4, 2)(0).requires_grad_()
        optimizer = make(name, [p])
        p.grad = torch.sparse_coo_tensor(torch.tensor([[1, 3]]), plain(2, 2)(1), (4, 2), check_invariants=True)
        try:
            optimizer.step()
            raised.append(None)
        except Exception as error:
            raised.append(type(error))
            assert make is torchs or torch.equal(p, plain(4, 2)(0))
    assert raised[0] is raised[1]


def test_parameters_that_share_storage_are_both_moved() -> None:
    """Views of one buffer that overlap: each takes its step; with a rule that only adds, the order does not count."""
    found = []
    for make in (ours, torchs):
        memory = plain(10)(0)
        params = [memory[:6].requires_grad_(), memory[4:].requires_grad_(), plain(3)(1).requires_grad_()]
        optimizer = make("SGD", params, lr=0.1)
        for step in range(3):
            for i, p in enumerate(params):
                p.grad = plain(*p.shape)(step + i)
            optimizer.step()
        found.append((memory, params[2]))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)  # sums in another order


@pytest.mark.parametrize("name", SHARED)
def test_inference_tensors_step_where_torch_steps_them(name: str) -> None:
    found: list[Tensor] = []
    outside: list[type[Exception] | None] = []
    for make in (ours, torchs):
        with torch.inference_mode():
            p = plain(3, 4)(0).clone()
        optimizer = make(name, [p])
        for step in range(3):
            with torch.inference_mode():
                p.grad = plain(3, 4)(step + 1)
                optimizer.step()
        found.append(p.clone())
        try:
            optimizer.step()  # outside of inference mode these tensors can't be changed
            outside.append(None)
        except RuntimeError as error:
            outside.append(type(error))
            assert make is torchs or torch.equal(p, found[-1]), "nothing was changed"
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-10)
    assert outside[0] is outside[1]


class Wrapped(Tensor):
    """Numbers that lie elsewhere, as in quantised or sharded tensors of other libraries."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Wrapped:
        made: Wrapped = Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        def bare(x: Any) -> Any:
            if isinstance(x, (list, tuple)):
                return type(x)(map(bare, x))
            return x.inner if isinstance(x, Wrapped) else x

        result = func(*bare(args), **{k: bare(v) for k, v in (kwargs or {}).items()})
        if isinstance(result, Tensor):  # what works in place gives back what it was given
            same = [a for a in args if isinstance(a, Wrapped) and a.inner is result]
            return same[0] if same else Wrapped(result)
        return result


@pytest.mark.parametrize("name", ["SGD", "AdamW", "Adagrad"])
def test_a_wrapper_round_another_tensor_goes_through_its_own_operations(name: str) -> None:
    found = []
    for make in (ours, torchs):
        p = nn.Parameter(Wrapped(plain(3, 4)(0).clone()), requires_grad=False)
        q = plain(3, 4)(0).clone().requires_grad_()
        optimizer = make(name, [p, q])
        for step in range(3):
            p.grad, q.grad = Wrapped(plain(3, 4)(step + 1)), plain(3, 4)(step + 1)
            optimizer.step()
        inner = getattr(p, "inner", None)
        found.append((p.data.inner if inner is None else inner, q))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-12, atol=1e-12)  # another order of operations
    torch.testing.assert_close(found[0][0], found[0][1].detach(), rtol=1e-12, atol=1e-12)
