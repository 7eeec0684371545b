"""What a package hands on: the names that its ``__init__`` imports from other files."""

from __future__ import annotations

import re
from functools import lru_cache

from zerograd.linting.patterns import pattern

IMPORT = pattern(r"^[ \t]*from\s+([\w.]+)\s+import\s+(?:\(([^)]*)\)|([^\n#]+))", re.MULTILINE)
COMMENT = pattern(r"#[^\n]*")
DEFINED = pattern(r"^(?:def|class|async def)\s+(\w+)|\bimport\b([^\n]*)", re.MULTILINE)
WORD = pattern(r"\w+")


@lru_cache(maxsize=512)
def exports(text: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """The origin of each name that is imported under its own name, and the files of which all is imported."""
    names: dict[str, str] = {}
    everything: list[str] = []
    for origin, several, few in IMPORT.findall(text):
        for name in COMMENT.sub("", several or few).replace("\\", " ").split(","):
            if name.strip() == "*":
                everything.append(origin)
            elif name.strip():
                names[name.strip()] = origin
    return names, tuple(everything)


@lru_cache(maxsize=512)
def given_names(text: str) -> frozenset[str]:
    """What a file defines at its left edge, and all words behind an import, in one line."""
    found: set[str] = set()
    for defined, imported in DEFINED.findall(text):
        found.update((defined,) if defined else WORD.findall(imported))
    return frozenset(found)
