"""States that are stored otherwise than torch has them: taken out of their format for a step, and put back.

Only for the eager way: a compiled kernel does both in its one pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zerograd.algebra.tracing import Graph
from zerograd.formats.blocks import GROUP, BlockFormat, read_key, scales_key, scales_shape
from zerograd.formats.plain import Format
from zerograd.formats.stochastic import noise_key, rounded
from zerograd.kernels.eager import blocks


class Coding:
    """How the states of one bucket are stored. forms: of those that are stored in a way of their own. streams: the
    number of the noise of each. ordinals: of the parameters in the optimizer, as they come in."""

    def __init__(self, forms: Mapping[str, Format], streams: Mapping[str, int], seed: int) -> None:
        self.forms, self.streams, self.seed = forms, streams, seed
        self.ordinals: list[int] = []

    def opened(self, stored: Mapping[str, list[Tensor]]) -> dict[str, list[Tensor]]:
        """The states as plain tensors, those of ``forms`` as float32 copies; scales left out."""
        scales = {scales_key(name, form) for name, form in self.forms.items() if isinstance(form, BlockFormat)}
        plain = {name: tensors for name, tensors in stored.items() if name not in scales}
        for name, form in self.forms.items():
            if isinstance(form, BlockFormat):
                pairs = zip(stored[name], stored[scales_key(name, form)], strict=True)
                plain[name] = [blocks.decoded(codes, scale, form) for codes, scale in pairs]
            else:
                plain[name] = [tensor.to(torch.float32) for tensor in stored[name]]
        return plain

    def close(self, stored: Mapping[str, list[Tensor]], plain: Mapping[str, list[Tensor]], step: int) -> None:
        """Put new values into what is stored, rounded with the noise of a step."""
        for name, form in self.forms.items():
            for at, (values, target) in enumerate(zip(plain[name], stored[name], strict=True)):
                key = noise_key(self.seed, step, self.ordinals[at], self.streams[name])
                if isinstance(form, BlockFormat):
                    blocks.encode(values.detach(), target, stored[scales_key(name, form)][at], form, key)
                else:
                    target.copy_(rounded(values.detach(), key, target))


def streams_of(rule: Any) -> dict[str, int]:
    """The number of each state's noise; 0 is the weight's."""
    return {name: number for number, name in enumerate(rule.states, start=1)}


def coding_of(graph: Graph, forms: Sequence[Format | None], seed: int) -> Coding | None:
    """How states in these formats are opened and closed; None if there is nothing to do. seed: of the noise."""
    pairs = zip(graph.tensor_states, forms, strict=True) if forms else ()
    own = {name: form for name, form in pairs if form is not None and form.stochastic}
    return Coding(own, streams_of(graph.rule), seed) if own else None


def in_form(tensor: Tensor, form: Format, name: str, held: Mapping[str, Any]) -> tuple[Tensor, Tensor | None]:
    """A state in its format, and its scales if it has such: what it is, or has just started as."""
    if not isinstance(form, BlockFormat):
        return (tensor if tensor.dtype == form.dtype else tensor.to(form.dtype)), None
    if tensor.dtype == torch.uint8:
        return tensor, held[scales_key(name, form)]
    return started_in_blocks(tensor, form)


def started_in_blocks(plain: Tensor, form: BlockFormat) -> tuple[Tensor, Tensor]:
    """Codes and scales of a plain state, rounded to the nearest; of one that is zero, zeros."""
    codes, scales = blocks.empty(plain)
    if plain.any():
        blocks.encode(plain, codes, scales, form, None)
    return codes, scales


def held_form(held: Mapping[str, Any], name: str, wanted: Format | None, optimizer: str) -> Format | None:
    """The format of a state as it is: what is there decides; ``wanted`` is for one that is to start, and says how a
    plain tensor of its dtype is rounded. Raises RuntimeError for codes without scales that fit."""
    tensor = held.get(name)
    if not isinstance(tensor, Tensor):
        return wanted
    if tensor.dtype != torch.uint8:
        plain = wanted is not None and not isinstance(wanted, BlockFormat) and wanted.dtype == tensor.dtype
        return wanted if plain else None
    if isinstance(wanted, BlockFormat) and scales_key(name, wanted) in held:
        form, group = wanted, GROUP
    else:
        form, group = scales_of(held, name, optimizer)
    scales = held[scales_key(name, form, group)]
    shape = scales_shape(tensor.shape)
    if group != GROUP or scales.shape != shape or scales.dtype != torch.float32:
        raise RuntimeError(
            f"{optimizer}: state {name!r} is in 8 bits, and its scales are {scales.dtype} of shape "
            f"{tuple(scales.shape)} for groups of {group}; they have to be float32 of shape {shape} for groups of "
            f"{GROUP}. Load the checkpoint that they come from with load_state_dict(), which converts"
        )
    return form


def scales_of(held: Mapping[str, Any], name: str, optimizer: str) -> tuple[BlockFormat, int]:
    """The format and size of groups of a state in 8 bits, as the key of its scales tells. RuntimeError without one."""
    for key in held:
        if (found := read_key(name, key)) is not None:
            return found
    raise RuntimeError(
        f"{optimizer}: state {name!r} is in 8 bits (uint8), but its scales are missing; assign a plain tensor, or "
        "delete the state to start it anew"
    )


def read(held: Mapping[str, Any], name: str) -> Any:
    """A state as numbers: what is in 8 bits as a float32 copy, all else as it is."""
    value = held.get(name)
    if not isinstance(value, Tensor) or value.dtype != torch.uint8:
        return value
    form, group = scales_of(held, name, "read")
    return blocks.decoded(value, held[scales_key(name, form, group)], form, group)


def any_codes(held: Sequence[Tensor | None]) -> bool:
    """Whether a state is in 8 bits."""
    return any(tensor is not None and tensor.dtype == torch.uint8 for tensor in held)
