"""Files that were spoilt and folders that are no good: nothing of them runs, and no step fails."""

from __future__ import annotations

import errno
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

from kernels.cpu.conftest import Made
from kernels.cpu.keeping import GOOD, TRAP, entry, names, set_a_trap
from kernels.cpu.running import answer, fresh_step
from zerograd.kernels.cpu import cache, machine


def raising(number: int) -> Callable[..., NoReturn]:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return fail


# ------------------------------------------------------------------------------------------------- spoilt files


def spoilt(content: bytes) -> dict[str, bytes]:
    """Everything that may have become of a file."""
    head = len(cache._MAGIC)
    return {
        "empty": b"",
        "half the magic": content[: head // 2],
        "the magic": content[:head],
        "half the digest": content[: head + 16],
        "no code": content[: head + 32],
        "half the code": content[: (len(content) + head) // 2],
        "all but a byte": content[:-1],
        "a byte more": content + b"\0",
        "wrong magic": b"X" + content[1:],
        "an older version": content[: head - 2] + b"0" + content[head - 1 :],
        "garbage": random.Random(0).randbytes(len(content)),
        "code without a head": content[head + 32 :],
        "zeros": bytes(len(content)),
    }


SPOILT = [*spoilt(bytes(100)), "a bit of the magic", "a bit of the digest", "a bit of the code"]


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_file_is_never_loaded_and_is_written_over(
    kind: str, place: Path, forget: Callable[[], None], made: Made
) -> None:
    path = set_a_trap(place)
    content = path.read_bytes()
    if kind.startswith("a bit"):
        at = {"magic": 3, "digest": len(cache._MAGIC) + 7, "code": len(content) - 9}[kind.split()[-1]]
        wrong = content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]
    else:
        wrong = spoilt(content)[kind]
    path.write_bytes(wrong)
    made.clear()
    assert answer(GOOD) == 42
    assert made.compiled == [GOOD]
    assert [code for code in made.loaded if code != machine.compiled(GOOD)] == []
    made.clear()
    forget()
    assert answer(GOOD) == 42
    assert made.compiled == []
    assert names(place) == [path.name]


def test_no_flipped_bit_and_no_missing_byte_goes_unseen(place: Path) -> None:
    cache.write("name", random.Random(1).randbytes(30))
    path = place / "name.o"
    content = path.read_bytes()
    assert cache.read("name") == content[-30:]
    for at in range(len(content)):
        for bit in range(8):
            path.write_bytes(content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :])
            assert cache.read("name") is None, f"bit {bit} of byte {at}"
        path.write_bytes(content[:at])
        assert cache.read("name") is None, f"{at} bytes of {len(content)}"


def test_code_is_only_good_under_its_own_name(place: Path) -> None:
    """A file that was copied or renamed holds the code of another kernel."""
    answer(TRAP)
    entry(place, TRAP).rename(entry(place, GOOD))
    assert answer(GOOD) == 42


def test_a_symbolic_link_is_not_followed(place: Path, tmp_path: Path) -> None:
    path, elsewhere = set_a_trap(place), tmp_path / "elsewhere.o"
    path.rename(elsewhere)
    content = elsewhere.read_bytes()
    path.symlink_to(elsewhere)
    assert answer(GOOD) == 42
    assert elsewhere.read_bytes() == content
    assert not path.is_symlink()
    assert cache.read(machine.digest(GOOD)) == machine.compiled(GOOD)


