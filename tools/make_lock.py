"""Write requirements.lock: the exact packages of `make setup`, resolved in a throw-away environment.

Run it with `make lock` after changing the dependencies in pyproject.toml. torch is pinned to the version
that the project is tested with; everything else takes the newest that fits.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parent.parent
TORCH = "torch==2.13.0"
HEADER = "# Written by `make lock` (tools/make_lock.py); do not edit by hand.\n"


def wanted() -> list[str]:
    """The direct requirements of the package and of all its extras, torch pinned."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        names += [name for name in extra if not name.startswith("zerograd")]
    return [TORCH] + [name for name in names if not name.startswith("torch")]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", *wanted()], check=True)
        frozen = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True).stdout
    # A local version (2.13.0+cpu) names one build; the lock names the release.
    lines = [line.split("+")[0] for line in frozen.splitlines() if line]
    text = HEADER + "\n".join(lines) + "\n"
    target = ROOT / "requirements.lock"
    temporary = target.with_suffix(".lock.tmp")
    temporary.write_text(text)
    temporary.replace(target)


if __name__ == "__main__":
    main()
