"""Running a kernel on torch's own threads.

A kernel takes chunks of work from a counter until none is left, so it does not matter how many threads run it. torch's
threads are those of its OpenMP library, which stay awake for a while after each operation; a second pool beside them
would fight for the cores (4 to 10 times slower on two). Where that library is not found, Python's threads do it; in a
forked child, where OpenMP would hang, the calling thread does it alone.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import torch

Team = Callable[[int, int, int], object]
"""team(function, argument, threads): the function runs in that many threads at once, the caller among them."""

_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True
    _python_threads.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def threads() -> int:
    """How many threads a kernel may use now: torch.get_num_threads(), one after a fork."""
    return 1 if _forked else torch.get_num_threads()


def run(function: int, argument: int, count: int) -> None:
    """Run the function at an address with one argument in ``count`` threads, without Python's lock."""
    if count > 1 and not _forked:
        _team()[0](function, argument, count)
    else:
        _serial(function)(argument)


def run_short(function: int, argument: int) -> int:
    """Run a function of a few microseconds in this thread, with Python's lock held; its result."""
    return short(function)(argument)


def description() -> str:
    """What kernels run on, for people."""
    return "one thread (this process was forked)" if _forked else _team()[1]


@functools.cache
def _serial(function: int) -> Callable[[int], int]:
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(function)


@functools.cache
def short(function: int) -> Callable[[int], int]:
    """A function of a few microseconds, to be called with Python's lock held."""
    return ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(function)


@functools.cache
def _team() -> tuple[Team, str]:
    for path in _openmp_libraries():
        try:
            parallel = ctypes.CDLL(path).GOMP_parallel
        except (OSError, AttributeError):
            continue
        parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
        return functools.partial(_openmp, parallel), f"torch's OpenMP threads ({path})"
    return _with_python_threads, "Python's threads (torch's OpenMP library was not found)"


def _openmp(parallel: Callable[[int, int, int, int], None], function: int, argument: int, count: int) -> None:
    parallel(function, argument, count, 0)


def _openmp_libraries() -> list[str]:
    """Where torch's OpenMP library may be, the surest place first: loading it again gives the one that torch uses."""
    package = Path(torch.__file__).parent
    found = [*package.glob("lib/libgomp*.so*"), *package.parent.glob("torch.libs/libgomp*.so*")]
    try:
        mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "gomp" in line}
    except OSError:
        mapped = set()
    # A library that is not loaded yet would bring a pool of its own.
    return [str(path) for path in found if not mapped or str(path.resolve()) in mapped] or sorted(mapped)


@functools.cache
def _python_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="zerograd")


def _with_python_threads(function: int, argument: int, count: int) -> None:
    call = _serial(function)
    others = [_python_threads().submit(call, argument) for _ in range(count - 1)]
    call(argument)
    wait(others)
