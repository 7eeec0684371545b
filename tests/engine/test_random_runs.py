"""Random runs side by side with torch: gradients that come and go, schedules, flags, groups, state and checkpoints.

1e-9: in up to thirty steps of float64 the two round differently, and centred RMSprop cancels digits.
"""

from __future__ import annotations

import copy
import io
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.common import FLAGS, SHARED, noise, ours, torchs

SHAPES: list[tuple[int, ...]] = [(3,), (2, 2), (), (4, 1), (2,), (5,)]
CHANGING: dict[str, dict[str, list[Any]]] = {
    "SGD": {"momentum": [0.0, 0.9, 0.5], "dampening": [0.0, 0.3], "weight_decay": [0.0, 0.1]},
    "Adam": {"betas": [(0.9, 0.999), (0.5, 0.6)], "weight_decay": [0.0, 0.1], "eps": [1e-8, 1e-2]},
    "AdamW": {"betas": [(0.9, 0.999), (0.5, 0.6)], "weight_decay": [0.0, 0.1]},
    "NAdam": {"betas": [(0.9, 0.999), (0.8, 0.9)], "momentum_decay": [4e-3, 0.1]},
    "RAdam": {"betas": [(0.9, 0.999), (0.9, 0.6)], "weight_decay": [0.0, 0.1]},
    "Adamax": {"betas": [(0.9, 0.999), (0.5, 0.6)], "eps": [1e-8, 1e-2]},
    "RMSprop": {"alpha": [0.99, 0.5], "momentum": [0.9, 0.5], "weight_decay": [0.0, 0.1]},
    "Adagrad": {"lr_decay": [0.0, 0.1], "eps": [1e-10, 1e-2], "weight_decay": [0.0, 0.1]},
    "Adadelta": {"rho": [0.9, 0.5], "weight_decay": [0.0, 0.1]},
    "Rprop": {"etas": [(0.5, 1.2), (0.3, 1.9)]},
    "ASGD": {"lambd": [1e-4, 0.1], "alpha": [0.75, 0.5], "t0": [1e6, 3.0]},
}
"""Hyper-parameters that a schedule may change at any time, in torch too."""


class Run:
    """The same run twice: with torch's class and with ours. Each operation does the same to both."""

    def __init__(self, name: str, genome: bytes) -> None:
        self._name, self._genome, self._at = name, genome, 0
        self._makers: list[Callable[..., Any]] = [torchs, ours]
        self._flags = {} if name == "SGD" else FLAGS.get(name, {})
        self._params = [
            [noise(i, *s, dtype=torch.float64).requires_grad_() for i, s in enumerate(SHAPES)] for _ in "ab"
        ]
        self._count = 3
        self._optimizers = [
            make(name, [{"params": params[:2]}, {"params": params[2:3], "lr": 0.02}], lr=0.01, **self._flags)
            for make, params in zip(self._makers, self._params, strict=True)
        ]
        self._steps = 0

    def run(self) -> None:
        operations = [
            self._step, self._step, self._step, self._schedule, self._change, self._maximize, self._add_group,
            self._reload, self._exchange, self._copy, self._forget, self._count_on,
        ]  # fmt: skip
        while self._at < len(self._genome):
            operations[self._byte() % len(operations)]()
        self._step()

    def _byte(self) -> int:
        self._at += 1
        return self._genome[self._at - 1] if self._at <= len(self._genome) else 0

    def _step(self) -> None:
        """A gradient for some of the parameters."""
        mask = self._byte() or 255
        self._steps += 1
        for params in self._params:
            for i, p in enumerate(params):
                given_one = mask >> i & 1 and i < self._count
                p.grad = noise(31 * self._steps + i, *p.shape, dtype=torch.float64) if given_one else None
        for optimizer in self._optimizers:
            optimizer.step()
        theirs, mine = self._params
        for i, (p, q) in enumerate(zip(theirs, mine, strict=True)):
            torch.testing.assert_close(q, p, rtol=1e-9, atol=1e-11, msg=lambda m, i=i: f"parameter {i}: {m}")
            states = (self._optimizers[0].state.get(p, {}), self._optimizers[1].state.get(q, {}))
            for key, value in states[1].items() if states[0] else ():  # torch's Adagrad makes its state beforehand
                torch.testing.assert_close(
                    value, torch.as_tensor(states[0][key]).to(value.dtype), rtol=1e-9, atol=1e-11
                )

    def _groups(self) -> list[dict[str, Any]]:
        at = self._byte()
        return [optimizer.param_groups[at % len(optimizer.param_groups)] for optimizer in self._optimizers]

    def _schedule(self) -> None:
        factor = (0.5, 1.5, 0.0, 1.0)[self._byte() % 4] or 0.9
        for group in self._groups():
            group["lr"] *= factor

    def _change(self) -> None:
        choices = sorted(CHANGING[self._name].items())
        key, values = choices[self._byte() % len(choices)]
        value = values[self._byte() % len(values)]
        for group in self._groups():
            group[key] = value

    def _maximize(self) -> None:
        for group in self._groups():
            group["maximize"] = not group["maximize"]

    def _add_group(self) -> None:
        if self._count < len(SHAPES):
            for optimizer, params in zip(self._optimizers, self._params, strict=True):
                optimizer.add_param_group({"params": [params[self._count]], "lr": 0.05})
            self._count += 1

    def _saved(self) -> list[dict[str, Any]]:
        found = []
        for optimizer in self._optimizers:
            buffer = io.BytesIO()
            torch.save(optimizer.state_dict(), buffer)
            buffer.seek(0)
            found.append(torch.load(buffer, weights_only=True))
        return found

    def _load(self, saved: list[dict[str, Any]]) -> None:
        """Into fresh objects."""
        for i, (make, params) in enumerate(zip(self._makers, self._params, strict=True)):
            sizes = [len(group["params"]) for group in saved[i]["param_groups"]]
            starts = [sum(sizes[:n]) for n in range(len(sizes))]
            groups = [{"params": params[a : a + n]} for a, n in zip(starts, sizes, strict=True)]
            self._optimizers[i] = make(self._name, groups, lr=0.5, **self._flags)
            self._optimizers[i].load_state_dict(saved[i])

    def _reload(self) -> None:
        self._load(self._saved())

    def _exchange(self) -> None:
        """Each goes on from the other's checkpoint."""
        self._load(self._saved()[::-1])

    def _copy(self) -> None:
        for i in range(2):
            self._optimizers[i], self._params[i] = copy.deepcopy((self._optimizers[i], self._params[i]))

    def _forget(self) -> None:
        """One parameter's state, or all; torch's Adagrad makes its state at construction only."""
        which = self._byte() % (self._count + 1)
        if self._name == "Adagrad":
            return
        for optimizer, params in zip(self._optimizers, self._params, strict=True):
            if which == self._count:
                optimizer.state = defaultdict(dict)
            else:
                optimizer.state.pop(params[which], None)

    def _count_on(self) -> None:
        which = self._byte() % self._count
        for optimizer, params in zip(self._optimizers, self._params, strict=True):
            if float(optimizer.state.get(params[which], {}).get("step", 0)) > 0:
                optimizer.state[params[which]]["step"] += 3


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", SHARED)
@settings(max_examples=8, deadline=None)
@given(genome=st.binary(min_size=40, max_size=120))
def test_whatever_happens_to_torchs_run_happens_to_ours(name: str, genome: bytes) -> None:
    Run(name, genome).run()
