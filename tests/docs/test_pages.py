"""Every example on every page runs, and every command, target and link in it exists."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from docs.markdown import PAGES, ROOT, Block, blocks, commands, prose
from zerograd.cli.main import COMMANDS, main

RUN = {"python", "pycon"}
SHELL = {"bash", "console"}
SHOWN = {"text"}
PROGRAMS = {"git", "cd", "pip", "python"}
"""What a reader has, besides make and zerograd."""

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@by_page
def test_the_examples_of_a_page_run_as_one_session(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, with warnings as errors; doctests show what they print."""
    monkeypatch.chdir(tmp_path)
    session: dict[str, Any] = {"__name__": "session"}
    with torch.random.fork_rng(devices=[]):
        for block in blocks(page):
            if block.language == "python":
                # Blank lines in front, so that a traceback points into the page.
                code = compile("\n" * block.line + block.text, str(page), "exec", dont_inherit=True)
                exec(code, session)
            elif block.language == "pycon":
                run_doctest(block, session)


def run_doctest(block: Block, session: dict[str, Any]) -> None:
    test = doctest.DocTestParser().get_doctest(block.text, session, block.where, str(block.page), block.line)
    test.globs = session  # the very dictionary, so that the next block goes on
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=said.append, clear_globs=False)
    assert result.attempted > 0, block.where
    assert result.failed == 0, "".join(said)


@by_page
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks(page):
        assert block.language in RUN | SHELL | SHOWN, f"{block.where}: {block.language!r} is neither run nor checked"


@by_page
def test_every_command_exists(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(page):
        if block.language in SHELL:
            for program, *arguments in commands(block):
                if program == "make":
                    assert set(arguments) <= make_targets(), f"{block.where}: make {' '.join(arguments)}"
                elif program == "zerograd":
                    check_zerograd(arguments, block, capsys)
                else:
                    assert program in PROGRAMS, f"{block.where}: {program}"


@by_page
def test_every_command_in_a_sentence_exists(page: Path) -> None:
    """What stands in backquotes: `make check`, `zerograd train`."""
    for quoted in re.findall(r"`([^`\n]+)`", prose(page)):
        program, *arguments = quoted.split() or [""]
        if program == "make":
            assert set(arguments) <= make_targets(), quoted
        elif program == "zerograd" and arguments:
            assert arguments[0] in COMMANDS, quoted


def make_targets() -> set[str]:
    return set(re.findall(r"^([\w-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))


def check_zerograd(arguments: list[str], block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    """That the command exists and has the options."""
    assert arguments[0] in COMMANDS, f"{block.where}: zerograd {arguments[0]}"
    main([arguments[0], "--help"])
    known = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
    options = {word.partition("=")[0] for word in arguments if word.startswith("--")}
    assert options <= known, f"{block.where}: {options - known}"


@by_page
def test_every_link_into_the_repository_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" not in target:
            path, _, section = target.partition("#")
            there = page.parent / path if path else page
            assert there.exists(), target
            assert not section or section in anchors(there), target


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_the_list_of_pages_has_them_all() -> None:
    listed = re.findall(r"\]\(([\w.]+)", prose(ROOT / "docs" / "README.md"))
    assert set(listed) - {".."} == {page.name for page in PAGES if page.parent.name == "docs"} - {"README.md"}
