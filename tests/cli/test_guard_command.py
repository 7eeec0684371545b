"""`zerograd guard`: the program is what it would be without it; the report says what was found."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from zerograd.cli.main import main

COMMAND = "import sys; from zerograd.cli.main import main; sys.exit(main())"

LOOP = """
import torch, zerograd
model = torch.nn.Linear(2, 1)
optimizer = zerograd.Adam(model.parameters())
for _ in range(4):
    {clear}
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
"""
RIGHT = LOOP.format(clear="optimizer.zero_grad()")
WRONG = LOOP.format(clear="pass")


def ran(script: Path, *options: str, flags: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> Any:
    """The program under the guard."""
    command = [sys.executable, *flags, "-c", COMMAND, "guard", *options, str(script), *after]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "train.py"


def test_a_right_program_makes_no_sound(script: Path, tmp_path: Path) -> None:
    script.write_text(RIGHT)
    done = ran(script, "--report", str(tmp_path / "found.json"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((tmp_path / "found.json").read_text()) == []


def test_a_script_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guard", "--action", "raise"]) == 2
    assert capsys.readouterr().err == "zerograd: SCRIPT.py is missing. See zerograd guard --help.\n"


def test_a_wrong_program_is_reported(script: Path, tmp_path: Path) -> None:
    script.write_text(WRONG)
    done = ran(script, "--report", str(tmp_path / "found.json"))
    assert done.returncode == 0
    assert "HazardWarning: ZG101 missing-zero-grad: step 2 of Adam" in done.stderr
    (found,) = json.loads((tmp_path / "found.json").read_text())
    assert list(found) == ["code", "name", "message", "parameters", "steps", "locations", "count"]
    assert (found["code"], found["name"], found["count"]) == ("ZG101", "missing-zero-grad", 3)
    assert found["parameters"] == ["weight", "bias"]
    assert found["steps"] == [1, 2]
    assert found["locations"] == [f"{script}:7", f"{script}:8"]


def test_what_is_said_first_is_still_true_at_the_end(script: Path, tmp_path: Path) -> None:
    """The count is not in the warning, which comes when the cause is found, but in the last line and in the report."""
    window = "for _ in range(3):\n        optimizer.zero_grad()"
    script.write_text(RIGHT.replace("optimizer.zero_grad()", window).replace("    model(", "        model("))
    done = ran(script, "--report", str(tmp_path / "found.json"))
    (found,) = json.loads((tmp_path / "found.json").read_text())
    first, last = (line for line in done.stderr.splitlines() if "ZG105" in line)
    assert found["message"] in first
    assert "so far" not in first
    assert (found["count"], last) == (4, f"zerograd guard: ZG105 {found['name']} 4 times in all ({script}:8)")


def test_json_is_alone_on_the_output_and_quiet_is_quiet(script: Path) -> None:
    script.write_text(f"print('of the script', flush=True)\n{WRONG}")
    done = ran(script, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr, told["script"]) == (0, "of the script\n", str(script))
    assert [finding["code"] for finding in told["findings"]] == ["ZG101"]
    done = ran(script, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "of the script\n", "")


def test_it_can_raise(script: Path) -> None:
    script.write_text(WRONG)
    done = ran(script, "--action", "raise")
    assert done.returncode == 1
    assert done.stderr.rstrip().splitlines()[-1].startswith("zerograd.errors.HazardError: ZG101")


def test_warnings_may_be_errors(script: Path) -> None:
    script.write_text(WRONG)
    done = ran(script, flags=("-W", "error"))
    assert done.returncode == 1
    assert "HazardWarning: ZG101" in done.stderr.splitlines()[-1]


ENDS = {
    "a number": "import sys; sys.exit(7)",
    "words": "raise SystemExit('enough')",
    "a chain": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('y') from e",
    "no syntax": "for:",
    "interrupted": "raise KeyboardInterrupt",
    "last functions": "import atexit; atexit.register(lambda: print('bye', __name__, len(vars())))",
    "a late thread": """
        import threading, time
        def f():
            time.sleep(0.2); print('late')
        threading.Thread(target=f).start()
        """,
    "itself": "import sys, __main__\nprint(sys.argv[1:], __name__, sys.path[0], __main__.__file__, __file__, __spec__)",
    "a pickle": "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))).__module__)",
    "a spawned child": """
        import multiprocessing as mp
        def work(q): q.put(__name__)
        if __name__ == '__main__':
            c = mp.get_context('spawn'); q = c.Queue(); p = c.Process(target=work, args=(q,)); p.start()
            print(q.get()); p.join(); print(p.exitcode)
        """,
}


@pytest.mark.parametrize("text", ENDS.values(), ids=ENDS)
def test_a_program_is_what_it_would_be_without_the_guard(text: str, script: Path) -> None:
    """Exit status, output and tracebacks, word for word."""
    script.write_text(textwrap.dedent(text))
    alone = subprocess.run([sys.executable, str(script), "--x", "1"], check=False, capture_output=True, text=True)
    done = ran(script, after=("--x", "1"))
    assert (done.returncode, done.stdout, done.stderr) == (alone.returncode, alone.stdout, alone.stderr)


def test_the_report_is_written_whatever_happens(script: Path, tmp_path: Path) -> None:
    script.write_text(WRONG + "raise OSError('disk')\n")
    done = ran(script, "--report", str(tmp_path / "found.json"))
    assert done.returncode == 1
    assert [found["code"] for found in json.loads((tmp_path / "found.json").read_text())] == ["ZG101"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_the_program_are_guarded_too(method: str, script: Path, tmp_path: Path) -> None:
    inside = textwrap.indent(WRONG, "    ")
    script.write_text(
        f"import multiprocessing as mp\ndef work():\n{inside}\nif __name__ == '__main__':\n"
        f"    process = mp.get_context('{method}').Process(target=work)\n    process.start()\n    process.join()\n"
    )
    done = ran(script, "--report", str(tmp_path / "found.json"))
    assert done.returncode == 0
    assert [found["code"] for found in json.loads((tmp_path / "found.json").read_text())] == ["ZG101"]
    assert [path.name for path in tmp_path.glob("found*")] == ["found.json"]


@pytest.mark.parametrize(
    "words", [["nowhere.py"], [], ["--report", "no/folder/x.json", "SCRIPT"], ["--acton", "SCRIPT"]]
)
def test_wrong_usage_is_answered(words: list[str], script: Path) -> None:
    script.write_text(RIGHT)
    given = [str(script) if word == "SCRIPT" else word for word in words]
    command = [sys.executable, "-c", COMMAND, "guard", *given]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("zerograd: ")
