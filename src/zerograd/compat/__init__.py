"""Optimizers as other frameworks define them, for programs from there. Each is loaded when it is first used."""

from importlib import import_module
from typing import Any

_FRAMEWORKS = ("keras",)


def __getattr__(name: str) -> Any:
    if name in _FRAMEWORKS:
        return import_module(f"zerograd.compat.{name}")
    raise AttributeError(f"module 'zerograd.compat' has no attribute {name!r}; it has {', '.join(_FRAMEWORKS)}")


def __dir__() -> list[str]:
    return list(_FRAMEWORKS)
