"""Zero false alarms: the linter over all files of packages that train models. Each finding was read."""

from __future__ import annotations

import re
import time
from collections import Counter
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from zerograd.linting import Configuration, check_file
from zerograd.linting.modules import Files

CYCLE = re.compile(rb"zero_grad|\.backward\(")
STEPS = re.compile(rb"\.step\b|optimizer_step")
INFOS: dict[str, dict[str, int]] = {
    "lightning": {},
    "accelerate": {"ZG106": 1},
    "transformers": {},
    "pytorch_optimizer": {},
}
"""Advice, code by code. accelerate: a test script drops the last window; in another one, the same is lost in all that
``Accelerator`` does, which is followed through the package's ``__init__``."""
READ = {"lightning": "2.6", "accelerate": "1.15", "transformers": "5.24", "pytorch_optimizer": "4.1"}
"""The versions that were read."""
SECONDS = 240


@pytest.mark.parametrize("name", INFOS)
def test_a_package_that_trains_has_no_errors_and_no_warnings(name: str) -> None:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    if not version(name).startswith(READ[name]):
        pytest.skip(f"the findings of {name} {READ[name]} were read, {version(name)} is installed")
    folder = Path(spec.origin).parent
    paths = [p for p in sorted(folder.rglob("*.py")) if CYCLE.search(data := p.read_bytes()) and STEPS.search(data)]
    assert paths
    start = time.process_time()
    files = Files((folder,))
    found = [finding for path in paths for finding in check_file(path, Configuration(), files)]
    assert [str(f) for f in found if f.severity != "info"] == []
    assert Counter(f.code for f in found) == INFOS[name]
    assert time.process_time() - start < SECONDS
