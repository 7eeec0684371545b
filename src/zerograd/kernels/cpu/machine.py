"""LLVM on this processor: from its intermediate language to machine code, and machine code into this process.

Nothing here knows what the code is for. llvmlite is the binding that Numba is built on; it is loaded at the first call.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from typing import Any

from zerograd.errors import ZerogradError

_OPTIONS = "level 3, loops vectorised"
"""What ``_optimized`` asks for: to be changed with it, for it decides what the code is."""

_LOCK = threading.Lock()
_LOADED: list[Any] = []
"""Engines own the memory of the code that was loaded through them; they live as long as the process."""


class CodeError(ZerogradError):
    """Code could not be made or loaded here: no llvmlite, an unknown processor, a missing function."""


@functools.cache
def _binding() -> Any:
    try:
        import llvmlite.binding as llvm  # type: ignore[import-untyped]
    except (ImportError, OSError) as error:  # not installed, or its shared library does not load
        raise CodeError(f"llvmlite can't be imported ({error}); pip install llvmlite") from error
    try:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.Target.from_triple(llvm.get_default_triple())
        llvm.get_host_cpu_name()
        llvm.get_host_cpu_features()
    except RuntimeError as error:
        raise CodeError(f"LLVM does not know this processor: {error}") from error
    return llvm


@functools.cache
def features() -> str:
    """The processor's features, as LLVM writes them."""
    return str(_binding().get_host_cpu_features().flatten())


@functools.cache
def processor() -> str:
    """LLVM's name of the processor."""
    return str(_binding().get_host_cpu_name())


@functools.cache
def identity() -> str:
    """All that decides which machine code comes out of one source, and whether it may run here."""
    llvm = _binding()
    from llvmlite import __version__ as version

    return f"{_OPTIONS} {version} {llvm.llvm_version_info} {llvm.get_default_triple()} {processor()} {features()}"


@functools.cache
def converts_half() -> bool:
    """Whether the processor converts float16 itself; elsewhere LLVM calls functions that may not be there."""
    known = _binding().get_host_cpu_features()
    return bool(known.get("f16c", "arm" in _binding().get_default_triple() or "aarch64" in features()))


@functools.cache
def fuses() -> bool:
    """Whether a product and a sum are one operation of the processor; elsewhere LLVM calls a function for it."""
    triple = _binding().get_default_triple()
    return has("fma") or "aarch64" in triple or "arm64" in triple


@functools.cache
def has(*wanted: str) -> bool:
    """Whether the processor has all of these features, by LLVM's names."""
    known = _binding().get_host_cpu_features()
    return all(known.get(name, False) for name in wanted)


@functools.cache
def _target() -> Any:
    llvm = _binding()
    target = llvm.Target.from_triple(llvm.get_default_triple())
    return target.create_target_machine(
        cpu=processor(), features=features(), opt=3, reloc="default", codemodel="jitdefault", jit=True
    )


def _optimized(source: str) -> Any:
    llvm = _binding()
    try:
        module = llvm.parse_assembly(source)
        module.verify()
    except RuntimeError as error:
        raise CodeError(f"LLVM refused a kernel: {error}") from error
    target = _target()
    module.triple = llvm.get_default_triple()
    module.data_layout = str(target.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    builder = llvm.create_pass_builder(target, options)
    builder.getModulePassManager().run(module, builder)
    return module


def compiled(source: str) -> bytes:
    """The object file of a module, optimised for this processor."""
    with _LOCK:
        return bytes(_target().emit_object(_optimized(source)))


def assembly(source: str) -> str:
    """The same as text for people and tests."""
    with _LOCK:
        return str(_target().emit_assembly(_optimized(source)))


def loaded(code: bytes, name: str, needs: tuple[str, ...] = ()) -> int:
    """The address of function ``name`` of an object file, in this process.

    needs: functions outside that the code may call; CodeError if one of them is not here (LLVM would end the process).
    """
    llvm = _binding()
    for symbol in needs:
        if not llvm.address_of_symbol(symbol):
            raise CodeError(f"a kernel needs the function {symbol}, which this process does not have")
    with _LOCK:
        target = llvm.Target.from_triple(llvm.get_default_triple()).create_target_machine(jit=True)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
        try:
            parsed = llvm.ObjectFileRef.from_data(code)
            if not parsed._ptr:  # adding it would end the process
                raise CodeError(f"machine code of {name} can't be read")
            engine.add_object_file(parsed)
            engine.finalize_object()
        except RuntimeError as error:
            raise CodeError(f"machine code of {name} can't be loaded: {error}") from error
        address = int(engine.get_function_address(name))
        _LOADED.append(engine)
    if not address:
        raise CodeError(f"machine code lacks the function {name}")
    return address


def digest(source: str) -> str:
    """The name under which the code of a source is kept: another processor or compiler gives another name."""
    return hashlib.sha256(f"{identity()}\n{source}".encode()).hexdigest()[:40]
