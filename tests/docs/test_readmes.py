"""The two READMEs are one: the same code, the same pictures, and the table that the docstrings give."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch

from docs.markdown import README, README_ZH, ROOT, Block, blocks, commands
from zerograd import RuleOptimizer, optim

EACH_OTHER = {README.name, README_ZH.name}
OPTIMIZERS = sorted(
    (cls for name in optim.__all__ if issubclass(cls := getattr(optim, name), RuleOptimizer)),
    key=lambda cls: (not hasattr(torch.optim, cls.__name__), cls.__name__.casefold()),
)
"""torch's first, each half in the order of the alphabet."""


def without_comments(block: Block) -> tuple[str, object]:
    """What a block does, whatever its comments say."""
    if block.language == "python":
        return block.language, ast.dump(ast.parse(block.text))
    if block.language in ("bash", "console"):
        return block.language, list(commands(block))
    return block.language, [line.partition("#")[0].rstrip() for line in block.text.splitlines()]


def test_the_readmes_have_the_same_code() -> None:
    english, chinese = (list(map(without_comments, blocks(page))) for page in (README, README_ZH))
    assert english == chinese


def test_the_readmes_have_the_same_links() -> None:
    """Except the one from each to the other."""
    english, chinese = (
        [target for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")) if target not in EACH_OTHER]
        for page in (README, README_ZH)
    )
    assert english == chinese


def row(cls: type[RuleOptimizer]) -> list[str]:
    """The cells of an optimizer's row: its class, its rule, the bytes of its state, and what it is."""
    document = cls.__doc__ or ""
    base = ", ".join(re.findall(r"^    (\d+) bytes a parameter in", document, re.MULTILINE))
    base = base or ", ".join(re.findall(r"^    (\d+ bytes a \w+) of a matrix", document, re.MULTILINE))
    more = re.findall(r"^    (\w+) adds (\d+) bytes", document, re.MULTILINE)
    algorithm = cls.rule.functions[-1].function
    file = Path(algorithm.__code__.co_filename).relative_to(ROOT)
    line = re.sub(r"^[\w -]+: ", "", document.splitlines()[0])  # the name stands in the first cell
    return [
        f"`{cls.__name__}`",
        f"[`{cls.rule.name}`]({file})",
        ", ".join([base, *(f"+{added} `{flag}`" for flag, added in more)]),
        line[:1].upper() + line[1:],
    ]


def table(page: Path) -> dict[str, list[str]]:
    """The table of optimizers: class -> the cells of its row."""
    rows = [line.strip("|").split("|") for line in page.read_text("utf-8").splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in row] for row in rows]
    return {row[0]: row for row in cells}


@pytest.mark.parametrize("page", [README, README_ZH], ids=lambda page: page.name)
def test_the_table_lists_every_optimizer(page: Path) -> None:
    assert list(table(page)) == [f"`{cls.__name__}`" for cls in OPTIMIZERS]


@pytest.mark.parametrize("cls", OPTIMIZERS, ids=lambda cls: cls.__name__)
def test_a_row_says_what_the_docstring_says(cls: type[RuleOptimizer]) -> None:
    wanted = row(cls)
    assert table(README)[wanted[0]] == wanted
    chinese = table(README_ZH)[wanted[0]]
    assert chinese[:3] == wanted[:3]
    assert re.search(r"[\u4e00-\u9fff]", chinese[3]), "the Chinese table speaks Chinese"
