"""`zerograd doctor`: what it says is so, and it notices what is broken."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import torch

from zerograd.cli.main import main
from zerograd.describing import health
from zerograd.describing.diagnosis import diagnosed
from zerograd.describing.health import SIZES, cache_folder, two_steps
from zerograd.kernels.cpu import cache, inspector, machine, pool
from zerograd.kernels.cpu.kernel import _function_at
from zerograd.kernels.cpu.machine import CodeError
from zerograd.kernels.cpu.table import PARALLEL
from zerograd.kernels.cpu.tiles import CODERS


@pytest.fixture
def found(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command; its exit status and its JSON object."""

    def run() -> tuple[int, dict[str, Any]]:
        status = main(["doctor", "--json"])
        told = capsys.readouterr()
        assert told.err == ""
        return status, json.loads(told.out)

    return run


def test_all_is_well_here(found: Any) -> None:
    status, object_ = found()
    assert status == 0
    assert object_["ok"] is True
    backends = object_["backends"]
    assert list(backends) == ["compiled", "eager", "cuda", "mps"]
    assert backends["compiled"] == {
        "works": True, "expected": True, "why": "two steps of AdamW agree with the eager backend",
    }  # fmt: skip
    assert backends["eager"]["works"]
    assert all("foreach" in backends[name]["why"] for name in ("cuda", "mps")), "no kernels for devices yet"
    assert object_["versions"]["torch"] == torch.__version__
    assert all(object_["versions"].values())
    assert object_["processor"]["model"] == machine.processor()
    assert all(f"+{name}" in machine.features().split(",") for name in object_["processor"]["simd"])
    assert object_["processor"]["codes"] == next(
        (one.name for one in CODERS if set(one.features) <= set(re.findall(r"\+([\w.]+)", machine.features()))), None
    )
    assert object_["threads"] == {"cores": os.cpu_count(), "used": pool.threads(), "runs_on": pool.description()}
    assert object_["inspection"] == {"native": inspector.native() is None, "why": inspector.native()}


def test_people_are_told_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "    compiled  works " in text
    assert "    eager     works " in text
    assert f"torch {torch.__version__}" in text
    assert re.search(r"^    8 bits    compiled kernels( of their own, for [\w -]+)?$", text, re.MULTILINE)
    assert str(cache.place()) in text
    assert max(len(line.split()[0]) for line in text.splitlines() if line.startswith("    ")) <= 9, "columns"


def test_the_trials_go_over_one_thread_and_over_all() -> None:
    assert SIZES[0] < PARALLEL < SIZES[1]


def test_torchs_random_numbers_are_left_alone() -> None:
    before = torch.get_rng_state()
    main(["doctor", "--json"])
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(health, "version", nowhere)
    text = "\n".join(part.shown for part in diagnosed(health.examined("a processor")))
    assert "llvmlite not installed, numpy not installed" in text
    assert "a processor" in text


# ---------------------------------------------------------------------------------------------- what can be broken


