"""The packages that only training needs: `pip install 'zerograd[train]'`."""

from __future__ import annotations

from importlib.util import find_spec

from zerograd.errors import UsageError

PACKAGES = {
    "rich": "rich",
    "matplotlib": "matplotlib",
    "sklearn": "scikit-learn",
    "safetensors": "safetensors",
}


def require_extra(command: str) -> None:
    """Refuse to start ``command`` when one of the packages is not installed."""
    missing = [package for module, package in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise UsageError(f"{command} needs {', '.join(missing)}: pip install 'zerograd[train]'")


def require_package(task: str, module: str, cure: str | None = None) -> None:
    """Refuse to start ``task`` without the package that its data comes with."""
    if find_spec(module) is None:
        raise UsageError(f"The task {task!r} needs the package {module}. {cure or f'pip install {module}'}")
