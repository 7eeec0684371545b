"""Write the committed stubs, src/zerograd/__init__.pyi and optim.pyi, from the live package.

The classes in zerograd.optim are made by `from_rule`, so an editor sees no signature in the source. The stubs say what
`inspect.signature` says. `make stubs` writes them; `--check` only tells, with exit code 1, whether they are stale.
"""

from __future__ import annotations

import argparse
import inspect
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import zerograd
from zerograd import RuleOptimizer, optim
from zerograd.rules import decoupled

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "zerograd"
ORIGIN = "Written by `make stubs` (tools/make_stubs.py) from the live package; do not edit by hand."
MAY_BE_TENSORS = ("lr", "betas", "weight_decay")
"""torch takes these as one-element tensors, so programs that pass them must type-check here too."""


def texts() -> dict[str, str]:
    """File name -> what the stub must say now."""
    stubs = {"__init__.pyi": package_stub(), "optim.pyi": optim_stub()}
    return {name: formatted(text, name) for name, text in stubs.items()}


def package_stub() -> str:
    """Every public name of zerograd, from the module that it is loaded from."""
    homes = home_of()
    lines = [f"from zerograd import {name} as {name}" for name in zerograd.__all__ if name not in homes]
    lines += [f"from {homes[name]} import {name} as {name}" for name in zerograd.__all__ if name in homes]
    names = ", ".join(f'"{name}"' for name in zerograd.__all__)
    title = "What `import zerograd` gives, for editors and type checkers."
    return "\n".join([docstring(title, ORIGIN), *lines, "", "__version__: str", f"__all__ = [{names}]"])


def home_of() -> dict[str, str]:
    """Public name of zerograd -> the module that it is loaded from."""
    homes: dict[str, str] = vars(zerograd)["_HOME_OF"]
    return homes


def optim_stub() -> str:
    """The optimizers: ours with their signatures, torch's by name."""
    classes = {name: getattr(optim, name) for name, home in home_of().items() if home == optim.__name__}
    ours = [classes[name] for name in optim.__all__ if issubclass(classes[name], RuleOptimizer)]
    torchs = [name for name, cls in classes.items() if cls is getattr(torch.optim, name, None)]
    mended = [name for name in optim.__all__ if name not in torchs and classes[name] not in ours]
    lines = [
        docstring("The signatures of the optimizers, for editors and type checkers.", ORIGIN),
        "from collections.abc import Mapping",
        "",
        "import torch.optim",
        "from torch import Tensor",
        "from torch.optim.optimizer import ParamsT",
        "from zerograd.algebra import Policy",
        "from zerograd.engine.optimizer import RuleOptimizer",
        "from zerograd.formats.policies import Int8",
        *(f"from torch.optim import {name} as {name}" for name in torchs),
        "",
        "__all__ = [" + ", ".join(f'"{name}"' for name in optim.__all__) + "]",
        "",
        *(mended_stub(classes[name], getattr(torch.optim, name)) for name in mended),
        *(class_stub(cls) for cls in ours),
    ]
    return "\n".join(lines)


def mended_stub(cls: type, theirs: type) -> str:
    """One class of torch's that is mended here: its first line, and the methods that torch's does not have."""
    added = {name: value for name, value in vars(cls).items() if not (name.startswith("_") or hasattr(theirs, name))}
    methods = [f"    def {name}{inspect.signature(value, eval_str=True)}: ..." for name, value in added.items()]
    return "\n".join(
        [f"class {cls.__name__}(torch.optim.{theirs.__name__}):", f"    {docstring(summary(cls))}", *methods]
    )


def class_stub(cls: type[RuleOptimizer]) -> str:
    """One class: the first line of its docstring and its constructor."""
    parameters = list(inspect.signature(cls).parameters.values())
    arguments = ["self"]
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in arguments:
            arguments.append("*")
        arguments.append(argument(cls, parameter))
    bases = [b.__name__ if issubclass(b, RuleOptimizer) else f"torch.optim.{b.__name__}" for b in cls.__bases__]
    return (
        f"class {cls.__name__}({', '.join(bases)}):\n"
        f"    {docstring(summary(cls))}\n"
        f"    def __init__({', '.join(arguments)}) -> None: ...\n"
        + ("    def share_memory(self) -> None: ...\n" if hasattr(cls, "share_memory") else "")
    )


def summary(cls: type) -> str:
    """The first line of a class's docstring."""
    return (cls.__doc__ or "").splitlines()[0]


def docstring(*paragraphs: str) -> str:
    """A docstring of one line, or of paragraphs."""
    text = "\n\n".join(paragraphs)
    return f'"""{text}"""\n' if len(paragraphs) == 1 else f'"""{text}\n"""\n'


def argument(cls: type[RuleOptimizer], parameter: inspect.Parameter) -> str:
    """``name: type = default``, as it stands in a signature."""
    if parameter.name == "params":
        return "params: ParamsT"
    annotation = kind_of(cls, parameter.name, parameter.default)
    default = "" if parameter.default is parameter.empty else f" = {literal(parameter.default)}"
    return f"{parameter.name}: {annotation}{default}"


def kind_of(cls: type[RuleOptimizer], name: str, default: Any) -> str:
    """The type of an argument, from its default; a number with an int as default takes a float too."""
    number = "float | Tensor" if name in MAY_BE_TENSORS else "float"
    if name == "weight_decay" and takes_policy(cls):
        return f"{number} | Policy"
    if default is inspect.Parameter.empty:
        return number
    if isinstance(default, tuple):
        return f"tuple[{', '.join(kind_of(cls, name, one) for one in default)}]"
    if name in ("adjust_lr_fn", "weight_format"):
        return "str | None"
    if name == "state_format":
        return "str | Int8 | Mapping[str, str | Int8 | None] | None"
    if default is None:
        return "bool | None" if name in ("foreach", "fused") else "float | None"
    if isinstance(default, (bool, str)):
        return type(default).__name__
    if isinstance(default, (int, float)):
        return number
    raise TypeError(f"{cls.__name__}: no type is known for {name}={default!r}; teach it to tools/make_stubs.py")


def takes_policy(cls: type[RuleOptimizer]) -> bool:
    """Whether ``weight_decay=`` may be a policy; not where the rule does its own decay."""
    try:
        decoupled(0.1).placed_in(cls.rule)
    except TypeError:
        return False
    return True


def literal(value: Any) -> str:
    """The value as an expression. A tuple is taken apart, for infinity has no literal."""
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' * (len(value) == 1)})"
    return f'float("{value}")' if isinstance(value, float) and value - value != 0 else repr(value)


def formatted(text: str, name: str) -> str:
    """The text as ruff would have it, its imports and lists of names sorted."""
    where = ["--stdin-filename", str(PACKAGE / name), "-"]
    for command in (["check", "--fix", "--quiet", "--select", "I,RUF022"], ["format", "--quiet"]):
        ruff = [sys.executable, "-m", "ruff", *command, *where]
        text = subprocess.run(ruff, input=text, check=True, capture_output=True, encoding="utf-8").stdout
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the stubs, or with --check compare them; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a stub is stale")
    check = parser.parse_args(arguments).check
    stale = []
    for name, text in texts().items():
        path = PACKAGE / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, encoding="utf-8")
    if stale:
        sys.stdout.write(f"stale: {', '.join(stale)}; run `make stubs`\n" if check else f"wrote {', '.join(stale)}\n")
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main())
