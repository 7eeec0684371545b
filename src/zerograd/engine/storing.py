"""What a checkpoint holds, in the formats of the optimizer that loads it; and as plain tensors for any other.

Codes whose format and groups are those that are wanted are taken as they are, bit for bit. All else is decoded, and
rounded once to the nearest if it has to be stored in 8 or 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from zerograd.engine.coding import started_in_blocks
from zerograd.engine.state_formats import Choices
from zerograd.formats.blocks import GROUP, BlockFormat, read_key, scales_key, scales_shape
from zerograd.formats.plain import Format
from zerograd.kernels.eager import blocks


@torch.no_grad()
def stored(held: Any, p: Tensor, choices: Choices | None, caller: str) -> Any:
    """One parameter's state in the formats that are wanted. Raises ValueError for codes that can't be read."""
    if not isinstance(held, dict):
        return held
    wanted = dict(zip(choices.names, choices.forms(p), strict=True)) if choices is not None else {}
    result = dict(held)
    for name, codes, block, group, key in _in_blocks(held, caller):
        if wanted.get(name) != block or group != GROUP:
            plain = blocks.decoded(codes, result.pop(key), block, group)
            result[name] = plain if wanted.get(name) is not None else plain.to(p.dtype)
    for name, form in wanted.items():
        value = result.get(name)
        if form is not None and isinstance(value, Tensor) and value.dtype.is_floating_point:
            result.update(_in_form(name, value, form))
    return result


def refuse_broken(held: Any, names: Iterable[str], caller: str) -> None:
    """Raises ValueError for codes without scales, and for scales beside what are no codes: some program took one of
    them away, or made numbers of the codes, and both would be read as numbers up to 255. names: of tensor states."""
    if not isinstance(held, dict):
        return
    for name in names:
        value = held.get(name)
        if not isinstance(value, Tensor):
            continue
        scales = [key for key in held if _read(name, key, caller) is not None]
        if value.dtype == torch.uint8 and not scales:
            raise ValueError(
                f"{caller}: {name} is in 8 bits (torch.uint8), and its scales are missing; load the whole state dict, "
                "as state_dict() made it. Nothing was loaded"
            )
        if value.dtype != torch.uint8 and scales:
            raise ValueError(
                f"{caller}: {name} is {value.dtype!s}, and {scales[0]} beside it is of codes (torch.uint8): they "
                "were cast, as torch.optim's load_state_dict casts all that it is given. Load what was saved; for "
                "torch.optim, convert it with zerograd.plain_state_dict. If it is a state that was never in 8 bits, "
                "delete the scales. Nothing was loaded"
            )


def _in_form(name: str, value: Tensor, form: Format) -> dict[str, Tensor]:
    if not isinstance(form, BlockFormat):
        return {name: value.to(form.dtype)}
    codes, scales = started_in_blocks(value, form)
    return {name: codes, scales_key(name, form): scales}


def _in_blocks(held: Mapping[str, Any], caller: str) -> Iterator[tuple[str, Tensor, BlockFormat, int, str]]:
    """The states that are codes: name, codes, format, elements of a group, and the key of the scales."""
    for name, codes in held.items():
        if not isinstance(codes, Tensor) or codes.dtype != torch.uint8:
            continue
        found = [(key, read) for key in held if (read := _read(name, key, caller)) is not None]
        if not found:
            continue
        key, (form, group) = found[0]
        shape = scales_shape(codes.shape, group)
        if not isinstance(held[key], Tensor) or held[key].shape != shape or held[key].dtype != torch.float32:
            raise ValueError(
                f"{caller}: {key} has to be float32 of shape {shape}, for codes of shape {tuple(codes.shape)} in "
                f"groups of {group}, and is {_told(held[key])}. Nothing was loaded"
            )
        yield name, codes, form, group, key


def _read(name: str, key: Any, caller: str) -> tuple[BlockFormat, int] | None:
    try:
        return read_key(name, key)
    except ValueError as error:
        raise ValueError(
            f"{caller}: {error}. Decode the checkpoint with the version that wrote it "
            "(zerograd.plain_state_dict). Nothing was loaded"
        ) from None


def _told(value: Any) -> str:
    return f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


@torch.no_grad()
def plain_state_dict(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's state dict without 8-bit states: they are float32 tensors in the parameters' shapes instead.

    So a checkpoint of ``state_format="int8"`` loads into torch's optimizer of the same name, which knows no codes, or
    into any program that reads torch's. zerograd's own ``load_state_dict`` needs no such help. What is in no 8-bit
    format stays the very object that it is, and nothing is changed. Raises ValueError for codes without their scales,
    and for scales beside what are no codes.

    >>> import torch, zerograd
    >>> w = torch.ones(64, 128, requires_grad=True)
    >>> w.grad = torch.ones_like(w)
    >>> optimizer = zerograd.AdamW([w], state_format="int8")
    >>> optimizer.step()
    >>> torchs = torch.optim.AdamW([w])
    >>> torchs.load_state_dict(zerograd.plain_state_dict(optimizer.state_dict()))
    >>> optimizer.state[w]["exp_avg"].dtype, torchs.state[w]["exp_avg"].dtype
    (torch.uint8, torch.float32)
    """
    states = {}
    for key, held in state_dict["state"].items():
        states[key] = held
        if isinstance(held, Mapping):
            plain, caller = dict(held), f"plain_state_dict(): parameter {key}"
            refuse_broken(plain, held, caller)
            for name, codes, form, group, scales in _in_blocks(held, caller):
                plain[name] = blocks.decoded(codes, plain.pop(scales), form, group)
            states[key] = plain
    return {**state_dict, "state": states}
