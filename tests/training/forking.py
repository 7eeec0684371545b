"""A program that has loaded everything, and runs each command line that it reads in a process of its own.

So a test can kill many runs, and each of them starts at once. A line is JSON: a folder, the words of the command and
its environment; FILE_SIZE in it is the most bytes that a file may have, with ORDINARY even root
has to keep to the permissions of files. The program answers with the process's number
and, after an empty line, with its exit code.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys

import matplotlib.backends.backend_agg  # noqa: F401
import safetensors.torch  # noqa: F401

import zerograd.training.plots
import zerograd.training.report  # noqa: F401
from zerograd.cli.main import main


def keep_to_permissions() -> None:
    """Give up what lets root (of Linux) write everywhere: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, bits 1 and 2."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    powers = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice 32 bits
    if libc.capget(header, powers):
        raise OSError(ctypes.get_errno(), "capget")
    for place in range(3):
        powers[place] &= ~0b110
    if libc.capset(header, powers):
        raise OSError(ctypes.get_errno(), "capset")


def run(folder: str, argv: list[str], environment: dict[str, str]) -> None:
    """The command in a folder, its words in the files out and err there."""
    os.chdir(folder)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), number)
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts the tests in the background ignores these
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if "FILE_SIZE" in environment:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a file that grows too large is an error as of a full disk
        size = int(environment["FILE_SIZE"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    if "ORDINARY" in environment and os.geteuid() == 0:
        keep_to_permissions()
    code = 1
    try:
        code = main(argv)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


for line in iter(sys.stdin.readline, ""):
    process = os.fork()
    if process == 0:
        run(*json.loads(line))
    sys.stdout.write(f"{process}\n")
    sys.stdout.flush()
    sys.stdin.readline()  # until then its number stays its own, even if it has ended
    sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}\n")
    sys.stdout.flush()
