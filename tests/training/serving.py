"""Command lines in processes that start at once, and that a test may kill, stop or starve."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def program() -> subprocess.Popen[str]:
    """The program in forking.py, ready to take commands."""
    argv = [sys.executable, str(Path(__file__).with_name("forking.py"))]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class Server:
    """Runs command lines in a folder, in processes that can be killed."""

    def __init__(self, program: subprocess.Popen[str], folder: Path):
        self.program = program
        self.folder = folder

    def start(self, *argv: str, **environment: str) -> int:
        """The number of the process that runs a command."""
        self._say(json.dumps([str(self.folder), argv, environment]))
        return int(self.program.stdout.readline())

    def end(self) -> int:
        """The exit code of the process that was started last, when it has ended."""
        self._say("")
        return int(self.program.stdout.readline())

    def run(self, *argv: str, kill_after: float | None = None, **environment: str) -> int:
        """The exit code; -9 if it was killed."""
        process = self.start(*argv, **environment)
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(process, signal.SIGKILL)
        return self.end()

    def _say(self, line: str) -> None:
        self.program.stdin.write(line + "\n")
        self.program.stdin.flush()

    def said(self) -> str:
        """What the last command wrote as errors."""
        return (self.folder / "err").read_text()
