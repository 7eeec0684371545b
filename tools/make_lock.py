"""Write the lock files: the exact packages of `make setup` and of `make test-ecosystem`.

Run it with `make lock` after changing the dependencies in pyproject.toml, or with the name of one lock file for that
one alone. pip resolves without installing anything. torch is pinned to the version that the project is tested with;
everything else takes the newest that fits, and what both environments need is the same version in both. torch has to
come from an index with its CPU build: the one on PyPI for Linux brings gigabytes for CUDA with it, and is refused.
"""

from __future__ import annotations

import json
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
MINUTES = 10
"""What one resolution may take; it needs about one."""


def needed(project: dict[str, Any]) -> list[str]:
    """What the package itself needs, torch pinned."""
    return [TORCH] + [name for name in project["dependencies"] if not name.startswith("torch")]


def wanted(project: dict[str, Any]) -> list[str]:
    """The direct requirements of the package and of all its extras."""
    names = needed(project)
    for extra in project["optional-dependencies"].values():
        names += [name for name in extra if not name.startswith("zerograd")]
    return names


def resolved(names: list[str], *more: str) -> dict[str, Any]:
    """pip's report of what it would install for these requirements into an environment with nothing in it."""
    with tempfile.TemporaryDirectory() as folder:
        python, report = Path(folder) / "bin" / "python", Path(folder) / "report.json"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--dry-run"]
        subprocess.run([*pip, "--report", str(report), *names, *more], check=True, timeout=60 * MINUTES)
        found: dict[str, Any] = json.loads(report.read_text())
    return found


def locked(report: dict[str, Any]) -> str:
    """A report as the text of a lock file. A local version (2.13.0+cpu) names one build; the lock names the release."""
    found = [(entry["metadata"]["name"], entry["metadata"]["version"].split("+")[0]) for entry in report["install"]]
    cuda = sorted(name for name, _ in found if name.startswith("nvidia-"))
    if cuda:
        raise SystemExit(
            f"pip took torch's CUDA build, which needs {', '.join(cuda)}: nothing was written. Let pip find the CPU "
            "build first, for example with PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu."
        )
    return HEADER + "".join(f"{name}=={version}\n" for name, version in sorted(found, key=lambda x: x[0].lower()))


def write(target: Path, text: str) -> None:
    temporary = target.with_suffix(".lock.tmp")
    temporary.write_text(text)
    temporary.replace(target)


def main(names: list[str]) -> None:
    described = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = described["project"]
    if not names or MAIN.name in names:
        write(MAIN, locked(resolved(wanted(project))))
    if not names or ECOSYSTEM.name in names:
        ecosystem = [*needed(project), *described["dependency-groups"]["ecosystem"]]
        write(ECOSYSTEM, locked(resolved(ecosystem, "--constraint", str(MAIN))))


if __name__ == "__main__":
    main(sys.argv[1:])
