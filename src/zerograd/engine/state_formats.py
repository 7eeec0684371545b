"""From ``state_format=`` and a rule's graph to the format that each state of a parameter starts in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerograd.algebra.notation import Rule
from zerograd.algebra.roles import Role, roles_of
from zerograd.algebra.states import Scalar
from zerograd.algebra.tracing import Graph
from zerograd.engine.coding import held_form
from zerograd.engine.dtensors import has_dtensor
from zerograd.engine.incomplete import is_flat_piece
from zerograd.engine.owning import Owned
from zerograd.errors import did_you_mean
from zerograd.formats.blocks import BMF34, BMF43, UBMF44, UBMF53, BlockFormat
from zerograd.formats.plain import Format
from zerograd.formats.policies import NAMES, PLAIN_STATES, Int8, Policy, is_noisy, serves

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer

Spec = Policy | tuple[tuple[str, Policy | None], ...] | None
"""What ``state_format`` was given, in a form that can be compared: one policy for all states, or pairs with names."""

_SHARDED = "a DTensor, whose shards may cut through groups that share a scale"

_PIECE = "a piece of FullyShardedDataParallel's flat tensor, whose checkpoints take states in its dtype only"


def checked(value: Any, rule: Rule, optimizer: str) -> Spec:
    """The argument ``state_format``. Raises ValueError for a format or a state that there is not, TypeError for what is
    neither a format nor a mapping."""
    if value is None or isinstance(value, (str, Int8)):
        return _policy(value, optimizer)
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{optimizer}: state_format={value!r}; it is None, {', '.join(map(repr, NAMES))}, an Int8, or a mapping "
            "from names of states to these"
        )
    known = [name for name, spec in rule.states.items() if not isinstance(spec, Scalar)]
    for name in value:
        if name not in known:
            hint = did_you_mean(str(name), known) if known else f"{rule.name} keeps no tensors"
            raise ValueError(f"{optimizer}: state_format has a format for {name!r}, which is no state. {hint}")
    return tuple((name, _policy(value.get(name), optimizer)) for name in known)


def _policy(value: Any, optimizer: str) -> Policy | None:
    if value is None or isinstance(value, Int8) or value in NAMES:
        return value if value is None or isinstance(value, Int8) else str(value)
    raise ValueError(f"{optimizer}: state_format={value!r}. {did_you_mean(str(value), NAMES)}")


def makes_noise(spec: Spec) -> bool:
    """Whether any state may be rounded stochastically."""
    policies = [policy for _, policy in spec] if isinstance(spec, tuple) else [spec]
    return any(map(is_noisy, policies))


@dataclass(frozen=True)
class Choice:
    """The format that a state of one parameter starts in, and why; None for that of the parameter."""

    form: Format | None
    why: str


class Choices:
    """The choices for one graph under one spec. names: of the tensor states, in the graph's order."""

    def __init__(self, spec: Spec, graph: Graph) -> None:
        self._roles = roles_of(graph)
        self.names = graph.tensor_states
        given = dict(spec) if isinstance(spec, tuple) else dict.fromkeys(self.names, spec)
        self._policies = {name: given.get(name) for name in self.names}
        self._by_name = isinstance(spec, tuple)
        self._made: dict[Any, tuple[tuple[Choice, ...], tuple[Format | None, ...]]] = {}

    def forms(self, p: Tensor) -> tuple[Format | None, ...]:
        """The format of each state of a parameter."""
        return self._found(p)[1]

    def of(self, p: Tensor) -> tuple[Choice, ...]:
        """The choice for each state of a parameter, of which only the (global) shape and the dtype are looked at."""
        return self._found(p)[0]

    def _found(self, p: Tensor) -> tuple[tuple[Choice, ...], tuple[Format | None, ...]]:
        key: Any = _SHARDED if has_dtensor(p) else _PIECE if is_flat_piece(p) else (p.shape, p.dtype)
        found = self._made.get(key)
        if found is None:
            choices = (Choice(None, key),) * len(self.names) if isinstance(key, str) else self._chosen(*key)
            found = self._made[key] = choices, tuple(choice.form for choice in choices)
        return found

    def _chosen(self, shape: Sequence[int], dtype: torch.dtype) -> tuple[Choice, ...]:
        choices = {name: self._choice(name, policy, shape, dtype) for name, policy in self._policies.items()}
        squares = [name for name, role in self._roles.items() if role in (Role.SQUARES, Role.EXACT)]
        if not all(isinstance(choices[name].form, BlockFormat) for name in squares):
            for name, choice in choices.items():
                if choice.form is BMF34:  # what it is divided by has no smallest code then, which would bound the step
                    choices[name] = Choice(BMF43, f"{choice.why}; wide, for the second moment is not in 8 bits")
        return tuple(choices.values())

    def _choice(self, name: str, policy: Policy | None, shape: Sequence[int], dtype: torch.dtype) -> Choice:
        role = self._roles[name]
        if policy is None:
            return Choice(None, "the parameter's dtype, as in torch")
        if not serves(dtype):
            return Choice(None, f"{str(dtype).removeprefix('torch.')} parameter")
        if policy == "fp32":
            return Choice(PLAIN_STATES["fp32"], "asked for")
        if role in (Role.WEIGHTS, Role.EXACT, Role.OTHER) and not (self._by_name and role is Role.WEIGHTS):
            return Choice(None, role.value)
        if policy == "bf16":
            return Choice(PLAIN_STATES["bf16"], "asked for")
        int8 = policy if isinstance(policy, Int8) else Int8()
        refusal = int8.refusal(shape)
        if refusal is not None:
            return Choice(None, refusal)
        signed = role is not Role.SQUARES if int8.signed is None else int8.signed
        form = (BMF43 if int8.wide else BMF34) if signed else (UBMF53 if int8.wide else UBMF44)
        return Choice(form, "averages of gradients" if signed else role.value)


