"""The folder of a run: config.json, record.jsonl, curves.png, model.safetensors.

A run never writes into another run's folder, and no file is ever half written: a file appears under its name when it
is complete, and the record grows by whole lines.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zerograd.errors import UsageError
from zerograd.files import replacing
from zerograd.training.record import json_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

RUNS = Path("runs")
CONFIG, RECORD, CURVES, MODEL = "config.json", "record.jsonl", "curves.png", "model.safetensors"


class RunFolder:
    """A folder that belongs to one run. Make it with ``claim``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def claim(cls, out: Path | None, title: str) -> RunFolder:
        """Take ``out``, or the first free one of runs/title-1, runs/title-2, ... No two processes get the same."""
        wanted = out if out is not None else RUNS
        try:
            if wanted.exists() and not wanted.is_dir():
                raise UsageError(f"Can't write a run to {wanted}: it is a file. Name a folder with --out.")
            path = wanted if out is not None else _next_free(RUNS, title)
            path.mkdir(parents=True, exist_ok=True)
            for name in (CONFIG, CURVES, MODEL, RECORD):
                if (path / name).exists():
                    raise FileExistsError
            (path / RECORD).touch(exist_ok=False)  # of two processes that come this far, one is the first
        except FileExistsError as error:
            raise UsageError(
                f"{wanted} holds a run already, and no run is ever overwritten. Name another folder with --out."
            ) from error
        except OSError as error:
            raise UsageError(
                f"Can't write a run to {wanted}: {error.strerror}. Name another folder with --out."
            ) from error
        return cls(path)

    def write_config(self, config: Mapping[str, object]) -> None:
        """The settings that the run was made with."""
        with replacing(self.path / CONFIG) as file:
            file.write_text(json.dumps(config, indent=2, allow_nan=False) + "\n", encoding="utf-8")

    def append_record(self, numbers: Mapping[str, float]) -> None:
        """One more line of the record."""
        with open(self.path / RECORD, "a", encoding="utf-8") as file:
            file.write(json_line(numbers))

    def write_model(self, model: nn.Module) -> None:
        """The model's weights and buffers."""
        from safetensors.torch import save

        with replacing(self.path / MODEL) as file:
            file.write_bytes(save(model.state_dict()))

    def write_curves(self, figure: Figure) -> None:
        """The picture."""
        with replacing(self.path / CURVES) as file:
            figure.savefig(file, format="png")


def _next_free(parent: Path, title: str) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        path = parent / f"{title}-{number}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        break
    return path
