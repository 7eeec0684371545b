"""What a package hands on: the names that its ``__init__`` imports from other files."""

from __future__ import annotations

import re
from functools import lru_cache

from zerograd.linting.patterns import pattern

IMPORT = pattern(r"^[ \t]*from\s+([\w.]+)\s+import\s+(?:\(([^)]*)\)|([^\n#]+))", re.MULTILINE)
COMMENT = pattern(r"#[^\n]*")


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
