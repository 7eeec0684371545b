"""The page of `zerograd doctor`: what was found, in words."""

from __future__ import annotations

from zerograd.describing.health import CacheFolder, Health, Processor
from zerograd.describing.screen import Part

WORKS, FAILS, NOT_HERE = "works", "FAILS", "not here"
ACCENTS = {
    rf"(?m)^    \w+ +{WORKS}": "green",
    rf"(?m)^    \w+ +{FAILS}": "bold red",
    rf"(?m)^    \w+ +{NOT_HERE}": "dim",
}


def diagnosed(found: Health) -> list[Part]:
    """The page: the backends first, then what they hang on."""
    backends = []
    for one in found.backends:
        state = WORKS if one.works else FAILS if one.expected else NOT_HERE
        backends.append(f"{one.name:<9} {state:<9} {one.why}.")
    tensors = "in machine code" if found.native else f"in Python, which is slower: {found.native_why}"
    machine = found.processor
    lines = {
        "versions": ", ".join(f"{name} {number or 'not installed'}" for name, number in found.versions.items()),
        "processor": f"{machine.name}; LLVM calls it {machine.model}" if machine.model else machine.name,
        "features": ", ".join(machine.simd) or "unknown",
        "float16": "compiled kernels" if machine.float16 else "the eager way: compiled kernels can't convert it here",
        "8 bits": _codes(found.processor),
        "threads": f"{found.threads} on {found.cores} cores; kernels run on {found.runs_on}",
        "tensors": f"looked at before each step {tensors}",
        "cache": _cache(found.kept),
    }
    return [
        Part("Backends", "\n".join(backends), accents=ACCENTS),
        Part("This machine", "\n".join(f"{name:<9} {text}" for name, text in lines.items())),
    ]


def _codes(machine: Processor) -> str:
    if machine.model is None:
        return "the eager way"
    return f"compiled kernels of their own, for {machine.codes}" if machine.codes else "compiled kernels"


def _cache(kept: CacheFolder) -> str:
    if kept.folder is None:
        return f"not used: {kept.why}"
    if not kept.usable:
        return f"{kept.folder}, not used: {kept.why}"
    content = f"{kept.folder}, {kept.files} file{'' if kept.files == 1 else 's'}, {kept.bytes} bytes"
    return f"{content}; {kept.why}" if kept.why else content
