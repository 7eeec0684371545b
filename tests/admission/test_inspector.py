"""The native inspector and its twin in Python: the same answers, the right ones, for whatever people do to tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

from zerograd.kernels.cpu import inspector
from zerograd.kernels.cpu.inspector import Inspected

pytestmark = pytest.mark.skipif(inspector.native() is not None, reason=f"{inspector.native()}")


def fresh(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.ones(shape, dtype=dtype)


def with_gradient(*shape: int) -> Tensor:
    p = fresh(*shape)
    p.grad = fresh(*shape)
    return p


@dataclass
class Scene:
    """Tensors that a plan could be made of. single: of one element; number: without dimensions; tall: (4, 1).

    absent has no gradient. places: where the addresses of the gradients go.
    """

    p: Tensor = field(default_factory=lambda: with_gradient(3, 3))
    single: Tensor = field(default_factory=lambda: with_gradient(1))
    number: Tensor = field(default_factory=lambda: with_gradient())
    tall: Tensor = field(default_factory=lambda: with_gradient(4, 1))
    empty: Tensor = field(default_factory=lambda: with_gradient(0))
    absent: Tensor = field(default_factory=lambda: fresh(2))
    state: Tensor = field(default_factory=lambda: fresh(3, 3))
    flat: Tensor = field(default_factory=lambda: torch.ones(40))

    def __post_init__(self) -> None:
        self.params = [self.p, self.single, self.number, self.tall, self.empty]

    def asked(self, places: np.ndarray) -> Inspected:  # type: ignore[type-arg]
        found = Inspected()
        for i, p in enumerate(self.params):
            assert p.grad is not None
            found.add(p, p.grad, [self.state] if p is self.p else [], places.ctypes.data + 8 * i)
        found.absent = [self.absent]
        return found


def grad(p: Tensor, g: Tensor | None) -> None:
    """p.grad = g, of any dtype."""
    p.grad = None
    if g is not None and g.dtype != p.dtype:
        p.grad_dtype = g.dtype
    p.grad = g


def data(tensor: Tensor, new: Tensor) -> None:
    tensor.data = new


Change = Callable[[Scene], object]

SEEN: dict[str, Change] = {
    "p elsewhere": lambda s: data(s.p, fresh(3, 3)),
    "p transposed in place": lambda s: data(s.p, s.p.data.t()),
    "p shorter": lambda s: data(s.p, s.p.data[:2]),
    "p narrower": lambda s: data(s.p, s.p.data[:, :2]),
    "p with one dimension": lambda s: data(s.p, s.p.data.view(9)),
    "p with another dimension": lambda s: data(s.p, s.p.data[None]),
    "p of another dtype": lambda s: data(s.p, s.p.data.view(torch.int32)),
    "p in half precision": lambda s: data(s.p, s.p.data.bfloat16()),
    "p resized": lambda s: s.p.data.untyped_storage().resize_(0),
    "p of one element elsewhere": lambda s: data(s.single, fresh(1)),
    "number elsewhere": lambda s: data(s.number, fresh()),
    "state elsewhere": lambda s: data(s.state, fresh(3, 3)),
    "state transposed in place": lambda s: data(s.state, s.state.data.t()),
    "state of another dtype": lambda s: data(s.state, s.state.data.double()),
    "state shorter": lambda s: data(s.state, s.state.data[:1]),
    "no gradient": lambda s: grad(s.p, None),
    "no gradient of one element": lambda s: grad(s.single, None),
    "no empty gradient": lambda s: grad(s.empty, None),
    "gradient transposed": lambda s: grad(s.p, fresh(3, 3).t()),
    "gradient with gaps": lambda s: grad(s.p, fresh(3, 4)[:, :3]),
    "gradient expanded": lambda s: grad(s.p, fresh(1).expand(3, 3)),
    "gradient of another dtype": lambda s: grad(s.p, fresh(3, 3, dtype=torch.float64)),
    "gradient in half precision": lambda s: grad(s.p, fresh(3, 3, dtype=torch.bfloat16)),
    "empty gradient of another dtype": lambda s: grad(s.empty, fresh(0, dtype=torch.float64)),
    "sparse gradient": lambda s: grad(s.p, fresh(3, 3).to_sparse()),
    "gradient is p": lambda s: grad(s.p, s.p.detach()),
    "gradient is the state": lambda s: grad(s.p, s.state),
    "gradient is another parameter": lambda s: grad(s.single, s.number.detach().view(1)),
    "gradient is one number of the state": lambda s: grad(s.single, s.state.view(9)[8:]),
    "gradient is the first number of the state": lambda s: grad(s.number, s.state[0, 0]),
    "gradient is a piece of p": lambda s: grad(s.tall, s.p.detach().view(9)[2:6].view(4, 1)),
    "imaginary gradient of one element": lambda s: grad(s.single, fresh(1, dtype=torch.complex64).conj().imag),
    "a gradient appears": lambda s: grad(s.absent, fresh(2)),
    "a sparse gradient appears": lambda s: grad(s.absent, fresh(2).to_sparse()),
}  # fmt: skip
"""Changes after which a plan does not hold."""

HARMLESS: dict[str, Change] = {
    "nothing": lambda _: None,
    "other numbers": lambda s: s.p.data.zero_(),
    "a new gradient": lambda s: grad(s.p, fresh(3, 3)),
    "a new gradient of one element": lambda s: grad(s.single, fresh(1)),
    "a new number": lambda s: grad(s.number, fresh()),
    "a new empty gradient": lambda s: grad(s.empty, fresh(0)),
    "two share a gradient": lambda s: (grad(s.single, s.flat[:1]), grad(s.number, s.flat[0])),
    "gradient beside p": lambda s: grad(s.single, s.flat[3:4]),
    "gradient at an odd place": lambda s: grad(s.p, s.flat[5:14].view(3, 3)),
    "gradient with a history": lambda s: grad(s.p, fresh(3, 3).requires_grad_() * 2),
    "stride of one element": lambda s: grad(s.tall, fresh(1, 4).t()),
    "another stride of one element": lambda s: grad(s.tall, fresh(4, 3).view(12)[:4].as_strided((4, 1), (1, 7))),
    "p seen anew": lambda s: data(s.p, s.p.data.view(9).view(3, 3)),
    "state seen anew": lambda s: data(s.state, s.state.data.view(9).view(3, 3)),
    "gradient of no elements in p": lambda s: grad(s.empty, s.p.detach().view(9)[:0]),
    "the same gradient again": lambda s: grad(s.p, s.p.grad),
}  # fmt: skip
"""Changes that a plan can go on after."""


def answers(change: Change) -> tuple[bool, bool]:
    """The native inspector's answer after a change, and the one in Python; before it, both say that all is well."""
    scene = Scene()
    size = len(scene.params)
    places = [np.zeros(size, np.int64) for _ in range(2)]
    made = [inspector._Native(scene.asked(places[0])), inspector._Python(scene.asked(places[1]))]
    assert [one.passes() for one in made] == [True, True]
    change(scene)
    native, python = [one.passes() for one in made]
    if native and python:
        expected = [p.grad.data_ptr() for p in scene.params if p.grad is not None]
        assert places[0].tolist() == expected
        assert places[1].tolist() == expected
    assert [one.passes() for one in made] == [native, python], "asking changes nothing"
    return native, python