class StateChoices(Owned):
    """What ``state_format`` means for the groups of an optimizer; choices are made once for each graph."""

    def __init__(self, optimizer: RuleOptimizer) -> None:
        super().__init__(optimizer)
        self._made: dict[tuple[Spec, int], tuple[Graph, Choices]] = {}
        self.noisy = False
        """Whether anything is rounded stochastically, as the last gathering found it: then steps are counted, for the
        noise hangs on them."""

    def spec(self, group: Mapping[str, Any]) -> Spec:
        """What holds for a group: its own, or the optimizer's."""
        optimizer = self.optimizer
        value = group.get("state_format", optimizer.state_format)
        return None if value is None else checked(value, optimizer.rule, type(optimizer).__name__)

    def look(self) -> bool:
        """Find out whether anything is ``noisy``. It takes a look at every group, so it is done once a gathering."""
        self.noisy = self.optimizer.weight_format is not None or any(
            makes_noise(self.spec(group)) for group in (*self.optimizer.param_groups, {})
        )
        return self.noisy

    def of(self, group: Mapping[str, Any], graph: Graph) -> Choices | None:
        """The choices for a group; None if all states are as torch has them."""
        spec = self.spec(group)
        if spec is None or self.optimizer.defaults.get("differentiable"):  # autograd goes through the states
            return None
        key = (spec, id(graph))
        if key not in self._made:
            self._made[key] = graph, Choices(spec, graph)
        return self._made[key][1]


def held_forms(
    held: Mapping[str, Any], p: Tensor, choices: Choices | None, names: Sequence[str], optimizer: str
) -> tuple[Format | None, ...]:
    """The formats of a parameter's states: of those that are there what they are, of others what they will start in."""
    wanted = choices.forms(p) if choices is not None else (None,) * len(names)
    return tuple(held_form(held, name, form, optimizer) for name, form in zip(names, wanted, strict=True))


def new_seed() -> int:
    """The seed of an optimizer's noise: torch's, which is not used up by that.

    In one of several processes 0: those are often seeded differently, and copies of a parameter must be rounded alike.
    """
    group: Any = torch.distributed
    started = group.is_available() and group.is_initialized()
    count = group.get_world_size() if started else int(os.environ.get("WORLD_SIZE") or 1)  # of torchrun and others
    return 0 if count > 1 else torch.initial_seed() & 0x7FFFFFFFFFFFFFFF
