"""``make bench``: everything that ``zerograd bench`` measures, written into benchmarks/results.

The options of ``zerograd bench`` work here too: ``python -m benchmarks --only step``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from zerograd.cli.main import main

RESULTS = Path(__file__).parent / "results"

if __name__ == "__main__":
    sys.exit(main(["bench", "--out", str(RESULTS), *sys.argv[1:]]))
