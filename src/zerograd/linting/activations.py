"""Functions at work while a graph is built: where what jumps out of them, or about in them, goes."""

from __future__ import annotations

import ast

from zerograd.linting.modules import Module
from zerograd.linting.paths import Frame
from zerograd.linting.scopes import Function
from zerograd.stand_ins import dataclass, field


@dataclass
class Target:
    """Where ``break`` and ``continue`` go, and how many ``finally`` blocks they leave."""

    breaks: list[int]
    header: int
    finals: int


@dataclass
class Activation:
    """A function that is being built: its frame, where its returns are collected."""

    frame: Frame
    module: Module
    function: Function | None
    returns: list[int] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    finals: list[list[ast.stmt]] = field(default_factory=list)