@pytest.mark.parametrize("name", SEEN)
def test_both_see_it(name: str) -> None:
    assert answers(SEEN[name]) == (False, False)


@pytest.mark.parametrize("name", HARMLESS)
def test_both_go_on(name: str) -> None:
    assert answers(HARMLESS[name]) == (True, True)


@pytest.mark.parametrize("first", [0, 1, 2, 7, 8])
@pytest.mark.parametrize("length", [1, 2, 8, 9])
def test_a_gradient_that_shares_any_byte_with_what_is_written_is_seen(first: int, length: int) -> None:
    """A parameter of nine floats in the middle of 27, and a gradient that slides over all of them."""
    flat = torch.ones(27)
    written = flat[9:18]
    written.grad = torch.ones(9)
    reader = torch.ones(length)
    for start in range(first, 27 - length + 1, 9):
        reader.grad = torch.ones(length)
        places = np.zeros(2, np.int64)
        asked = Inspected()
        asked.add(written, written.grad, [], places.ctypes.data)
        asked.add(reader, reader.grad, [], places.ctypes.data + 8)
        both = inspector._Native(asked), inspector._Python(asked)
        reader.grad = flat[start : start + length]
        apart = start + length <= 9 or start >= 18
        assert [one.passes() for one in both] == [apart, apart]


def test_the_inspector_in_use_is_the_native_one() -> None:
    assert isinstance(Inspected().inspector(), inspector._Native)
