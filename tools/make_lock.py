"""Write the lock files: the exact packages of `make setup` and of `make test-ecosystem`.

Run it with `make lock` after changing the dependencies in pyproject.toml. Each is resolved in a throw-away environment.
torch is pinned to the version that the project is tested with; everything else takes the newest that fits, and what
both environments need is the same version in both.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import tomllib

ROOT = Path(__file__).resolve().parent.parent
TORCH = "torch==2.13.0"
HEADER = "# Written by `make lock` (tools/make_lock.py); do not edit by hand.\n"
MAIN, ECOSYSTEM = ROOT / "requirements.lock", ROOT / "requirements-ecosystem.lock"


def needed(project: dict[str, Any]) -> list[str]:
    """What the package itself needs, torch pinned."""
    return [TORCH] + [name for name in project["dependencies"] if not name.startswith("torch")]


def wanted(project: dict[str, Any]) -> list[str]:
    """The direct requirements of the package and of all its extras."""
    names = needed(project)
    for extra in project["optional-dependencies"].values():
        names += [name for name in extra if not name.startswith("zerograd")]
    return names


def resolved(names: list[str], *more: str) -> str:
    """The versions that pip takes for these requirements, as the text of a lock file."""
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", *names, *more], check=True)
        frozen = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True).stdout
    # A local version (2.13.0+cpu) names one build; the lock names the release.
    lines = [line.split("+")[0] for line in frozen.splitlines() if line]
    return HEADER + "\n".join(lines) + "\n"


def write(target: Path, text: str) -> None:
    temporary = target.with_suffix(".lock.tmp")
    temporary.write_text(text)
    temporary.replace(target)


def main() -> None:
    described = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = described["project"]
    write(MAIN, resolved(wanted(project)))
    ecosystem = [*needed(project), *described["dependency-groups"]["ecosystem"]]
    write(ECOSYSTEM, resolved(ecosystem, "--constraint", str(MAIN)))


if __name__ == "__main__":
    main()
