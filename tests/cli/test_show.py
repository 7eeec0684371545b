"""`zerograd show` from the outside: the box, the advice, the costs and the kernel are those of the rule itself."""

from __future__ import annotations

import ast
import inspect
import io
import os
import re
import sys
import textwrap
from typing import Any

import pytest

from zerograd import RuleOptimizer, optim, rules
from zerograd.algebra.notation import Rule, Wrapper
from zerograd.cli.main import main
from zerograd.cli.show_command import DTYPES
from zerograd.describing import pages
from zerograd.describing.pages import FORMATS, rule_page, without_docstring
from zerograd.describing.pricing import step_cost
from zerograd.describing.subjects import subject
from zerograd.engine.documentation import sections
from zerograd.kernels.cpu import kernel as kernels
from zerograd.kernels.cpu import pool
from zerograd.kernels.cpu.kernel import Kernel
from zerograd.kernels.cpu.machine import CodeError

OPTIMIZERS = [cls for name in optim.__all__ if issubclass(cls := getattr(optim, name), RuleOptimizer)]
BOXES = [value for name in rules.__all__ if isinstance(value := getattr(rules, name), (Rule, Wrapper))]

ELEMENTWISE = [cls for cls in OPTIMIZERS if cls.rule.elementwise]

by_class = pytest.mark.parametrize("cls", OPTIMIZERS, ids=lambda cls: cls.__name__)

