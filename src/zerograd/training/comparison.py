"""Several runs in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from zerograd.errors import UsageError
from zerograd.files import replacing
from zerograd.training.folder import RunFolder
from zerograd.training.record import Line

HELD_OUT = ("valid_accuracy", "test_accuracy", "valid_loss", "test_loss")


def compare(paths: Sequence[Path], quantities: Sequence[str] | None, out: Path) -> list[str]:
    """Draw some numbers of the runs in ``paths`` into ``out``, and give their names.

    Raises UsageError for what is no run, for a run without an epoch, and without matplotlib.
    """
    if find_spec("matplotlib") is None:
        raise UsageError("zerograd plot needs matplotlib: pip install 'zerograd[train]'")
    runs = {str(path): _lines(path) for path in paths}
    chosen = list(quantities) if quantities else _default(runs)

    from zerograd.training.plots import overlaid

    figure = overlaid(_short(runs), chosen)
    try:
        with replacing(out) as file:
            figure.savefig(file, format=out.suffix[1:].lower())
    except OSError as error:
        raise UsageError(f"Can't write {out}: {error.strerror}.") from error
    return chosen


def _lines(path: Path) -> list[Line]:
    lines = RunFolder.of(path).lines
    if not lines:
        raise UsageError(f"{path} has no epoch yet: there is nothing to draw.")
    return lines


def _default(runs: Mapping[str, Sequence[Line]]) -> list[str]:
    """The training loss, and the best that there is of held-out samples."""
    names = {name for lines in runs.values() for name in lines[0]}
    return ["train_loss", *[name for name in HELD_OUT if name in names][:1]]


def _short(runs: Mapping[str, list[Line]]) -> dict[str, list[Line]]:
    """The same, called by the last part of their paths if these differ."""
    short = {Path(name).resolve().name: lines for name, lines in runs.items()}
    return short if len(short) == len(runs) else dict(runs)