def test_without_a_compiler_the_eager_way_works_and_the_status_is_1() -> None:
    code = "import sys; sys.modules['llvmlite'] = None; from zerograd.cli.main import main; sys.exit(main())"
    argv = [sys.executable, "-W", "error", "-c", code, "doctor", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    object_ = json.loads(done.stdout)
    assert object_["ok"] is False
    assert object_["backends"]["compiled"]["why"].startswith("llvmlite can't be imported")
    assert object_["backends"]["eager"]["works"] is True
    assert object_["processor"]["float16"] is False
    assert object_["processor"]["codes"] is None
    assert object_["inspection"]["native"] is False


def test_a_kernel_that_is_wrong_is_noticed(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(device: str, elements: int, *, dense: bool) -> torch.Tensor:
        p = two_steps(device, elements, dense=dense)
        if dense and elements == SIZES[1]:
            p[-1] += 0.01
        return p

    monkeypatch.setattr(health, "two_steps", wrong)
    status, object_ = found()
    assert status == 1
    assert object_["backends"]["compiled"]["why"] == "two steps of AdamW differ from the eager backend by up to 0.01"
    assert object_["backends"]["eager"]["works"] is True


@pytest.mark.parametrize(
    ("error", "words"),
    [(CodeError("no such processor"), "no such processor"), (OSError("odd\nthing"), "OSError: odd thing")],
)
def test_a_kernel_that_is_not_there_is_told_with_its_reason(
    error: Exception, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(health, "Kernel", refused)
    assert main(["doctor"]) == 1
    assert f"    compiled  FAILS     {words}.\n" in capsys.readouterr().out


def test_a_gate_that_refuses_everything_is_noticed(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.admission, "layout_of", lambda *_: None)
    status, object_ = found()
    assert status == 1
    assert object_["backends"]["compiled"]["why"] == "the gate refuses a plain tensor"


def test_slow_inspection_is_no_illness_but_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.inspector, "native", lambda: "another torch")
    text = "\n".join(part.shown for part in diagnosed(health.examined("a processor")))
    assert "in Python, which is slower: another torch" in text


@pytest.mark.parametrize(("works", "status"), [(True, 0), (False, 1)])
def test_a_device_that_torch_sees_is_tried(works: bool, status: int, found: Any, monkeypatch: Any) -> None:
    def tried(device: str, elements: int, *, dense: bool) -> torch.Tensor:
        if device == "cuda" and not works:
            raise RuntimeError("out of order")
        return two_steps("cpu", elements, dense=dense)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Card 1")
    monkeypatch.setattr(health, "two_steps", tried)
    code, object_ = found()
    assert code == status
    cuda = object_["backends"]["cuda"]
    assert cuda["expected"] is True
    assert cuda["works"] is works
    if works:
        assert cuda["why"].startswith("Card 1: ")
        assert "foreach" in cuda["why"]
    else:
        assert cuda["why"] == "RuntimeError: out of order"


# ----------------------------------------------------------------------------------------------------- the cache


def folder_of(kind: str, base: Path) -> Path:
    """A cache folder in some condition."""
    place = base / "kept"
    if kind == "file":
        place.write_text("")
    elif kind == "below a file":
        (base / "file").write_text("")
        return base / "file" / "kept"
    elif kind != "absent":
        place.mkdir(mode=0o700)
        if kind == "open":
            place.chmod(0o777)
        elif kind == "filled":
            (place / "a.o").write_bytes(b"12345")
            (place / "b.o").write_bytes(b"123")
            (place / "c.tmp").write_bytes(b"1")
    return place


@pytest.mark.parametrize(
    ("kind", "usable", "why", "files", "size"),
    [
        ("absent", True, "it is not there yet: the first kernel makes it", 0, 0),
        ("empty", True, None, 0, 0),
        ("filled", True, None, 2, 8),
        ("open", False, "can be written to by other users; chmod 700 it", 0, 0),
        ("file", False, "is no folder", 0, 0),
        ("below a file", False, "is no folder", 0, 0),
    ],
)
def test_the_cache_is_what_it_is(
    kind: str, usable: bool, why: str | None, files: int, size: int, tmp_path: Path, monkeypatch: Any
) -> None:
    place = folder_of(kind, tmp_path)
    monkeypatch.setenv("ZEROGRAD_CACHE", str(place))
    kept = cache_folder()
    assert (kept.folder, kept.usable, kept.files, kept.bytes) == (str(place), usable, files, size)
    assert kept.why is None if why is None else kept.why is not None and kept.why.endswith(why)


def test_a_trial_fills_a_new_cache(tmp_path: Path, found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROGRAD_CACHE", str(tmp_path / "new"))
    _function_at.cache_clear()  # as a new process
    status, object_ = found()
    there = list((tmp_path / "new").glob("*.o"))
    assert status == 0
    assert object_["cache"]["files"] == len(there) > 0
    assert object_["cache"]["bytes"] == sum(file.stat().st_size for file in there)


def test_no_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.cache, "place", lambda: None)
    kept = cache_folder()
    assert not kept.usable
    assert "ZEROGRAD_CACHE" in (kept.why or "")
