"""A case of the fuzz: what is drawn, and a world made of it, in which an optimizer steps.

The same case makes the same world as often as it is asked to, each in memory of its own: one for the compiled kernels,
one for the eager backend, one for torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from torch import Tensor

from admission.canaries import KINDS, Memory, extent, placed, strides_of, write

SHAPES: tuple[tuple[int, ...], ...] = (
    (), (1,), (0,), (2,), (15,), (16,), (17,), (31,), (33,), (63,), (65,), (3, 5), (8, 4), (4, 4), (1, 7), (9, 1),
    (2, 3, 4), (2, 3, 2, 2), (1, 4, 3, 3), (5, 0, 2),
)  # fmt: skip
FORMATS = (
    (torch.float32, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64),
    (torch.bfloat16, torch.bfloat16), (torch.float16, torch.float16), (torch.bfloat16, torch.float32),
    (torch.float32, torch.bfloat16), (torch.float16, torch.float32), (torch.float64, torch.float32),
)  # fmt: skip
"""Dtypes of a parameter and of its gradient. Each pair is a kernel of its own, so not every pair is here."""

SHARINGS = ("flat", "overlapping", "tied", "one gradient", "gradient is parameter", "gradient is another", "state")
"""Ways in which two tensors can share memory. ``state``: a state becomes a view of a gradient or a parameter."""

EVENTS = (
    "data elsewhere", "data relaid", "data transposed", "data shorter", "data in another dtype", "data negative",
    "gradient relaid", "gradient in another dtype", "no gradient", "gradient negative", "sparse gradient",
    "state cloned", "state relaid", "state in another dtype", "state data elsewhere", "states zeroed", "state deleted",
    "states deleted", "states placed", "lr",
)  # fmt: skip
"""What may happen to a parameter between two steps."""

NEGATIVES_LATER = True
"""Whether tensors may turn into views of their opposites between two steps. False as long as the inspector doesn't see
it (test_found.py)."""

SPARSE_FIRST = True
"""Whether a sparse gradient may come before a dense one, for rules that go through its rows. False as long as both get
into one bucket (test_found.py)."""


@dataclass(frozen=True)
class Form:
    """How a tensor lies in memory: its kind, the order of its dimensions, elements that it is moved by."""

    kind: str
    order: tuple[int, ...]
    at: int


@dataclass(frozen=True)
class Drawn:
    """One parameter: its shape, the dtypes and forms of it and its gradient, its group."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    grad_dtype: torch.dtype
    form: Form
    grad_form: Form
    group: int


@dataclass(frozen=True)
class Event:
    """Before step ``step``, ``what`` happens to parameter ``which``; ``form`` where something is laid out anew."""

    step: int
    what: str
    which: int
    form: Form


@dataclass(frozen=True)
class Case:
    number: int
    name: str
    hypers: dict[str, Any]
    params: tuple[Drawn, ...]
    sharing: str
    events: tuple[Event, ...]
    fresh: bool
    """Whether each step brings gradients in new memory, as after zero_grad()."""

    def __str__(self) -> str:
        lines = [f"case {self.number}: {self.name} {self.hypers}, {self.sharing or 'nothing shared'}"]
        return "\n".join([*lines, *map(str, self.params), *map(str, self.events), f"fresh gradients: {self.fresh}"])


def drawn(number: int, table: list[tuple[str, dict[str, Any]]]) -> Case:
    """The case of this number; the same in every run and on every machine."""
    random = Random(number)
    name, hypers = random.choice(table)
    sharing = random.choice(SHARINGS) if random.random() < 0.3 else ""
    params = [_parameter(random) for _ in range(random.randint(1, 5))]
    ordinary = random.random() < 0.25
    if ordinary:  # nothing that torch's optimizers compute in another precision
        exact = random.choice((torch.float32, torch.float32, torch.float64))
        params = [Drawn(p.shape, exact, exact, p.form, p.grad_form, p.group) for p in params]
    if sharing:  # the order of the work then matters: all of one dtype is all in one bucket
        first = params[0]
        alike = [Drawn(p.shape, first.dtype, first.dtype, p.form, p.grad_form, 0) for p in params]
        if sharing in ("tied", "one gradient", "gradient is another"):
            alike = [alike[0], *alike]
        params = alike
    events = [
        Event(random.choice((1, 2)), random.choice(EVENTS), random.randrange(len(params)), _form(random, 3))
        for _ in range(0 if ordinary else random.choice((0, 0, 1, 2, 3)))
    ]
    if sharing:
        events = [e for e in events if "another dtype" not in e.what]
    if not SPARSE_FIRST:
        events = [e for e in events if e.what != "sparse gradient" or e.which == len(params) - 1]
    if not NEGATIVES_LATER:
        events = [e for e in events if "negative" not in e.what and e.form.kind not in ("negative", "imaginary")]
    return Case(number, name, hypers, tuple(params), sharing, tuple(events), random.random() < 0.5)


