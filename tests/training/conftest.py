"""Consoles to show a run on, and a folder to keep it in."""

import io
import os
import signal
from pathlib import Path

import pytest
from rich.console import Console

from training.serving import Server, program
from zerograd.training.report import train_and_keep
from zerograd.training.settings import Settings


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _interrupts():
    """Ctrl-C works, also where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def log():
    """A console that is a plain file."""
    return Console(file=io.StringIO(), width=80)


@pytest.fixture
def terminal():
    """A console that is a terminal of 80 columns."""
    return Console(file=Terminal(), force_terminal=True, force_interactive=True, width=80)


@pytest.fixture
def keep(tmp_path, log):
    """Train with some settings and give the folder."""

    def train(**settings: object) -> Path:
        out = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        train_and_keep(Settings(**{"out": out, **settings}), log)
        return out

    return train


@pytest.fixture(scope="session")
def forking():
    """The program that runs commands."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork and no kill -9")
    running = program()
    yield running
    running.stdin.close()
    running.wait(timeout=60)
    running.stdout.close()


@pytest.fixture
def server(forking, tmp_path):
    """Runs commands in the test's folder."""
    return Server(forking, tmp_path)
