"""Public names: one sorted list, all of them real, all of them documented, none of them a module's as well."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from importlib.metadata import version
from types import ModuleType

import pytest
import torch
from torch.optim import Optimizer

import zerograd
from structure.source import ROOT, Module, definitions, modules
from zerograd import optim

API = ROOT / "docs" / "api.md"

FRONT_PAGES = ["algebra", "benchmarking", "describing", "engine", "formats", "training"]
"""The packages that say in ``__init__.py`` what each of their files is."""

ENTRY_POINT = {
    "main": "zerograd.cli.main:main, the program's entry point; no package re-exports the function over the module"
}


def module_basenames() -> set[str]:
    return {module.name.rpartition(".")[2] for module in modules() if "." in module.name}


def public_names(module: Module) -> set[str]:
    """What a module defines itself, and for a package also what it exports."""
    names = set(definitions(module.tree.body))
    if module.is_package and module.name != "zerograd":
        names |= set(getattr(import_module(module.name), "__all__", ()))
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_no_public_name_is_also_the_name_of_a_module(module: Module) -> None:
    clash = public_names(module) & module_basenames() - ENTRY_POINT.keys()
    assert not clash, f"{module.name}: import zerograd.x would find either the module or what is defined here: {clash}"


def test_no_package_hides_its_entry_point_module() -> None:
    for module in modules():
        if module.is_package:
            assert not public_names(module) & ENTRY_POINT.keys(), module.name


def test_the_public_names_are_sorted_and_listed_once() -> None:
    assert zerograd.__all__ == sorted(set(zerograd.__all__))


def test_every_public_name_is_real() -> None:
    for name in zerograd.__all__:
        value = getattr(zerograd, name)
        assert isinstance(value, ModuleType) or callable(value), name


def test_a_star_import_gives_exactly_the_public_names() -> None:
    given: dict[str, object] = {}
    exec("from zerograd import *", given)
    assert given.keys() - {"__builtins__"} == set(zerograd.__all__)


def test_an_editor_is_offered_the_public_names_and_the_version() -> None:
    assert dir(zerograd) == sorted([*zerograd.__all__, "__version__"])


def test_the_optimizers_are_public_names() -> None:
    """Every class of zerograd.optim is zerograd's too, and every optimizer of zerograd stands in zerograd.optim."""
    values = {name: getattr(zerograd, name) for name in zerograd.__all__}
    classes = {name for name, value in values.items() if isinstance(value, type) and issubclass(value, Optimizer)}
    assert classes - {"RuleOptimizer"} == set(optim.__all__)
    assert all(values[name] is getattr(optim, name) for name in classes - {"RuleOptimizer"})


def test_the_page_of_names_is_the_list_of_names() -> None:
    documented = re.findall(r"^\| `([\w.]+)` \|", API.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(documented) == len(set(documented)), "a name stands there twice"
    assert sorted(documented) == zerograd.__all__


def test_the_page_says_which_names_are_torchs_own() -> None:
    marked = set(re.findall(r"^\| `(\w+)` \| torch's own", API.read_text(encoding="utf-8"), re.MULTILINE))
    values = {name: getattr(zerograd, name) for name in torch.optim.__all__}
    same = {name for name, value in values.items() if value is getattr(torch.optim, name)}
    assert marked == same


@pytest.mark.parametrize("package", FRONT_PAGES)
def test_the_front_page_of_a_package_names_its_parts(package: str) -> None:
    (front,) = (module for module in modules() if module.name == f"zerograd.{package}")
    words = set(re.findall(r"\w+", ast.get_docstring(front.tree) or ""))
    parts = {m.name.rpartition(".")[2] for m in modules() if m.name.rpartition(".")[0] == front.name}
    assert not parts - words


def test_the_version_is_the_packages() -> None:
    assert zerograd.__version__ == version("zerograd")