def _parameter(random: Random) -> Drawn:
    shape = random.choice(SHAPES)
    dtype, grad_dtype = random.choice(FORMATS)
    form = _form(random, len(shape))
    like = random.random() < 0.7
    grad_form = Form(form.kind, form.order, random.randrange(4)) if like else _form(random, len(shape))
    if like and form.kind in ("stepped", "padded"):  # as autograd makes it
        grad_form = Form("contiguous", (), random.randrange(4))
    return Drawn(shape, dtype, grad_dtype, form, grad_form, random.choice((0, 0, 1)))


def _form(random: Random, dims: int) -> Form:
    kind = random.choice(KINDS) if random.random() < 0.4 else random.choice(KINDS[:4])
    return Form(kind, tuple(random.sample(range(dims), dims)), random.randrange(5))


@dataclass
class World:
    """Parameters in memory with canaries, and an optimizer. make: its class."""

    case: Case
    make: Callable[..., Any]
    memories: list[Memory] = field(default_factory=list)
    params: list[Tensor] = field(default_factory=list)
    grads: list[Tensor | None] = field(default_factory=list)
    optimizer: Any = None

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(self.case.number)
        for p in self._made():
            write(p, torch.randn(p.shape, generator=generator, dtype=torch.float64))
            self.params.append(p.requires_grad_())
        self.grads = [None] * len(self.params)
        groups: list[dict[str, Any]] = [{"params": []}, {"params": [], "lr": 0.03}]
        for p, one in zip(self.params, self.case.params, strict=True):
            groups[one.group]["params"].append(p)
        self.optimizer = self.make([group for group in groups if group["params"]], **self.case.hypers)

    def _made(self) -> Iterator[Tensor]:
        """The parameters, each in a memory of its own or in parts of one."""
        one = self.case.params[0].dtype
        if self.case.sharing in ("flat", "overlapping", "tied"):
            memory = self._memory(sum(8 + 3 * extent(d.shape, self._strides(d)) for d in self.case.params), one)
            at = 0
            for number, d in enumerate(self.case.params):
                if self.case.sharing == "tied" and number == 1:
                    yield self.params[0].detach().view_as(self.params[0])
                    continue
                length = extent(d.shape, self._strides(d))
                yield placed(memory, d.form.kind, one, at, d.shape, d.form.order)
                at += length // 2 if self.case.sharing == "overlapping" else length + d.form.at // 4
        else:
            for d in self.case.params:
                yield self._placed(d.form, d.dtype, d.shape)

    @staticmethod
    def _strides(d: Drawn) -> tuple[int, ...]:
        return strides_of(d.form.kind, d.shape, d.form.order)

    def _memory(self, elements: int, dtype: torch.dtype) -> Memory:
        self.memories.append(Memory(elements * dtype.itemsize))
        return self.memories[-1]

    def _placed(self, form: Form, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
        """A tensor of this form in a memory of its own."""
        order = form.order if len(form.order) == len(shape) else ()
        length = extent(shape, strides_of(form.kind, shape, order))
        return placed(self._memory(length + form.at, dtype), form.kind, dtype, form.at, shape, order)

    # ------------------------------------------------------------------------------------------------ between steps

    def give_gradients(self, step: int) -> None:
        """Every parameter's gradient of this step: new numbers in the memory of the last one, or in new memory."""
        generator = torch.Generator().manual_seed(1000 * self.case.number + step)
        given: list[Tensor] = []
        for i, (p, d) in enumerate(zip(self.params, self.case.params, strict=True)):
            values = torch.randn(p.shape, generator=generator, dtype=torch.float64)
            shared = self._shared_gradient(i)
            g = self.grads[i]
            if shared is not None:
                g = shared
            elif g is None or self.case.fresh or g.shape != p.shape:
                same = p.shape == d.shape
                g = self._placed(d.grad_form if same else Form("contiguous", (), 0), d.grad_dtype, tuple(p.shape))
            if not any(t.data_ptr() == g.data_ptr() for t in (*given, *self.params)):
                write(g, values)
            given.append(g)
            self.grads[i] = g
            self.set_gradient(p, g)

    def _shared_gradient(self, i: int) -> Tensor | None:
        sharing, p = self.case.sharing, self.params[i]
        if sharing == "one gradient" and i == 1 and p.shape == self.params[0].shape:
            return self.grads[0]
        if sharing == "gradient is parameter" and i == 0:
            return p.detach()
        if sharing == "gradient is another" and i == 0 and p.shape == self.params[1].shape:
            return self.params[1].detach()
        return None

    @staticmethod
    def set_gradient(p: Tensor, g: Tensor | None) -> None:
        """p.grad = g, of whatever dtype."""
        p.grad = None
        if g is not None:
            if hasattr(p, "grad_dtype"):
                p.grad_dtype = g.dtype
                p.grad = g
            else:  # torch before 2.10 looks at the dtype when a gradient is set, but not at its .data
                p.grad = torch.empty(p.shape, dtype=p.dtype)
                p.grad.data = g
