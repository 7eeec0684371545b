"""What importing and using the package loads, each seen from a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

HEAVY = ["torch", "numpy", "numba", "llvmlite", "triton", "matplotlib", "rich", "sklearn", "safetensors"]


def loaded_by(program: str, *watched: str) -> set[str]:
    """Run a program in a fresh interpreter; which of the watched modules are loaded at its end."""
    report = f"import json, sys; print(json.dumps([m for m in {watched!r} if sys.modules.get(m)]))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{textwrap.dedent(program)}\n{report}"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_zerograd_loads_no_library() -> None:
    assert loaded_by("import zerograd; dir(zerograd); zerograd.__version__", *HEAVY) == set()


def test_the_notation_and_the_command_line_need_no_library() -> None:
    blocked = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r}))"
    program = """
        import zerograd, zerograd.errors, zerograd.algebra, zerograd.cli.main
        assert zerograd.RuleError is zerograd.errors.RuleError
        @zerograd.rule
        def plain(g): return g
        assert zerograd.cli.main.main(["--help"]) == 0
    """
    assert loaded_by(f"{blocked}\n{textwrap.dedent(program)}", *HEAVY) == set()


def test_rules_are_read_without_a_library() -> None:
    assert loaded_by("import zerograd.rules; zerograd.cautious(zerograd.rules.adam)", *HEAVY) == set()


def test_no_optimizer_loads_a_compiler() -> None:
    """torch's own constructors import torch._dynamo, which takes seconds."""
    program = """
        import zerograd, torch
        for name in zerograd.optim.__all__:
            cls = getattr(zerograd, name)
            if not issubclass(cls, zerograd.RuleOptimizer):
                continue
            p, q = (torch.nn.Parameter(torch.ones(3, 2)) for _ in range(2))
            optimizer = cls([p])
            optimizer.add_param_group({"params": [q]})
            p.grad = q.grad = torch.ones(3, 2).to_sparse() if cls.sparse == "only" else torch.ones(3, 2)
            optimizer.step()
            optimizer.zero_grad()
            optimizer.load_state_dict(optimizer.state_dict())
    """
    assert loaded_by(program, "torch._dynamo", "numba", "triton", "torch") == {"torch"}
