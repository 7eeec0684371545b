"""From sources to findings: one source, and many files in parallel."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from zerograd.linting.configuration import Configuration
from zerograd.linting.finding import Finding
from zerograd.linting.reading import Source, UnreadableError, is_relevant, read_source
from zerograd.linting.suppression import comments, kept, unused
from zerograd.stand_ins import TYPE_CHECKING

if TYPE_CHECKING:
    from zerograd.linting.binding import Binder
    from zerograd.linting.context import Context, Told
    from zerograd.linting.modules import Files, Module

UNREADABLE = "ZG000"
"""The code of a file that can't be read or is no Python."""

RANK = {"error": 0, "warning": 1, "info": 2}
RARELY = (100_000, 5, 5)
"""When Python looks for garbage that holds itself. With its usual numbers it looks through the trees of programs, which
are large and stay, again and again: that takes a quarter of the time."""
SMALL = 24
"""So few files are checked without other processes: starting one takes longer than reading them."""


def check_source(
    source: Source, configuration: Configuration | None = None, files: Files | None = None
) -> list[Finding]:
    """All findings of a source, in order. What is no Python is a finding, too."""
    configuration = configuration or Configuration()
    try:
        if not is_relevant(source.text):
            source.parse()
            return unused(comments(source), configuration.codes, source)
        files = files or _files()
        module = files.load(source)
        told = _once(list(told_of(module, configuration)))
    except UnreadableError as error:
        return _unreadable(source, error, configuration)
    except RecursionError:
        return _unreadable(source, UnreadableError("nested too deeply to be checked"), configuration)
    marks = comments(source)
    own = kept([pair for pair in told if pair[0].path == source.path], marks)
    return sorted({*own, *_of_others(told, module, files), *unused(marks, configuration.codes, source)})


def _unreadable(source: Source, error: UnreadableError, configuration: Configuration) -> list[Finding]:
    if UNREADABLE not in configuration.codes:
        return []
    column, message = max(error.column - 1, 0), f"unreadable: {error.message}"
    return [Finding.at(source, error.line, column, UNREADABLE, "warning", message)]


def _files(roots: tuple[Path, ...] = ()) -> Files:
    from zerograd.linting.modules import Files

    return Files(roots)


def _of_others(told: Sequence[Told], module: Module, files: Files) -> Iterator[Finding]:
    """Findings in functions of other files, which are called here."""
    for path in {finding.path for finding, _ in told} - {module.source.path}:
        other = files.at(path)
        if other is not None:
            yield from kept([pair for pair in told if pair[0].path == path], comments(other.source))


def told_of(module: Module, configuration: Configuration) -> Iterator[Told]:
    """What the rules say, before comments are looked at."""
    from zerograd.linting.binding import Binder
    from zerograd.linting.context import contexts
    from zerograd.linting.rules import OF_THE_FILE, OF_THE_FLOW

    binder = Binder()
    for code, check_file in OF_THE_FILE.items():
        if code in configuration.codes:
            yield from check_file(module, binder)
    for context in contexts(module, binder):
        for code, check in OF_THE_FLOW.items():
            if code in configuration.codes:
                yield from check(context)


def functions_of(module: Module, binder: Binder) -> list[Context]:
    """The functions of a module in which an optimizer steps."""
    from zerograd.linting.context import contexts

    return [context for context in contexts(module, binder) if context.optimizers]


def _once(told: Sequence[Told]) -> list[Told]:
    """Of the findings of one rule at one place, which several functions lead to, the gravest."""
    best: dict[tuple[object, ...], Told] = {}
    for finding, lines in told:
        key = (finding.path, finding.cell, finding.line, finding.column, finding.code)
        if key not in best or RANK[finding.severity] < RANK[best[key][0].severity]:
            best[key] = (finding, lines | (best[key][1] if key in best else frozenset()))
    return list(best.values())


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Let Python look for garbage seldom: for commands whose process does nothing but check files."""
    before = gc.get_threshold()
    gc.set_threshold(*RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def check_file(path: Path, configuration: Configuration, files: Files | None = None) -> list[Finding]:
    """All findings of a file. Nothing that a file holds raises an exception."""
    try:
        source = read_source(path)
    except UnreadableError as error:
        return _unreadable(Source(str(path), ""), error, configuration)
    return check_source(source, configuration, files)


def check_paths(
    paths: Sequence[Path], configuration: Configuration, roots: tuple[Path, ...] = (), workers: int | None = None
) -> list[Finding]:
    """All findings of files, in the order of the files. ``roots``: folders in which imports are followed."""
    count = min(os.cpu_count() or 1, 8) if workers is None else workers
    if len(paths) < SMALL or count < 2:
        files = _files(roots)
        return _merged(check_file(path, configuration, files) for path in paths)
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    pieces = [list(paths[start : start + SMALL]) for start in range(0, len(paths), SMALL)]
    with ProcessPoolExecutor(count, get_context("spawn"), _begin, (configuration, roots)) as pool:
        return _merged(found for piece in pool.map(_check_piece, pieces) for found in piece)


def _merged(found: Iterable[list[Finding]]) -> list[Finding]:
    """Findings in the order of the files; what several files lead to is told once, as the gravest."""
    best: dict[tuple[object, ...], Finding] = {}
    for findings in found:
        for finding in findings:
            key = (finding.path, finding.cell, finding.line, finding.column, finding.code)
            if key not in best or RANK[finding.severity] < RANK[best[key].severity]:
                best[key] = finding
    return list(best.values())


_here: dict[str, tuple[Configuration, Files]] = {}
"""What a process that checks a share of the files keeps from one piece to the next."""


def _begin(configuration: Configuration, roots: tuple[Path, ...]) -> None:
    gc.set_threshold(*RARELY)
    _here["share"] = configuration, _files(roots)


def _check_piece(paths: list[Path]) -> list[list[Finding]]:
    configuration, files = _here["share"]
    return [check_file(path, configuration, files) for path in paths]
