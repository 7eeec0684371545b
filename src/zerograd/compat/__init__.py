"""Optimizers as other frameworks define them, for programs that come from there. Each is loaded when it is first used."""

from importlib import import_module
from typing import Any

__all__ = ["keras"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f"zerograd.compat.{name}")
    raise AttributeError(f"module 'zerograd.compat' has no attribute {name!r}; it has {', '.join(__all__)}")
