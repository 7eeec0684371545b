"""`zerograd lint`: a reader of training programs that knows the order of zero_grad, backward and step.

It reads source and runs nothing; it needs neither torch nor what a program imports. The parts, in order of reading:

- ``reading``, ``suppression``: files and notebooks as text; comments to the linter
- ``scopes``, ``exporting``, ``modules``, ``binding``: what names stand for, in a file and across files
- ``calling``, ``trees``: which parts of a program need a closer look; how trees are walked
- ``graph``, ``flow``, ``calls``: what may follow what, functions that are called built in
- ``state``: what one optimizer sees of it
- ``rules``: one rule, one file
- ``checking``, ``report``, ``explaining``: from files to findings, and how they are told

A rule speaks of what it is sure of. What is not known is an event of its own, and no rule looks beyond it.
"""

from __future__ import annotations

from importlib import import_module

from zerograd.stand_ins import TYPE_CHECKING

if TYPE_CHECKING:
    from zerograd.linting.checking import check_file, check_paths, check_source
    from zerograd.linting.configuration import Configuration, configured, files_of
    from zerograd.linting.finding import Finding
    from zerograd.linting.reading import Source

HOMES = {
    "checking": ("check_file", "check_paths", "check_source"),
    "configuration": ("Configuration", "configured", "files_of"),
    "finding": ("Finding",),
    "reading": ("Source",),
}


def __getattr__(name: str) -> object:
    for home, names in HOMES.items():
        if name in names:
            found: object = getattr(import_module(f"zerograd.linting.{home}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Configuration", "Finding", "Source", "check_file", "check_paths", "check_source", "configured", "files_of"]