MINE = '''
from zerograd import from_rule, rules, wrapper
from zerograd.algebra import rule, sign, norm

@rule
def mine(g, m, *, beta=0.9):
    """Mine: as an example.

    Algorithm
        u = sign(m)
    """
    m = beta * m + g
    return sign(m), m

def plain(g):
    # a comment stays
    return g

@wrapper
def halved(direction, g):
    return direction(g) * 0.5

Halved = from_rule(halved(mine), name="Halved")

class Holder:
    inside = mine

@rule
def crooked(g, *, k=1.0):
    return g if norm(g) > k else g

number = 3
'''


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command; what it prints."""

    def run(*argv: str) -> str:
        assert main(["show", *argv]) == 0
        told = capsys.readouterr()
        assert told.err == ""
        return told.out

    return run


@pytest.fixture
def here(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty folder with a module of the user's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_rules.py").write_text(MINE)
    yield tmp_path
    sys.modules.pop("my_rules", None)


def passes_of(name: str, dtype: str) -> tuple[Any, ...]:
    found = subject(name)
    made: Any = Kernel(found.graph, found.layout(FORMATS[dtype]), found.program.prelude.nodes)
    return tuple(made.functions)


@by_class
def test_a_page_has_the_box_the_advice_and_the_kernel_of_its_rule(cls: type[RuleOptimizer], shown: Any) -> None:
    text = shown(cls.__name__)
    for function in cls.rule.functions:
        assert f"The box of {function.__name__} (" in text
        assert without_docstring(inspect.getsource(function.function)) in text
        for heading, lines in sections(function).items():
            if heading not in ("Summary", "Example") and not lines.startswith("none of its own"):
                assert all(line.strip() in text for line in lines.splitlines()), heading
    if cls.rule.elementwise:
        assert all(function.source in text for function in passes_of(cls.__name__, "fp32"))
    else:
        assert "there is no kernel" in text
        assert "bytes a " in text
    headings = re.findall(r"^(.+)\n-+$", text, re.MULTILINE)
    assert len(headings) == len(set(headings))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cls", ELEMENTWISE, ids=lambda cls: cls.__name__)
def test_the_costs_are_what_the_kernel_loads_and_stores(
    cls: type[RuleOptimizer], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "function_at", lambda *_: 1)  # the text alone, nothing is compiled
    found = subject(cls.__name__)
    layout = found.layout(FORMATS[dtype])
    cost = step_cost(found.graph, layout, found.program.prelude.nodes)
    functions = passes_of(cls.__name__, dtype)
    names = [name for name, _ in layout.buffers]
    assert len(cost.passes) == len(functions)
    for one, function in zip(cost.passes, functions, strict=True):
        loads = {int(k) for k in re.findall(r" = load \w+, ptr %b(\d+)\.i,", function.source)}
        stores = {int(k) for k in re.findall(r"  store .+, ptr %b(\d+)\.i,", function.source)}
        assert one.reads == tuple(names[k] for k in sorted(loads))
        assert one.writes == tuple(names[k] for k in sorted(stores))
        assert one.bytes_read == len(loads) * FORMATS[dtype].bytes
        assert one.bytes_written == len(stores) * FORMATS[dtype].bytes
    if dtype == "fp32":
        assert f"\n    {cost.state_bytes} bytes a parameter in float32" in (cls.__doc__ or "")


def test_there_is_a_name_for_every_format() -> None:
    assert sorted(DTYPES) == sorted(FORMATS)


@pytest.mark.parametrize("box", BOXES, ids=lambda box: box.__name__)
def test_a_box_is_the_function_but_for_its_docstring(box: Any) -> None:
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(box)))
    (whole,), (shorter,) = ast.parse(source).body, ast.parse(without_docstring(source)).body
    assert isinstance(whole, ast.FunctionDef)
    del whole.body[0]
    assert ast.dump(whole) == ast.dump(shorter)


@pytest.mark.parametrize("source", ["f = g(lambda x: x)\n", 'def f(): "only this"\n', "h(1)(lambda g: g,\n", "x = 1\n"])
def test_a_source_without_a_docstring_to_leave_out_stays(source: str) -> None:
    assert without_docstring(source) == source


def test_a_rule_with_a_norm_has_two_passes(shown: Any) -> None:
    text = shown("LAMB")
    assert "The kernel, pass 1 of 2" in text
    assert "The kernel, pass 2 of 2" in text
    assert "2 passes, 28 bytes read and 12 written for each element" in text


def test_options(shown: Any) -> None:
    whole = shown("adamw")
    assert whole == shown("AdamW"), "in capital or small letters"
    without = shown("AdamW", "--no-kernel")
    assert "define i64" not in without
    assert whole.startswith(without[: without.index("The kernel")])
    assert "p bf16, g bf16" in shown("AdamW", "--dtype", "bf16")
    assert "4 bytes a parameter" in shown("AdamW", "--dtype=bf16", "--no-kernel")
    assembly = shown("AdamW", "--assembly")
    assert assembly.startswith(whole.rstrip("\n"))
    assert "zerograd_kernel:" in assembly


def test_no_step_is_taken(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("something ran")

    for name in ("run", "run_short", "short"):
        monkeypatch.setattr(pool, name, never)
    monkeypatch.setattr(RuleOptimizer, "__init__", never)
    shown("Prodigy", "--assembly")


def test_a_machine_that_cannot_compile_says_so(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> Any:
        raise CodeError("no compiler")

    monkeypatch.setattr(pages, "Kernel", refused)
    text = shown("AdamW")
    assert "There is none on this machine: no compiler." in text
    assert "1 pass, 16 bytes read and 12 written" in text, "that is known all the same"


# ------------------------------------------------------------------------------------------------ a user's own rule


def test_rules_of_the_users_own(here: Any, shown: Any) -> None:
    text = shown("my_rules:mine")
    assert text.startswith("Mine: mine\n")
    assert "The box of mine (my_rules.py:5)" in text
    assert "    m = beta * m + g\n" in text
    assert "Algorithm\n---------\n    u = sign(m)\n" in text
    assert "1 tensor, 4 bytes a parameter: m" in text
    assert "define i64" in text
    assert shown("my_rules:Holder.inside") == text
    assert "# a comment stays" in shown("my_rules:plain")
    assert shown("my_rules:Halved").startswith("Halved: halved(mine)\n")
    assert shown("zerograd.rules:adam", "--no-kernel").startswith("Adam: adam\n")
    assert str(here) not in sys.path


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("AdmW", "There is no optimizer 'AdmW'. Did you mean 'AdamW'? Valid names: Adadelta, "),
        ("LBFGS", "LBFGS is PyTorch's own algorithm: it is not made from a rule"),
        ("Optimizer", "There is no optimizer 'Optimizer'."),
        ("AdamW --dtype fp8", "--dtype knows no 'fp8'. Valid names: fp32, bf16"),
        ("AdamW --dtpye fp32", "zerograd show has no option '--dtpye'. Did you mean '--dtype'?"),
        ("AdamW --no-kernel --assembly", "--assembly shows the kernel and --no-kernel leaves it out"),
        ("", "NAME is missing."),
        (":mine", "':mine' is no name. A rule of your own is module:name"),
        ("my_rule:mine", "There is no module 'my_rule' in "),
        ("my_rules.py:mine", "There is no module 'my_rules.py' in "),
        (
            "my_rules:mime",
            "The module my_rules has no 'mime'. Did you mean 'mine'? Valid names: mine, Halved, crooked.",
        ),
        ("my_rules:halved", "my_rules:halved is a wrapper: it stands around a rule."),
        ("my_rules:number", "my_rules:number is 3: neither a rule, nor a function, nor a class"),
        ("my_rules:Holder", "my_rules:Holder is <class 'my_rules.Holder'>: neither a rule"),
        ("os.path:join", "rule 'join', "),
        ("my_rules:crooked", "rule 'crooked', "),
        ("broken:rule", "The module broken can't be imported: ZeroDivisionError: division by zero"),
        ("leaving:rule", "The module leaving can't be imported: SystemExit: 3"),
        ("needing:rule", "The module needing can't be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("zerograd:RuleOptimizer", "zerograd:RuleOptimizer is <class "),
    ],
)
def test_wrong_names_are_told_in_one_line(here: Any, capsys: Any, argv: str, words: str) -> None:
    (here / "broken.py").write_text("1 / 0\n")
    (here / "leaving.py").write_text("raise SystemExit(3)\n")
    (here / "needing.py").write_text("import nowhere\n")
    assert main(["show", *argv.split()]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"zerograd: {words}")
    assert told.err.count("\n") == 1
    assert told.out == ""


# --------------------------------------------------------------------------------------------------- on the screen


def test_a_terminal_gets_the_same_words_in_colours(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    plain = shown("AdamW")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main(["show", "AdamW"]) == 0
    written = sys.stdout.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[1m" in written
    without_colours = re.sub(r"\x1b\[[\d;]*m", "", written)
    assert without_colours.split() == re.sub(r"^-+$", "", plain, flags=re.MULTILINE).split()
    assert all(function.source.rstrip("\n") in without_colours for function in passes_of("AdamW", "fp32"))


def test_every_page_is_parts_with_something_in_them() -> None:
    for part in rule_page("Prodigy", "fp16"):
        assert part.heading
        assert part.shown.strip()


def test_a_reader_that_goes_away_ends_the_program_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert main(["show", "AdamW", "--no-kernel"]) == 141
    assert capsys.readouterr().err == ""
