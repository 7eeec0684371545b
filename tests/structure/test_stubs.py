"""The committed stubs say what the live classes say, so editors and type checkers see real signatures."""

from __future__ import annotations

import ast
import inspect
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import zerograd
from structure.source import ROOT, SRC
from zerograd import RuleOptimizer, optim

TOOL = ROOT / "tools" / "make_stubs.py"
PACKAGE_STUB, OPTIM_STUB = (SRC / "zerograd" / name for name in ("__init__.pyi", "optim.pyi"))
STUB = {path: ast.parse(path.read_text(encoding="utf-8")) for path in (PACKAGE_STUB, OPTIM_STUB)}
CLASSES = {node.name: node for node in STUB[OPTIM_STUB].body if isinstance(node, ast.ClassDef)}
INHERITING = {"LBFGS"}
"""Classes whose constructor is torch's, and typed there."""


@pytest.fixture(scope="module")
def main() -> Callable[[list[str]], int]:
    """The tool's main function, as `make stubs` and `make check` call it."""
    found: Callable[[list[str]], int] = runpy.run_path(str(TOOL))["main"]
    return found


def test_the_stubs_are_fresh(main: Callable[[list[str]], int]) -> None:
    assert main(["--check"]) == 0, "run `make stubs`"


def test_a_stale_stub_is_told_and_then_written(
    main: Callable[[list[str]], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    package = tmp_path / "src" / "zerograd"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    stale, fresh = package / OPTIM_STUB.name, package / PACKAGE_STUB.name
    stale.write_text(OPTIM_STUB.read_text().replace("momentum: float", "momentum: int"))
    fresh.write_text(PACKAGE_STUB.read_text())
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    monkeypatch.setitem(main.__globals__, "PACKAGE", package)
    assert main(["--check"]) == 1
    assert capsys.readouterr().out == "stale: optim.pyi; run `make stubs`\n"
    assert "momentum: int" in stale.read_text(), "--check writes nothing"
    assert main([]) == 0
    assert stale.read_text() == OPTIM_STUB.read_text()
    assert main(["--check"]) == 0


def reexports(path: Path) -> dict[str, tuple[str, str]]:
    """Name -> (module, name there) of every ``from module import X as X``."""
    lines = [node for node in STUB[path].body if isinstance(node, ast.ImportFrom)]
    return {a.asname: (str(line.module), a.name) for line in lines for a in line.names if a.asname}


def listed(path: Path) -> list[str]:
    """What the stub says ``__all__`` is."""
    (value,) = (
        n.value for n in STUB[path].body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"
    )
    names: list[str] = ast.literal_eval(value)
    return names


def test_the_package_stub_holds_every_public_name_and_nothing_else() -> None:
    found = reexports(PACKAGE_STUB)
    assert sorted(found) == sorted(listed(PACKAGE_STUB)) == zerograd.__all__
    for name, (module, original) in found.items():
        assert getattr(import_module(module), original) is getattr(zerograd, name), name


def test_the_optimizers_stub_holds_every_optimizer_and_nothing_else() -> None:
    found = reexports(OPTIM_STUB)
    assert listed(OPTIM_STUB) == optim.__all__
    promised = {name for name, (module, _) in reexports(PACKAGE_STUB).items() if module == "zerograd.optim"}
    assert found.keys() | CLASSES.keys() == {*optim.__all__, *promised}
    for name, (module, original) in found.items():
        assert getattr(import_module(module), original) is getattr(optim, name), name
    ours = {name for name in optim.__all__ if issubclass(getattr(optim, name), RuleOptimizer)}
    assert set(CLASSES) == ours | INHERITING


def stub_signature(node: ast.ClassDef) -> list[tuple[str, Any, Any]]:
    """(name, kind, default) of the constructor's arguments without self, read off the syntax tree."""
    (init,) = (part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__")
    arguments = init.args
    assert [arguments.posonlyargs, arguments.vararg, arguments.kwarg] == [[], None, None]
    empty = inspect.Parameter.empty
    required = len(arguments.args) - len(arguments.defaults)
    defaults = [*[empty] * required, *map(value_of, arguments.defaults)]
    keywords = [empty if default is None else value_of(default) for default in arguments.kw_defaults]
    positional, by_keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    found = [
        *((a.arg, positional, default) for a, default in zip(arguments.args, defaults, strict=True)),
        *((a.arg, by_keyword, default) for a, default in zip(arguments.kwonlyargs, keywords, strict=True)),
    ]
    assert found[0][0] == "self"
    return found[1:]


def value_of(node: ast.expr) -> Any:
    return eval(ast.unparse(node), {"__builtins__": {"float": float}})


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - INHERITING))
def test_a_signature_is_the_live_one(name: str) -> None:
    live = inspect.signature(getattr(optim, name)).parameters.values()
    assert stub_signature(CLASSES[name]) == [(p.name, p.kind, p.default) for p in live]


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_class_says_what_it_is(name: str) -> None:
    assert [ast.unparse(base).rpartition(".")[2] for base in CLASSES[name].bases] == [
        c.__name__ for c in getattr(optim, name).__bases__
    ]
    assert ast.get_docstring(CLASSES[name]) == getattr(optim, name).__doc__.splitlines()[0]


def test_every_argument_has_a_type() -> None:
    for name, node in CLASSES.items():
        for part in ast.walk(node):
            if isinstance(part, ast.arg) and part.arg != "self":
                assert part.annotation is not None, f"{name}.{part.arg}"
                assert not re.search(r"\bAny\b", ast.unparse(part.annotation)), f"{name}.{part.arg}"


def test_mypy_accepts_what_is_right_and_refuses_what_is_wrong() -> None:
    program = Path(__file__).with_name("user_program.py")
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(program)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
