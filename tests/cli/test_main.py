"""The command line answers quickly, in one or two lines, and with the right exit code."""

import io
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version

import pytest

from zerograd.cli import completion_command
from zerograd.cli import main as entry
from zerograd.cli.main import COMMANDS, main


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"zerograd {version('zerograd')}\n"


def test_python_runs_the_package_as_the_command():
    told = subprocess.run([sys.executable, "-m", "zerograd", "--version"], capture_output=True, text=True, check=True)
    assert told.stdout == f"zerograd {version('zerograd')}\n"
    assert subprocess.run([sys.executable, "-m", "zerograd", "trian"], capture_output=True, check=False).returncode == 2


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_of_its_own(name, capsys, monkeypatch):
    words = []
    for columns in (80, 60):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert main([name, "--help"]) == 0
        shown = capsys.readouterr().out
        assert f"usage: zerograd {name}" in shown
        assert max(map(len, shown.splitlines())) <= columns
        words.append(shown.split())
    assert words[0] == words[1], "lines end between words, and none is lost"


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


ASKED = "COMP_WORDS=(zerograd train --optimizer Adam) COMP_CWORD=3; _shtab_zerograd zerograd Adam --optimizer"
SHELLS = {
    "bash": ["-c", f'. ./script; {ASKED}; printf "%s\\n" "${{COMPREPLY[@]}}"'],
    "zsh": ["-n", "script"],
    "fish": ["-N", "-c", "source script; complete -C 'zerograd train --optimizer Adam'"],
}
"""What has a shell complete `zerograd train --optimizer Adam`."""


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_knows_commands_options_and_names(shell, capsys, tmp_path):
    pytest.importorskip("shtab", reason="shtab, which makes the scripts, is not installed")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in (*COMMANDS, "nonfinite", "digits", "ScheduleFreeAdamW", "onecycle"):
        assert word in script
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed, so the script was not tried")
    (tmp_path / "script").write_text(script)
    done = subprocess.run([shell, *SHELLS[shell]], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if shell != "zsh":  # which completes on a terminal only: its script is read and not run
        assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["Adam", "AdamW", "Adamax"]


def test_completion_without_shtab_tells_what_to_install(capsys, monkeypatch):
    monkeypatch.setattr(completion_command, "find_spec", lambda _: None)
    assert main(["completion", "bash"]) == 2
    assert "zerograd completion needs shtab: pip install 'zerograd[completion]'" in capsys.readouterr().err
    assert main(["completion", "bsh"]) == 2
    assert "SHELL knows no 'bsh'. Did you mean 'bash'?" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["doctor", "--json"], ["show", "SGD", "--json"], ["lint", "--json", "."]])
def test_json_is_one_object_and_nothing_else(argv, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) or argv[0] == "lint"
    assert told.err == ""


@pytest.mark.parametrize("argv", [["doctor", "-q"], ["lint", "--quiet", "."]])
def test_quiet_says_nothing(argv, capsys, tmp_path, monkeypatch):
    (tmp_path / "bad.py").write_text("import nothing\n")
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 0
    assert capsys.readouterr().out == ""


def test_a_pipe_that_nobody_reads_is_no_error_to_speak_of(monkeypatch, capfd):
    def broken(_):
        raise BrokenPipeError

    monkeypatch.setattr(entry, "_dispatch", broken)
    monkeypatch.setattr(sys, "stdout", io.StringIO())  # has no number that would be given to something else
    assert main(["train"]) == 141  # as a shell says of a program that SIGPIPE has ended
    assert capfd.readouterr().err == ""


def test_a_full_disk_behind_the_output_is_named():
    argv = [
        sys.executable,
        "-c",
        "from zerograd.cli.main import main; raise SystemExit(main(['lint', '--rule', 'ZG103']))",
    ]
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "zerograd: Can't write the output: No space left on device.\n")


def test_errors_are_one_line_but_on_a_terminal_lines_end_between_words(monkeypatch, capsys):
    assert main(["completion", "tcsh"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "30")
    assert main(["completion", "tcsh"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) < 30
