"""State dicts in safetensors files: no pickle on the way in or out. Needs ``pip install 'zerograd[safetensors]'``.

The file holds the tensors under names such as ``state.0.exp_avg``. Everything else (the groups, their options, numbers
and words of the state) stands as JSON in the file's metadata, under ``optimizer_state``. Works for any optimizer whose
``state_dict()`` is made of tensors, numbers, strings, None, lists, tuples and dictionaries: all of zerograd's and
torch.optim's.

>>> import tempfile, pathlib, torch, zerograd
>>> from zerograd.safetensors_io import load_file, save_file
>>> file = pathlib.Path(tempfile.mkdtemp()) / "optimizer.safetensors"
>>> w = torch.ones(2, requires_grad=True)
>>> w.grad = torch.ones(2)
>>> optimizer = zerograd.AdamW([w], lr=0.1)
>>> optimizer.step()
>>> save_file(optimizer.state_dict(), file)
>>> optimizer.load_state_dict(load_file(file))
>>> optimizer.state[w]["step"]
tensor(1.)
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from zerograd.files import replacing

KEY = "optimizer_state"
"""Where the JSON stands in a file's metadata."""


def save_file(state_dict: Mapping[str, Any], filename: str | os.PathLike[str]) -> None:
    """Write what ``optimizer.state_dict()`` gave; the file is there as a whole or not at all.

    Raises TypeError, with nothing written, for what a safetensors file can't hold: sparse tensors, tensor subclasses
    such as DTensors, and objects.
    """
    written = _Writer()
    told = written.encoded(dict(state_dict), "")
    metadata = {"format": "pt", KEY: json.dumps(told, allow_nan=False)}
    library = _library("torch")
    with replacing(Path(filename)) as file:
        library.save_file(written.tensors, file, metadata)


def load_file(filename: str | os.PathLike[str], device: str | torch.device = "cpu") -> dict[str, Any]:
    """The state dict that ``save_file`` wrote, its tensors on ``device``: every dtype, tuple and number as it was.

    Raises FileNotFoundError, and ValueError for a file that is damaged or that ``save_file`` did not write.
    """
    path = Path(filename)
    library = _library("")
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        with library.safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dictionary
    except library.SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file, or damaged: {error}") from error
    if KEY not in metadata:
        raise ValueError(f"{path}: no optimizer's state in it; zerograd.safetensors_io.save_file writes such files")
    try:
        found: dict[str, Any] = _decoded(json.loads(metadata[KEY]), tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: what the file says of the optimizer can't be read: {error!r}") from error
    return found


def _library(part: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(f"safetensors.{part}" if part else "safetensors")
    except ImportError as error:
        raise ImportError("zerograd.safetensors_io needs safetensors: pip install 'zerograd[safetensors]'") from error


class _Writer:
    """Takes a state dict apart: tensors by name, the rest as what JSON can say."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def encoded(self, value: Any, at: str) -> Any:
        """JSON for a value; what JSON does not have is a dictionary of one key that says what it is."""
        if isinstance(value, Tensor):
            return self._named(value, at)
        if type(value) is dict or isinstance(value, Mapping):
            inside = [[self.encoded(k, at), self.encoded(v, f"{at}.{k}" if at else str(k))] for k, v in value.items()]
            return {"dict": inside}
        if type(value) in (list, tuple):
            inside = [self.encoded(one, f"{at}.{i}") for i, one in enumerate(value)]
            return inside if type(value) is list else {"tuple": inside}
        if type(value) is float and not math.isfinite(value):
            return {"float": str(value)}
        if value is None or type(value) in (bool, int, float, str):
            return value
        if type(value) is complex:
            return {"complex": [str(value.real), str(value.imag)]}
        raise TypeError(
            f"{at or 'the state dict'}: a safetensors file can't hold {type(value).__name__} objects; "
            "take it out, or use torch.save"
        )

    def _named(self, value: Tensor, at: str) -> Any:
        if type(value) not in (Tensor, torch.nn.Parameter) or value.layout != torch.strided:
            kind = type(value).__name__ if value.layout == torch.strided else str(value.layout)
            raise TypeError(
                f"{at}: a safetensors file can't hold tensors of kind {kind}; gather or convert it to a plain tensor "
                "first, or use torch.save or torch.distributed.checkpoint"
            )
        name = at
        while name in self.tensors:  # 0 and "0" are two keys of a dictionary
            name += "_"
        plain = value.detach().resolve_conj().resolve_neg()
        parts = torch.view_as_real(plain) if plain.is_complex() else plain
        # A copy of its own: the step counts are views of one vector, and the format takes no shared memory.
        self.tensors[name] = parts.to("cpu", copy=True, memory_format=torch.contiguous_format)
        return {"complex_tensor" if plain.is_complex() else "tensor": name}


def _decoded(told: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(told, list):
        return [_decoded(one, tensors) for one in told]
    if not isinstance(told, dict):
        return told
    ((kind, inside),) = told.items()
    if kind == "dict":
        return {_decoded(k, tensors): _decoded(v, tensors) for k, v in inside}
    if kind == "tuple":
        return tuple(_decoded(one, tensors) for one in inside)
    if kind == "float":
        return float(inside)
    if kind == "complex":
        return complex(*map(float, inside))
    if kind == "tensor":
        return tensors[inside]
    if kind == "complex_tensor":
        return torch.view_as_complex(tensors[inside])
    raise ValueError(f"unknown kind {kind!r}")
