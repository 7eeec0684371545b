"""State dicts in safetensors files: whole or not there, everything as it was, and no pickle."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch

import zerograd as optim
from engine.common import OWN, SHARED
from loading.runs import copied, go_on, named, values
from loading.test_dtypes import STRANGE, alike
from zerograd.safetensors_io import load_file, save_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "optimizer.safetensors"


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_a_run_goes_on_bit_for_bit(name: str, file: Path) -> None:
    params = named(torch.bfloat16)
    one = getattr(optim, name)(params.items())
    go_on(one, params, range(3))
    save_file(one.state_dict(), file)
    others = copied(params)
    other = getattr(optim, name)(others.items())
    found = load_file(file)
    assert alike(one.state_dict(), found)
    other.load_state_dict(found)
    go_on(one, params, range(3, 6))
    go_on(other, others, range(3, 6))
    assert all(map(torch.equal, values(params), values(others)))


def test_every_kind_of_value_comes_back(file: Path) -> None:
    kinds = {
        **STRANGE,
        "complex": torch.tensor([1 + 2j], dtype=torch.complex128),
        "transposed": torch.arange(6.0).view(2, 3).t(),
        "bfloat16": torch.ones(2, dtype=torch.bfloat16),
        "empty": torch.ones(0, 3),
        "infinite": (float("inf"), -float("inf")),
        "imaginary": 1 + 2j,
        "a.b": torch.ones(1),
        "a": {"b": torch.zeros(1)},
    }
    shared = torch.arange(4.0)
    group = {"params": [0, 1], "lr": torch.tensor(0.1), "betas": (0.9, 0.99), "flag": None}
    saved = {"state": {0: kinds, "0": {"view": shared[1:], "other": shared[:2]}}, "param_groups": [group]}
    save_file(saved, file)
    assert alike(saved, load_file(file))
    save_file({"nan": float("nan")}, file)
    assert load_file(file)["nan"] != load_file(file)["nan"]


def test_torchs_own_optimizers_are_served(file: Path) -> None:
    params = named()
    optimizer = torch.optim.Adam(list(params.values()), amsgrad=True)
    go_on(optimizer, params, range(2))
    save_file(optimizer.state_dict(), file)
    assert alike(optimizer.state_dict(), load_file(file))


def test_nothing_is_pickled(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("pickle")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refused)
    save_file({"state": {0: {"step": torch.tensor(1.0)}}}, file)
    assert load_file(file)["state"][0]["step"] == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (object(), "state.0.x: a safetensors file can't hold object objects; take it out, or use torch.save"),
        (torch.eye(2).to_sparse(), "state.0.x: .* tensors of kind torch.sparse_coo"),
    ],
    ids=["object", "sparse"],
)
def test_what_can_not_be_held_is_refused_and_the_old_file_stays(value: Any, words: str, file: Path) -> None:
    save_file({"state": {}}, file)
    with pytest.raises(TypeError, match=words):
        save_file({"state": {0: {"x": value}}}, file)
    assert load_file(file) == {"state": {}}
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_disk_that_fails_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"state": {}}, file)

    def full(_: Any, path: Path, *__: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("no room")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="no room"):
        save_file({"state": {1: 2}}, file)
    assert load_file(file) == {"state": {}}
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_files_of_others_are_told(file: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"optimizer.safetensors: there is no such file"):
        load_file(file)
    file.write_bytes(b"no such format")
    with pytest.raises(ValueError, match=r"optimizer.safetensors: not a safetensors file, or damaged"):
        load_file(file)
    safetensors.torch.save_file({"weight": torch.ones(1)}, file)
    with pytest.raises(ValueError, match=r"no optimizer's state in it; zerograd.safetensors_io.save_file writes such"):
        load_file(file)
    safetensors.torch.save_file({"weight": torch.ones(1)}, file, {"optimizer_state": '{"tensor": "gone"}'})
    with pytest.raises(ValueError, match=r"can't be read: KeyError\('gone'\)"):
        load_file(file)


def test_without_the_package_the_error_names_the_cure(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    for call in (lambda: save_file({}, file), lambda: load_file(file)):
        with pytest.raises(ImportError, match=r"needs safetensors: pip install 'zerograd\[safetensors\]'"):
            call()
