"""What a name on the command line stands for: an optimizer of zerograd, or a rule of the user's own."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

from zerograd import optim
from zerograd.algebra.notation import Rule, Wrapper
from zerograd.algebra.tracing import Graph
from zerograd.engine.construction import from_rule
from zerograd.engine.optimizer import RuleOptimizer
from zerograd.engine.programs import Program
from zerograd.errors import RuleError, UsageError, did_you_mean
from zerograd.formats.layout import Layout
from zerograd.formats.plain import Format

ANY_LR = 1e-3
"""A number decides no graph; a class without a default takes this one."""


@dataclass(frozen=True)
class Subject:
    """An optimizer class and its program at the default hyper-parameters: that of compiled kernels."""

    cls: type[RuleOptimizer]
    program: Program

    @property
    def graph(self) -> Graph:
        return self.program.graph

    def layout(self, form: Format) -> Layout:
        """Everything in one format."""
        return Layout(form, form, tuple((name, form) for name in self.graph.tensor_states))


def subject(name: str) -> Subject:
    """The optimizer called ``name``, in capital or small letters, or the rule or class ``module:name``.

    Raises UsageError if there is none, or if it can't be traced.
    """
    try:
        cls = _imported(name) if ":" in name else _own(name)
        return traced(cls)
    except RuleError as error:
        raise UsageError(one_line(error)) from error


def traced(cls: type[RuleOptimizer]) -> Subject:
    """The subject of a class."""
    values = {"lr": ANY_LR, **cls.rule.hypers}
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in values and parameter.default is not inspect.Parameter.empty:
            values[name] = parameter.default
    return Subject(cls, cls.class_programs.find(values, whole=True))


def one_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    return " ".join(str(error).split())


def _own(name: str) -> type[RuleOptimizer]:
    kinds: dict[str, Any] = {public: getattr(optim, public) for public in optim.__all__ if public != "Optimizer"}
    made = sorted((public for public, kind in kinds.items() if issubclass(kind, RuleOptimizer)), key=str.casefold)
    for public, kind in kinds.items():
        if public.casefold() == name.casefold():
            if public not in made:
                raise UsageError(
                    f"{public} is PyTorch's own algorithm: it is not made from a rule, and has no kernel here."
                )
            found: type[RuleOptimizer] = kind
            return found
    raise UsageError(f"There is no optimizer {name!r}. {did_you_mean(name, made)} A rule of your own is module:name.")


# ------------------------------------------------------------------------------------------------ a user's own rule


def _imported(name: str) -> type[RuleOptimizer]:
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise UsageError(f"{name!r} is no name. A rule of your own is module:name, as in my_rules:my_rule.")
    value: Any = _module(module_name)
    owner = value
    for part in path.split("."):
        if not hasattr(value, part):
            choices = _rules_in(owner)
            hint = did_you_mean(part, choices) if choices else "There is no rule in it."
            raise UsageError(f"The module {module_name} has no {path!r}. {hint}")
        value = getattr(value, part)
    return _class_of(value, name)


def _module(name: str) -> ModuleType:
    with _current_folder():
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and f"{name}.".startswith(f"{error.name}."):
                hint = f" Write it as import does: {name[:-3].replace('/', '.')}." if name.endswith(".py") else ""
                raise UsageError(
                    f"There is no module {name!r} in {os.getcwd()} or among the installed packages.{hint}"
                ) from error
            raise _import_failed(name, error) from error
        except (Exception, SystemExit) as error:  # whatever the user's own code does
            raise _import_failed(name, error) from error


def _import_failed(name: str, error: BaseException) -> UsageError:
    return UsageError(f"The module {name} can't be imported: {type(error).__name__}: {one_line(error)}")


@contextmanager
def _current_folder() -> Iterator[None]:
    """Let modules of the current folder be imported, as ``python -m`` does."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)


def _rules_in(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if not name.startswith("_") and _is_rule(value)]


def _is_rule(value: Any) -> bool:
    return isinstance(value, Rule) or (isinstance(value, type) and hasattr(value, "rule") and _is_optimizer(value))


def _is_optimizer(value: type) -> bool:
    return issubclass(value, RuleOptimizer)


def _class_of(value: Any, name: str) -> type[RuleOptimizer]:
    if isinstance(value, type) and _is_rule(value):
        return value
    if isinstance(value, Wrapper):
        raise UsageError(f"{name} is a wrapper: it stands around a rule. Show a rule or a class that is made with it.")
    if not isinstance(value, (Rule, FunctionType)):
        raise UsageError(f"{name} is {value!r}: neither a rule, nor a function, nor a class that from_rule() made.")
    try:
        return from_rule(value)
    except TypeError as error:  # a RuleError, or a name that the engine reserves
        raise UsageError(one_line(error)) from error
