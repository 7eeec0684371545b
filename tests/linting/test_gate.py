"""Zero false alarms: the linter over the files of an installed package that steps optimizers in many ways.

All of torch takes minutes; these are the files of it in which an optimizer's step and a clear or a backward stand,
which are the files in which a rule can say anything. Every finding was read. The number is frozen.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import torch

from zerograd.linting import Configuration, check_file
from zerograd.linting.modules import Files

TORCH = Path(torch.__file__).parent
STEPS = re.compile(rb"\boptim\w*\.step\(|\bopt\w*\.step\(")
CYCLE = re.compile(rb"zero_grad|\.backward\(")
FILES = [path for path in sorted(TORCH.rglob("*.py")) if STEPS.search(data := path.read_bytes()) and CYCLE.search(data)]
SECONDS = 60
"""Twenty times what it takes on an idle core, for machines on which much else runs."""


def test_torch_has_no_errors_and_no_warnings() -> None:
    start = time.process_time()
    files = Files((TORCH,))
    found = [finding for path in FILES for finding in check_file(path, Configuration(), files)]
    assert len(FILES) > 20
    assert [f for f in found if f.severity != "info"] == []
    assert len(found) == 0
    assert time.process_time() - start < SECONDS
