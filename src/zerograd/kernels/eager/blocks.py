"""Block formats in torch's own operations: for devices and tensors without a kernel, and to convert what is stored."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from zerograd.formats.blocks import GROUP, WEYL, BlockFormat, row_length, scales_shape

_LOWEST = -(1 << 31)


def _word(value: Any) -> Any:
    """A word as torch has it, int32: constants from 2^31 on are negative there."""
    return value - (1 << 32) if isinstance(value, int) and value >= 1 << 31 else value


class _Words:
    """The arithmetic of ``formats.blocks`` on tensors: words are int32, which wrap round; numbers are float32."""

    def bits(self, number: Tensor) -> Any:
        return number.view(torch.int32)

    def number(self, word: Tensor) -> Any:
        return word.view(torch.float32)

    def size(self, number: Tensor) -> Any:
        return number.abs()

    def plus(self, x: Tensor, y: Any) -> Any:
        return x + y

    def minus(self, x: Tensor, y: Any) -> Any:
        return x - y

    def add(self, a: Tensor, b: Any) -> Any:
        return a + _word(b)

    def sub(self, a: Tensor, b: Any) -> Any:
        return a - _word(b)

    def left(self, a: Tensor, places: int) -> Any:
        return a << places

    def right(self, a: Tensor, places: int) -> Any:
        return (a >> places) & ((1 << (32 - places)) - 1)  # torch's brings the sign along

    def joined(self, upper: Tensor, lower: Tensor, places: int) -> Any:
        return (upper << (32 - places)) | self.right(lower, places)

    def both(self, a: Tensor, b: Any) -> Any:
        return a & _word(b)

    def either(self, a: Tensor, b: Any) -> Any:
        return a | _word(b)

    def at_least(self, a: Tensor, limit: int) -> Any:
        return (a ^ _LOWEST) >= (limit + _LOWEST)  # as without a sign

    def no_less(self, a: Tensor, limit: int) -> Any:
        return a.clamp(min=limit)

    def chosen(self, condition: Tensor, a: int, b: Tensor) -> Any:
        return torch.where(condition, a, b)


ON = _Words()


@torch.no_grad()
def decoded(codes: Tensor, scales: Tensor, form: BlockFormat, group: int = GROUP) -> Tensor:
    """What codes stand for: float32, in their shape and layout. scales: as ``formats.blocks.scales_shape`` has it."""
    words = _grouped(codes.to(torch.int32), group)
    values = form.decoded(ON, words, scales.reshape(-1, 1))
    return torch.empty_like(codes, dtype=torch.float32).copy_(_ungrouped(values, codes, group))


@torch.no_grad()
def encode(values: Tensor, codes: Tensor, scales: Tensor, form: BlockFormat, key: int | None, first: int = 0) -> None:
    """Put numbers into codes and scales, which are overwritten. All in one shape but for the scales.

    key: of the noise, of which 32 bits count; None to round to the nearest. first: number of the first element, where
    these are a part of a larger tensor.
    """
    grouped = _grouped(values.to(torch.float32), GROUP)
    largest = form.measured(ON, grouped).bitwise_xor_(_LOWEST).amax(1, keepdim=True) ^ _LOWEST
    scale = form.scale(ON, largest)
    if key is None:
        noise = torch.full_like(largest, 1 << 30).mul_(2)  # half of all: the sign bit alone
    else:
        index = torch.arange(first, first + values.numel(), dtype=torch.int64, device=values.device)
        words = ((index & 0xFFFFFFFF) * WEYL + (key & 0xFFFFFFFF)) & 0xFFFFFFFF
        words = torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)
        noise = _grouped(words.view(values.shape), GROUP)
    found = form.encoded(ON, grouped, scale, noise) & 0xFF
    codes.copy_(_ungrouped(found, codes, GROUP))
    scales.copy_(scale.view(scales.shape))


def empty(p: Tensor) -> tuple[Tensor, Tensor]:
    """Codes and scales of zeros for a tensor: what a state is before it is written for the first time."""
    codes = torch.zeros_like(p, dtype=torch.uint8, requires_grad=False)
    return codes, torch.zeros(scales_shape(p.shape), dtype=torch.float32, device=p.device)


def _grouped(tensor: Tensor, group: int) -> Tensor:
    """The elements in the order of their indices, a row for each group, zeros where a group is not full."""
    flat, length = tensor.reshape(-1), row_length(tensor.shape, group)
    rows, blocks = scales_shape(tensor.shape, group)
    if rows * length != flat.numel():
        flat = pad(flat, (0, rows * length - flat.numel()))
    if blocks * group != length:
        flat = pad(flat.view(rows, length), (0, blocks * group - length))
    return flat.view(rows * blocks, group)


def _ungrouped(grouped: Tensor, like: Tensor, group: int) -> Tensor:
    length = row_length(like.shape, group)
    rows, blocks = scales_shape(like.shape, group)
    flat = grouped.reshape(rows, blocks * group)[:, :length].reshape(-1)[: like.numel()]
    return flat.view(like.shape)
