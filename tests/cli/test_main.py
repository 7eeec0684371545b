"""The command line answers quickly, in one or two lines, and with the right exit code."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from zerograd.cli import main as entry
from zerograd.cli.main import COMMANDS, main


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"zerograd {version('zerograd')}\n"


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_of_its_own(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"usage: zerograd {name}" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_no_command_at_all_is_wrong_usage(capsys):
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["trian"], "There is no command 'trian'. Did you mean 'train'?"),
        (["--versoin"], "zerograd has no option '--versoin'. Did you mean '--version'?"),
    ],
)
def test_a_wrong_name_gets_the_nearest_right_one(argv, words, capsys):
    assert main(argv) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"zerograd: {words}")
    assert told.err.count("\n") == 1


def test_ctrl_c_ends_with_130(monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "_dispatch", interrupted)
    assert main(["train"]) == 130
    assert "stopped" in capsys.readouterr().err


def test_help_and_wrong_values_load_no_heavy_package():
    code = """
import sys
from zerograd.cli.main import main
for argv in (["--help"], ["train", "--help"], ["train", "digit"], ["train", "--epochs", "0"]):
    main(argv)
heavy = {"torch", "numpy", "numba", "rich", "matplotlib", "sklearn", "safetensors"} & sys.modules.keys()
sys.exit(f"loaded {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