def test_a_file_of_another_user_is_not_loaded(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_a_trap(place)
    fstat = os.fstat

    def of_another(handle: int) -> os.stat_result:
        found = list(fstat(handle))
        found[stat.ST_UID] += 1
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", of_another)
    assert answer(GOOD) == 42


# ------------------------------------------------------------------------------------- folders that are no good


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o720, 0o777, 0o1777])
def test_a_folder_that_others_can_write_to_is_not_used(mode: int, place: Path, forget: Callable[[], None]) -> None:
    path = set_a_trap(place)
    place.chmod(mode)
    assert answer(GOOD) == 42
    path.unlink()
    forget()
    assert answer(GOOD) == 42
    assert names(place) == []
    refusal = cache.refusal(place)
    assert refusal is not None
    assert "chmod 700" in refusal


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o750])
def test_a_folder_that_others_can_only_read_is_used(mode: int, place: Path) -> None:
    set_a_trap(place)
    place.chmod(mode)
    assert answer(GOOD) == 667


def test_a_folder_of_another_user_is_not_used(
    place: Path, monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None]
) -> None:
    path, own = set_a_trap(place), os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    assert answer(GOOD) == 42
    path.unlink()
    forget()
    assert answer(GOOD) == 42
    assert names(place) == []
    assert "another user" in str(cache.refusal(place))


def _a_file(place: Path, _: pytest.MonkeyPatch) -> None:
    place.write_bytes(b"no folder")


def _below_a_file(place: Path, patch: pytest.MonkeyPatch) -> None:
    _a_file(place, patch)
    patch.setenv("ZEROGRAD_CACHE", str(place / "cache"))


def _too_long(place: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("ZEROGRAD_CACHE", str(place / ("x" * 300)))


def _an_entry_is_a_folder(place: Path, _: pytest.MonkeyPatch) -> None:
    answer(GOOD)
    fresh_step()
    for path in place.iterdir():
        path.unlink()
        path.mkdir()


def _may_not_make_it(_: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "mkdir", raising(errno.EACCES))


def _may_not_look_into_it(_: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Path, "stat", raising(errno.EACCES))


def _may_not_write_into_it(_: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tempfile.mkstemp", raising(errno.EROFS))


def _full_disk(_: Path, patch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, handle: int, *_: str) -> None:
            self._handle = handle

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            os.close(self._handle)

        def write(self, content: bytes) -> NoReturn:
            os.write(self._handle, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "no space left on device")

    patch.setattr(cache, "open", Full, raising=False)


def _no_renaming(_: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "replace", raising(errno.EIO))


@pytest.mark.parametrize(
    "spoil",
    [
        _a_file, _below_a_file, _too_long, _an_entry_is_a_folder, _may_not_make_it, _may_not_look_into_it,
        _may_not_write_into_it, _full_disk, _no_renaming,
    ],
    ids=lambda spoil: spoil.__name__.strip("_"),
)  # fmt: skip
def test_whatever_is_wrong_with_the_folder_a_step_works_and_leaves_nothing(
    spoil: Callable[[Path, pytest.MonkeyPatch], None], place: Path, forget: Callable[[], None]
) -> None:
    expected = fresh_step()
    for path in place.iterdir():
        path.unlink()
    place.rmdir()
    forget()
    with pytest.MonkeyPatch.context() as patch:
        spoil(place, patch)
        forget()
        assert answer(GOOD) == 42
        assert torch.equal(fresh_step(), expected)
    assert [name for name in names(place) if (place / name).is_file()] == []
    if place.is_file():
        assert place.read_bytes() == b"no folder"


def test_a_file_that_gets_too_long_is_not_left_behind(place: Path, made: Made) -> None:
    resource = pytest.importorskip("resource", reason="no limits for a process on this system")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        assert answer(GOOD) == 42
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(place) == []
    assert len(made.loaded[0]) > 100, "the code of this test fits within the limit"


def test_nothing_stays_open_when_an_entry_cannot_be_read(place: Path) -> None:
    listed = Path("/proc/self/fd")
    if not listed.is_dir():
        pytest.skip("this system has no /proc/self/fd to count open files in")
    (place / "name.o").mkdir(parents=True)
    place.chmod(0o700)
    before = len(list(listed.iterdir()))
    assert [cache.read("name") for _ in range(20)] == [None] * 20
    assert len(list(listed.iterdir())) == before
