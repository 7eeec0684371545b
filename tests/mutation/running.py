"""Run a program in this process, guarded or not: what it ends with, and what the guard says."""

from __future__ import annotations

import contextlib
import sys
import types
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zerograd.lifecycle.sessions import guarded_session

PROGRAMS = sorted((Path(__file__).parents[1] / "programs").glob("*.py"))


@dataclass
class Outcome:
    """weights: all that is learnt, by name. error: what the program raised. codes: what the guard has named.

    said: its sentences. report: what it would write to a file."""

    weights: dict[str, Tensor]
    error: BaseException | None
    codes: list[str]
    said: list[str]
    report: list[dict[str, Any]]

    def agrees(self, other: Outcome) -> bool:
        """Whether two programs ended with the same weights, bit for bit."""
        mine, others = self.weights, other.weights
        return mine.keys() == others.keys() and all(torch.equal(mine[name], others[name]) for name in mine)


def run(source: str, path: Path, *, guarded: bool = True) -> Outcome:
    """Run a program to its end. It leaves nothing behind: neither its random numbers nor its module."""
    name = "__main__"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    before = sys.modules[name]
    error: BaseException | None = None
    held: Any = None
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of wrong programs; the guard keeps silent here
        sys.modules[name] = module
        try:
            with guarded_session("keep") if guarded else contextlib.nullcontext() as held:
                try:
                    exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
                except Exception as raised:
                    error = raised
                    if held is not None:
                        held.failed = True
        finally:
            sys.modules[name] = before
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
    findings = held.findings if guarded else []
    report = held.report() if guarded else []
    return Outcome(_weights(module), error, [f.code for f in findings], [str(f) for f in findings], report)


def _weights(module: types.ModuleType) -> dict[str, Tensor]:
    found = {}
    for name, value in sorted(vars(module).items()):
        if isinstance(value, nn.Module):
            found.update({f"{name}.{key}": t.detach().clone() for key, t in value.state_dict().items()})
        elif isinstance(value, Tensor) and value.requires_grad and value.is_leaf and name != "attacked" and name != "x":
            found[name] = value.detach().clone()
    return found
