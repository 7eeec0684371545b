"""What is checked: ``[tool.zerograd.lint]`` in pyproject.toml, and what the command line says on top of it."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path

from zerograd.errors import UsageError, did_you_mean, nearest
from zerograd.hazards import NAMES
from zerograd.stand_ins import Any, dataclass

CODES = tuple(code for code in NAMES if code < "ZG8")
"""The codes of the rules; hazards from ZG801 on show while a program runs. ``rules`` holds what is checked."""

REMARKS = ("ZG000", "ZG100")
"""What is said beside the rules, of files that can't be read and of comments. It can be ignored, not selected."""

KEYS = ("select", "ignore", "exclude")
SKIPPED = frozenset({"__pycache__", "node_modules", "build", "dist", "site-packages", ".git", ".venv", "venv"})
"""Folders that are not looked into when a folder above them is checked."""
SUFFIXES = (".py", ".pyw", ".ipynb")


@dataclass(frozen=True)
class Configuration:
    """``codes``: the rules that are applied. ``exclude``: patterns of files and folders, relative to ``base``."""

    codes: frozenset[str] = frozenset((*CODES, *REMARKS))
    exclude: tuple[str, ...] = ()
    base: Path = Path()

    def leaves_out(self, path: Path) -> bool:
        """Whether a pattern fits a file's path, one of its folders, or its name."""
        try:
            relative = path.resolve().relative_to(self.base.resolve())
        except ValueError:
            relative = path
        names = [relative.as_posix(), *(parent.as_posix() for parent in relative.parents)][:-1] or [relative.as_posix()]
        return any(
            fnmatch(name, pattern.rstrip("/")) or fnmatch(name.rpartition("/")[2], pattern.rstrip("/"))
            for pattern in self.exclude
            for name in names
        )


def configured(
    start: Path, select: Sequence[str] = (), ignore: Sequence[str] = (), exclude: Sequence[str] = ()
) -> Configuration:
    """The configuration for a folder. Options replace ``select`` and add to ``ignore`` and ``exclude``.

    Raises UsageError for a key, a code or a file that can't be understood.
    """
    file = _project_file(start)
    table = _table(file) if file is not None else {}
    chosen = list(select) or _strings(table, "select", file)
    left_out = [*_strings(table, "ignore", file), *ignore]
    codes = {*(_expanded(chosen, CODES) if chosen else CODES), *REMARKS} - {*_expanded(left_out, (*CODES, *REMARKS))}
    patterns = (*_strings(table, "exclude", file), *exclude)
    return Configuration(frozenset(codes), patterns, file.parent if file is not None else start)


def _expanded(codes: Iterable[str], known: Sequence[str]) -> list[str]:
    """ZG1 stands for all codes that begin with it."""
    found = []
    for code in codes:
        fitting = [one for one in known if one.startswith(code.upper())]
        if not fitting:
            raise UsageError(f"There is no rule {code!r}. {did_you_mean(code.upper(), known)}")
        found += fitting
    return found


def _project_file(start: Path) -> Path | None:
    folder = start.resolve()
    for parent in (folder, *folder.parents):
        if (parent / "pyproject.toml").is_file():
            return parent / "pyproject.toml"
    return None


def _table(file: Path) -> dict[str, Any]:
    text = file.read_text(encoding="utf-8", errors="replace")
    if "tool.zerograd" not in text:
        return {}
    table = _parsed(text, file)
    if not isinstance(table, dict):
        raise UsageError(f"tool.zerograd.lint in {file} must be a table, not {table!r}.")
    unknown = [key for key in table if key not in KEYS]
    if unknown:
        raise UsageError(f"[tool.zerograd.lint] in {file} has no key {unknown[0]!r}. {did_you_mean(unknown[0], KEYS)}")
    return table


def _parsed(text: str, file: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib

        try:
            table = tomllib.loads(text)
            found: dict[str, Any] = table.get("tool", {}).get("zerograd", {}).get("lint", {})
            return found
        except (tomllib.TOMLDecodeError, AttributeError) as error:
            raise UsageError(f"{file} can't be read: {error}") from None
    return _lists_of_section(text, file)


def _lists_of_section(text: str, file: Path) -> dict[str, Any]:
    """The lists of strings of our section, for a Python without tomllib; the section holds nothing else."""
    match = re.search(r"^\[tool\.zerograd\.lint\]\s*$(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    found = {}
    for key, value in re.findall(
        r"^(\w+)\s*=\s*(\[.*?\]|.+?)\s*$", match[1] if match else "", re.MULTILINE | re.DOTALL
    ):
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            raise UsageError(f"{file} can't be read: {key} must be a list of strings") from None
    return found


def _strings(table: dict[str, Any], key: str, file: Path | None) -> list[str]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise UsageError(f"{key} of [tool.zerograd.lint] in {file} must be a list of strings, not {value!r}.")
    return list(value)


def files_of(paths: Sequence[Path], configuration: Configuration) -> list[Path]:
    """The files to check, each once and in order. A file that is named is checked whatever its name ends with.

    Raises UsageError for a path that does not exist.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                inner = file.relative_to(path).parts[:-1]
                hidden = any(part in SKIPPED or part.startswith(".") for part in inner)
                if file.suffix in SUFFIXES and not hidden and file.is_file() and not configuration.leaves_out(file):
                    found.setdefault(os.path.realpath(file), file)
        elif path.exists():
            if not configuration.leaves_out(path):
                found.setdefault(os.path.realpath(path), path)
        else:
            raise UsageError(no_such_file(path))
    return list(found.values())


def no_such_file(path: Path) -> str:
    """What is said of a path that does not exist, with the name beside it that is spelt most like it."""
    folder = path.parent
    near = nearest(path.name, os.listdir(folder)) if folder.is_dir() and os.access(folder, os.R_OK) else None
    return f"There is no file or folder {str(path)!r}." + (f" Did you mean {str(folder / near)!r}?" if near else "")
