"""Run a Python script as the interpreter would: its name, arguments, path, errors and exit status are its own."""

from __future__ import annotations

import atexit
import builtins
import importlib.machinery
import io
import os
import signal
import sys
from collections.abc import Sequence
from types import ModuleType

_mains: list[ModuleType] = []
"""The script's module, kept to the very end: its functions may be called then."""


def run_as_main(script: str, arguments: Sequence[str]) -> tuple[int, bool]:
    """Run a script as ``__main__``: its exit status, and whether an error has ended it, printed as Python does."""
    with io.open_code(os.path.abspath(script)) as file:
        source = file.read()
    main = ModuleType("__main__")
    main.__dict__.update(
        __file__=script,
        __builtins__=builtins,
        __cached__=None,
        __loader__=importlib.machinery.SourceFileLoader("__main__", script),
    )
    _mains.append(main)
    sys.modules["__main__"] = main
    sys.argv[:] = [script, *arguments]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.path.dirname(os.path.realpath(script))
    try:
        exec(compile(source, script, "exec", dont_inherit=True), main.__dict__)
    except SystemExit as request:
        return _status(request), False
    except KeyboardInterrupt as stop:
        _show(stop)
        return _interrupted(), True
    except BaseException as error:
        _show(error)
        return 1, True
    return 0, False


def _status(request: SystemExit) -> int:
    if request.code is None:
        return 0
    if isinstance(request.code, int):
        return request.code
    sys.stderr.write(f"{request.code}\n")
    return 1


def _show(error: BaseException) -> None:
    """As the interpreter does, without the frame above."""
    trace = error.__traceback__
    error.__traceback__ = trace.tb_next if trace is not None else None
    sys.excepthook(type(error), error, error.__traceback__)


def _interrupted() -> int:
    """The interpreter ends itself with the signal, so that a shell knows; after its last functions."""
    if sys.platform == "win32":
        return 130

    def leave() -> None:
        sys.stdout.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)

    atexit._run_exitfuncs()
    leave()
    return 130
