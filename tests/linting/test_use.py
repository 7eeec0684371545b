"""Files, folders, notebooks, comments, configuration, and what nothing can be made of."""

from __future__ import annotations

import ast
import json
import random
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from linting.fixtures import findings_of, programs, told
from zerograd.cli.main import main
from zerograd.linting import Configuration, check_file, check_paths

WRONG = """\
import torch
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for x in loader:
    net(x).backward()
    optimizer.step()
"""
RIGHT = WRONG.replace("    net(x)", "    optimizer.zero_grad()\n    net(x)")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_exit_codes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "right.py").write_text(RIGHT)
    assert main(["lint", "right.py"]) == 0
    assert capsys.readouterr().out == "1 file checked, nothing found.\n"
    (folder / "wrong.py").write_text(WRONG)
    assert main(["lint"]) == 1
    shown = capsys.readouterr().out
    assert "wrong.py:4:5: error ZG101 missing-zero-grad: backward 4, step 5, backward 4 again, never cleared" in shown
    assert "\n        net(x).backward()\n        ^\n" in shown
    assert main(["lint", "nowhere.py"]) == 2
    assert main(["lint", "--select", "ZG9"]) == 2


def test_json_is_a_list_of_objects(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "wrong.py").write_text(WRONG)
    assert main(["lint", "--format", "json", "wrong.py"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert list(found) == ["path", "line", "column", "code", "severity", "message"]
    assert (found["path"], found["line"], found["column"]) == ("wrong.py", 4, 5)
    assert (found["code"], found["severity"]) == ("ZG101", "error")


def test_quiet_prints_errors_and_nothing_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "wrong.py").write_text(WRONG)
    (folder / "likely.py").write_text(WRONG.replace("torch.optim.SGD(", "make_optimizer("))
    assert main(["lint", "-q"]) == 1
    (place, *_) = told_lines = capsys.readouterr().out.splitlines()
    assert place.startswith("wrong.py:4:5: error ZG101")
    assert len(told_lines) == 3, "the finding, its line and the caret"
    assert main(["lint", "-q", "likely.py"]) == 1, "a warning is one, if it is printed or not"
    assert capsys.readouterr().out == ""
    assert main(["lint", "-q", "--json", "likely.py"]) == 1
    assert json.loads(capsys.readouterr().out) == []


def test_explain_and_rule(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "right.py").write_text(RIGHT)
    assert main(["lint", "--explain", "right.py:5"]) == 0
    assert "order: zero 4, backward 5, step 6\n    order OK" in capsys.readouterr().out
    assert main(["lint", "--rule", "ZG103"]) == 0
    assert capsys.readouterr().out.startswith("# ZG103 zero-between-backward-and-step")
    assert main(["lint", "--rule", "ZG999"]) == 2


def test_comments() -> None:
    ignored = WRONG.replace("backward()", "backward()  # zerograd: ignore[ZG101]")
    assert told(ignored) == set()
    assert told(RIGHT.replace("backward()", "backward()  # zerograd: ignore[ZG101]")) == {(5, "ZG100")}
    assert told(WRONG.replace("loader:", "loader:  # zerograd: accumulate")) == set()
    assert told('text = "# zerograd: ignore"\n' + WRONG) == {(5, "ZG101")}
    for code, hint in (("FOO", ""), ("missing-zero-grad", "; did you mean ZG101?")):
        remarks = findings_of(WRONG.replace("backward()", f"backward()  # zerograd: ignore[ZG101, {code}]"))
        assert f"unused-ignore: there is no rule {code.upper()}{hint}" in {remark.message for remark in remarks}
    assert told(RIGHT.replace("backward()", "backward()  # zerograd: ignore[ZG801]")) == set(), "not the linter's"


def test_configuration(folder: Path) -> None:
    (folder / "wrong.py").write_text(WRONG)
    (folder / "odd.py").write_text("for x in\n# optimizer.step()\n")
    for line, code in (('ignore = ["ZG101"]', 1), ('ignore = ["ZG000", "ZG101"]', 0)):
        (folder / "pyproject.toml").write_text(f"[tool.zerograd.lint]\n{line}\n")
        assert main(["lint", "."]) == code
    (folder / "odd.py").unlink()
    for line, code in (('ignore = ["ZG101"]', 0), ('select = ["ZG103"]', 0), ('exclude = ["wr*.py"]', 0), ("", 1)):
        (folder / "pyproject.toml").write_text(f"[tool.zerograd.lint]\n{line}\n")
        assert main(["lint", "."]) == code
    for table in ("[tool.zerograd.lint]\nselekt = []\n", "[tool.zerograd]\nlint = 3\n", "[tool.zerograd.lint\n"):
        (folder / "pyproject.toml").write_text(table)
        assert main(["lint", "."]) == 2


def test_standard_input() -> None:
    command = [sys.executable, "-c", "from zerograd.cli.main import main; raise SystemExit(main(['lint', '-']))"]
    done = subprocess.run(command, input=WRONG.encode(), capture_output=True, check=False)
    assert done.returncode == 1
    assert b"<stdin>:4:5: error ZG101" in done.stdout
    cells = json.dumps({"cells": [{"cell_type": "code", "source": WRONG}]})
    done = subprocess.run(command, input=cells.encode(), capture_output=True, check=False)
    assert b"<stdin>:cell 1:4:5: error ZG101" in done.stdout


def test_a_notebook_names_cell_and_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = WRONG.split("for x", 1)
    cells = [
        {"cell_type": "markdown", "source": ["text"]},
        {"cell_type": "code", "source": f"%matplotlib inline\n!pip install torch\n{first}"},
        {"cell_type": "code", "source": [f"{line}\n" for line in f"for x{second}".splitlines()]},
        {"cell_type": "code", "source": "%%bash\nls"},
    ]
    path = folder / "book.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    (found,) = check_file(path, Configuration())
    assert (found.cell, found.line, found.code) == (3, 2, "ZG101")
    assert main(["lint", "--json", "book.ipynb"]) == 1
    (told_of,) = json.loads(capsys.readouterr().out)
    assert (told_of["cell"], told_of["line"]) == (3, 2)
    for place in ("book.ipynb:3:2", "book.ipynb:cell 3:2"):
        assert main(["lint", "--explain", place]) == 0
        shown = capsys.readouterr().out
        assert "loop at cell 3 line 1\n" in shown
        assert "order: backward cell 3 line 2, step cell 3 line 3\n" in shown
    for place, hint in (
        ("book.ipynb:1:1", "book.ipynb has no cell of code 1; it has these: 2, 3, 4."),
        ("book.ipynb:3:9", "Cell 3 of book.ipynb has 3 lines, and none of them is 9."),
    ):
        assert main(["lint", "--explain", place]) == 2
        assert hint in capsys.readouterr().err


def test_a_program_saved_from_a_notebook_keeps_its_lines(folder: Path) -> None:
    path = folder / "book.py"
    path.write_text(f"!pip install torch\nfiles = !ls\n{WRONG}\nif True:\n    %cd content\n")
    assert [(found.line, found.code) for found in check_file(path, Configuration())] == [(6, "ZG101")]
    path.write_text(f"!pip install torch\nfor x in\n{WRONG}")
    assert [found.code for found in check_file(path, Configuration())] == ["ZG000"]


@pytest.mark.parametrize(
    "data",
    [
        b"for x in",
        b"\xff\xfe\x00",
        b"# coding: nonsense\n",
        b"x = '\xe9'\n",
        b"\x00",
        b"(" * 500,
        b"x=" + b"-" * 9000 + b"1",
    ],
)
def test_what_is_no_python_is_reported(folder: Path, data: bytes) -> None:
    path = folder / "odd.py"
    path.write_bytes(data + b"\n# optimizer.step()")
    assert [f.code for f in check_file(path, Configuration())] == ["ZG000"]


def test_encodings_and_line_ends_that_are_python(folder: Path) -> None:
    path = folder / "odd.py"
    for data in (
        b"\xef\xbb\xbf" + WRONG.encode(),
        b"# coding: latin-1\r\n" + WRONG.replace("\n", "\r\n").encode(),
        b"",
    ):
        path.write_bytes(data)
        assert {f.code for f in check_file(path, Configuration())} <= {"ZG101"}


def test_the_caret_stands_under_the_call_where_signs_are_wide(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "wide.py").write_text(WRONG.replace("    net(x)", '    s = "日本"; net(x)'), encoding="utf-8")
    main(["lint", "wide.py"])
    _, line, caret, *_ = capsys.readouterr().out.splitlines()
    assert caret.index("^") == line.index("net") + len("日本"), "each takes two columns of a terminal"


def test_a_file_that_is_named_twice_is_checked_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "wrong.py").write_text(WRONG)
    (folder / "loop").symlink_to(".")
    main(["lint", "--json", "wrong.py", "./wrong.py", str(folder / "wrong.py"), "loop/wrong.py", "."])
    assert [found["path"] for found in json.loads(capsys.readouterr().out)] == ["wrong.py"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["wrnog.py"], "Did you mean 'wrong.py'?"),
        (["--explain", "wrnog.py:3"], "Did you mean 'wrong.py'?"),
        (["--explain", "wrong.py:99"], "wrong.py has 5 lines, and none of them is 99."),
        (["--rule", "missing-zero-gard"], "Did you mean 'missing-zero-grad'?"),
        (["--rule", "ZG13"], "Did you mean 'ZG113'?"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest_one(
    words: list[str], hint: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "wrong.py").write_text(WRONG)
    assert main(["lint", *words]) == 2
    assert hint in capsys.readouterr().err


def test_functions_of_other_files_are_built_in(folder: Path) -> None:
    (folder / "engine.py").write_text("def apply(loss, optimizer):\n    loss.backward()\n    optimizer.step()\n")
    (folder / "train.py").write_text(
        "import torch\nfrom engine import apply\n\n\ndef main(model):\n"
        "    optimizer = torch.optim.Adam(model.parameters())\n"
        "    for x in loader:\n        apply(model(x), optimizer)\n"
    )
    paths = sorted(folder.glob("*.py"))
    for workers in (1, 2):
        found = check_paths(paths, Configuration(), (folder,), workers)
        assert [(Path(f.path).name, f.line, f.code) for f in found] == [("engine.py", 2, "ZG101")]


CHAIN = {
    "pkg/ops.py": "def apply(loss, optimizer):\n    loss.backward()\n    optimizer.step()\n",
    "pkg/core/engine.py": "from ..ops import apply\n\n\ndef train_step(model, optimizer, x):\n"
    "    apply(model(x).mean(), optimizer)\n",
    "pkg/core/__init__.py": "from .engine import train_step\n",
    "pkg/__init__.py": "from .core import *\n",
    "train.py": "import torch\nfrom pkg import train_step\n\n\ndef main(model):\n"
    "    optimizer = torch.optim.Adam(model.parameters())\n    for x in loader:\n"
    "        train_step(model, optimizer, x)\n",
}
"""Functions that are imported over two packages and called over two files."""


def test_imports_of_imported_files_are_followed(folder: Path) -> None:
    for name, text in CHAIN.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for paths in ([folder / "train.py"], [folder / name for name in CHAIN]):
        found = check_paths(paths, Configuration(), (folder,), 1)
        assert [(f.path.endswith("ops.py"), f.line, f.code, f.severity) for f in found] == [(True, 2, "ZG101", "error")]
    cleared = CHAIN["train.py"].replace("        train_step", "        optimizer.zero_grad()\n        train_step")
    (folder / "train.py").write_text(cleared)
    assert check_paths([folder / "train.py"], Configuration(), (folder,), 1) == []


def test_in_parallel_the_same_is_found(folder: Path) -> None:
    for number in range(60):
        (folder / f"f{number:02}.py").write_text(WRONG if number % 3 else RIGHT)
    paths = sorted(folder.glob("*.py"))
    assert check_paths(paths, Configuration(), (), 2) == check_paths(paths, Configuration(), (), 1)


def test_fuzz_nothing_raises_and_time_is_bounded() -> None:
    """Lines of the fixtures deleted, doubled, swapped and indented at random; most of it is still Python."""
    chance = random.Random(0)
    texts = [program.unmarked for program in programs()]
    start, read = time.process_time(), 0
    for _ in range(400):
        lines = chance.choice(texts).splitlines()
        for _ in range(chance.randrange(1, 4)):
            at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
            change = chance.randrange(3)
            if change == 0:
                lines[at] = "pass" if not lines[at].startswith(" ") else lines[at][: -len(lines[at].lstrip())] + "pass"
            elif change == 1:
                lines.insert(at, lines[at])
            else:
                lines[at], lines[other] = lines[other], lines[at]
        findings_of("\n".join(lines))
        read += 1
    assert read == 400
    assert time.process_time() - start < 60, "ten times what an idle core takes"


@pytest.mark.parametrize(
    "text",
    [
        "opt.step()\nloss.backward()\nx = " + "(" * 3000 + "1" + ")" * 3000,
        "opt.zero_grad()\nx = " + "+".join(["opt.step()"] * 3000) + "\nloss.backward()",
        "".join("    " * depth + "for a in b:\n" for depth in range(90)) + "    " * 90 + "loss.backward(); opt.step()",
        "opt.step(); loss.backward()\nx = [" + "1," * 50_000 + "]",
        "def f(opt, x):\n    for a in x:\n        a.loss().backward()\n        opt.step()\n" * 1000,
        WRONG + "x = '" + "a" * 300_000 + ".zero_grad('",
        WRONG + "x = '" + "a[" * 50_000 + ".zero_grad('",
        "x = " + "not " * 900 + "opt.step()",
        "".join(f"opt{i} = opt{(i + 1) % 2000}\n" for i in range(2000)) + "loss.backward()\nopt5.step()",
        "".join(
            f"def f{i}(opt, x):\n    x.backward()\n    opt.step()\n    f{(i + 1) % 999}(opt, x)\n" for i in range(999)
        ),
        "def f(opt, x):\n    def g():\n        x.backward()\n    opt.step(g)\n" * 1000,
        "import torch\n"
        + "p = q\nq = p\n" * 9
        + "opt = torch.optim.SGD(p)\nnet.zero_grad()\nloss.backward()\nopt.step()",
    ],
    ids=[
        *("parentheses", "sum", "loops", "literal", "functions"),
        *("word", "brackets", "not", "aliases", "ring", "closures", "names"),
    ],
)
def test_what_is_deep_or_long_is_checked_or_said_to_be_unreadable(text: str, folder: Path) -> None:
    (folder / "odd.py").write_text(text)
    start = time.process_time()
    found = check_file(folder / "odd.py", Configuration())
    assert {f.code for f in found} <= {"ZG000", "ZG101"}
    assert time.process_time() - start < 20, "ten times what an idle core takes"


def test_a_long_row_of_elif_hides_nothing() -> None:
    """Each ``elif`` is in the ``else`` of the one before, and Python's calls may not be so deep."""
    row = "".join(f"{'elif' if number else 'if'} kind == {number}:\n    width = {number}\n" for number in range(1500))
    assert told(WRONG + row) == {(4, "ZG101")}


def test_the_standard_library_has_nothing_to_say_of() -> None:
    """What is at the top, and every 23rd file of all that is below it, its tests too; some of those are no Python."""
    folder = Path(sysconfig.get_path("stdlib"))
    below = [p for p in sorted(folder.glob("*/**/*.py")) if "site-packages" not in p.parts]
    paths = [p for p in (*sorted(folder.glob("*.py")), *below[::23]) if p.is_file()]
    start = time.process_time()
    found = [finding for path in paths for finding in check_file(path, Configuration())]
    assert len(paths) > 200
    assert [f for f in found if f.code != "ZG000"] == []
    assert all("test" in f.path for f in found), "only files that are there to be no Python"
    assert time.process_time() - start < 60, "ten times what an idle core takes"


def test_a_thousand_lines_take_well_under_50_ms() -> None:
    text = "\n".join(program.unmarked for program in programs() if not program.marked)
    lines = text.splitlines()
    assert len(lines) > 800
    ast.parse(text)
    best = min(_seconds(text) for _ in range(3))
    assert best / len(lines) * 1000 < 0.5, "ten times the aim: all lines here are loops, and the machine is shared"


def test_many_optimizers_in_one_loop_are_no_more_work_for_each_than_few() -> None:
    made = "".join(f"opt_{i} = torch.optim.Adam(net_{i}.parameters())\n" for i in range(60))
    turns = "".join(
        f"    opt_{i % 60}.zero_grad()\n    loss_{i} = net_{i % 60}(x).mean()\n    if x.ok:\n"
        f"        loss_{i}.backward()\n    opt_{i % 60}.step()\n"
        for i in range(190)
    )
    text = f"import torch\n{made}for x in loader:\n{turns}"
    start = time.process_time()
    ast.parse(text)
    parsed = time.process_time() - start
    assert _seconds(text) < 50 * parsed, "three times what it takes; half of what it takes if each pair is looked at"


def _seconds(text: str) -> float:
    start = time.process_time()
    findings_of(text)
    return time.process_time() - start


def test_it_starts_without_what_it_does_not_need(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    program = (
        "import sys; from zerograd.cli.main import main; main(['lint', sys.argv[1]]);"
        "print([m for m in ('torch', 'rich', 'numpy', 'llvmlite', 'dataclasses', 'typing', 'tokenize', 'json',"
        "'multiprocessing', 'importlib.metadata', 'tomllib', 'copy', 'difflib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "wrong.py")], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_step_in_the_parents_file_is_seen(folder: Path) -> None:
    (folder / "actor.py").write_text(
        "class Actor:\n    def update(self, batch):\n        self.parts.optimizer.step()\n"
    )
    (folder / "careful.py").write_text(
        "from actor import Actor\n\n\nclass Careful(Actor):\n    def gradients(self, batch):\n"
        "        self.parts.optimizer.zero_grad()\n        self.loss(batch).backward()\n"
    )
    paths = sorted(folder.glob("*.py"))
    assert check_paths(paths, Configuration(), (folder,)) == []
    (folder / "actor.py").write_text(
        "class Actor:\n    def update(self, batch):\n        self.parts.optimizer.zero_grad()\n"
    )
    assert [f.code for f in check_paths(paths, Configuration(), (folder,))] == ["ZG113"]
