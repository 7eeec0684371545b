"""What the text of a file says of its names: those with an optimizer's methods, and those with a module's."""

from __future__ import annotations

import re

from zerograd.linting.patterns import pattern

USED = pattern(r"\.\s*(zero_grad|param_groups|step|parameters|named_parameters|train|eval)\b")
RECEIVER = pattern(r"(\w+)(?:\[[^\]]*\])?\s*$")
WORD = pattern(r"\w+")
LONGEST = 80
DECLARED = pattern(r"(\w+)\s*[:,]\s*[\w.]*\bOptimizer\b")


def used_names(text: str) -> tuple[set[str], set[str]]:
    """The names on which an optimizer's methods are called, whatever they are called, and those with a module's."""
    used: dict[str, set[str]] = {}
    for match in USED.finditer(text):
        receiver = _last_name(text[max(0, match.start() - LONGEST) : match.start()])
        if receiver:
            used.setdefault(receiver, set()).add(match[1])
    optimizers = {
        name for name, methods in used.items() if "step" in methods and methods & {"zero_grad", "param_groups"}
    }
    if "Optimizer" in text:
        lines = (line for line in text.split("\n") if "Optimizer" in line)
        optimizers.update(name for line in lines for name in DECLARED.findall(line))
    return optimizers, {name for name, methods in used.items() if methods - {"step", "param_groups"}}


def _last_name(text: str) -> str:
    """The name at the end of a text, with or without an index; empty if there is none."""
    plain = WORD.match(text.rstrip()[::-1])
    if plain is not None:
        return plain[0][::-1]
    indexed = RECEIVER.search(text)
    return indexed[1] if indexed is not None else ""


def asked_to_be_an_optimizer(name: str, text: str) -> bool:
    """Whether a file asks ``isinstance(updater, torch.optim.Optimizer)``."""
    if "isinstance" not in text or "Optimizer" not in text or not name.isidentifier():
        return False
    return re.search(rf"isinstance\(\s*[\w.]*\b{name}\s*,[^)\n]*\bOptimizer\b", text) is not None
