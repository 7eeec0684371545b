"""What works on this machine and why: every backend is tried with two steps on a small tensor."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zerograd
from zerograd import optim
from zerograd.describing.subjects import one_line, traced
from zerograd.engine import admission
from zerograd.formats.plain import FP32
from zerograd.kernels.cpu import cache, inspector, machine, pool
from zerograd.kernels.cpu.kernel import Kernel
from zerograd.kernels.cpu.tiles import coder_name

SIMD = (
    "sse4.2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512vbmi", "avx512vnni",
    "avx512bf16", "avx512fp16", "neon", "fullfp16", "bf16", "sve", "sve2",
)  # fmt: skip
"""The features of processors that decide how fast a kernel is: how many numbers at once, and which formats."""

SIZES = (100, 100_000)
"""Elements of the trials: so few that one thread does them, and enough for all threads."""

NO_KERNELS = "zerograd has no kernels for it yet: PyTorch's foreach operations do the step there"


@dataclass(frozen=True)
class Backend:
    """One way to take a step. works: two steps came out right. expected: whether they should have here."""

    name: str
    works: bool
    expected: bool
    why: str


@dataclass(frozen=True)
class Processor:
    """name: as the system tells it. model: as LLVM calls it, None without LLVM. float16: whether it converts those.
    codes: what states in 8 bits are coded with; None where the compiler chooses."""

    name: str
    model: str | None
    simd: list[str]
    float16: bool
    codes: str | None


@dataclass(frozen=True)
class CacheFolder:
    """Where compiled kernels are kept. why: of a folder that can't be used, or is not there yet."""

    folder: str | None
    usable: bool
    why: str | None
    files: int
    bytes: int


@dataclass(frozen=True)
class Health:
    """All that `zerograd doctor` knows. native: tensors are looked at in machine code before a step."""

    versions: dict[str, str | None]
    processor: Processor
    cores: int | None
    threads: int
    runs_on: str
    native: bool
    native_why: str | None
    backends: list[Backend]
    kept: CacheFolder

    @property
    def ok(self) -> bool:
        """Whether every backend works that should."""
        return all(one.works for one in self.backends if one.expected)

    def as_object(self) -> dict[str, Any]:
        """The same as one object for JSON."""
        found = asdict(self)
        return {
            "ok": self.ok,
            "versions": found["versions"],
            "processor": found["processor"],
            "threads": {"cores": self.cores, "used": self.threads, "runs_on": self.runs_on},
            "backends": {one.pop("name"): one for one in found["backends"]},
            "inspection": {"native": self.native, "why": self.native_why},
            "cache": found["kept"],
        }


def examined(processor_name: str) -> Health:
    """Try everything. processor_name: as the system tells it."""
    backends = [compiled_backend(), eager_backend(), cuda_backend(), mps_backend()]
    why = inspector.native()
    return Health(
        versions=installed(),
        processor=processor(processor_name),
        cores=os.cpu_count(),
        threads=pool.threads(),
        runs_on=pool.description(),
        native=why is None,
        native_why=why,
        backends=backends,
        kept=cache_folder(),  # last: the trial makes it, if it can be made
    )


def installed() -> dict[str, str | None]:
    """The versions of what matters here; None for what is not installed."""
    found: dict[str, str | None] = {
        "zerograd": zerograd.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }
    for name in ("llvmlite", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def processor(name: str) -> Processor:
    """The processor, as LLVM sees it."""
    try:
        features = machine.features().split(",")
        simd = [one for one in SIMD if f"+{one}" in features]
        return Processor(name, machine.processor(), simd, machine.converts_half(), coder_name())
    except machine.CodeError:
        return Processor(name, None, [], False, None)


# --------------------------------------------------------------------------------------------------- the backends


def compiled_backend() -> Backend:
    """The compiled kernels for this processor."""

    def tried() -> str:
        found = traced(optim.AdamW)
        Kernel(found.graph, found.layout(FP32), found.program.prelude.nodes)  # or a CodeError that tells why
        for elements in SIZES:
            close(two_steps("cpu", elements, dense=True), two_steps("cpu", elements, dense=False), "the eager backend")
            right("cpu", elements, dense=True)
        return "two steps of AdamW agree with the eager backend"

    return _tried("compiled", tried)


def eager_backend() -> Backend:
    """PyTorch's operations on lists, on this processor."""

    def tried() -> str:
        for elements in SIZES:
            right("cpu", elements, dense=False)
        return "two steps of AdamW come out right"

    return _tried("eager", tried)


def cuda_backend() -> Backend:
    """A CUDA or ROCm device."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        there = torch.cuda.is_available()
    if there:
        return _tried("cuda", lambda: _on_device("cuda", torch.cuda.get_device_name()))
    built = torch.version.cuda is not None or getattr(torch.version, "hip", None) is not None
    why = "PyTorch sees no device" if built else "this PyTorch is built without CUDA"
    why = "; ".join([why, *(" ".join(str(warning.message).split()) for warning in told)])
    return Backend("cuda", False, False, f"{why}. {NO_KERNELS}")


def mps_backend() -> Backend:
    """The graphics processor of a Mac."""
    if torch.backends.mps.is_available():
        return _tried("mps", lambda: _on_device("mps", "Metal"))
    built = torch.backends.mps.is_built()
    why = "PyTorch sees no device" if built else "this PyTorch is built without MPS"
    return Backend("mps", False, False, f"{why}. {NO_KERNELS}")


def _tried(name: str, trial: Callable[[], str]) -> Backend:
    """What comes of a trial that gives a reason, or raises one."""
    try:
        return Backend(name, True, True, trial())
    except Exception as error:  # a doctor reports, whatever it is
        said = one_line(error)
        kind = "" if isinstance(error, (machine.CodeError, TrialError)) else f"{type(error).__name__}: "
        return Backend(name, False, True, f"{kind}{said}")


def _on_device(device: str, name: str) -> str:
    for elements in SIZES:
        right(device, elements, dense=True)
    return f"{name}: two steps of AdamW come out right. {NO_KERNELS}"


class TrialError(Exception):
    """A step came out wrong, or was not taken by the backend that was meant."""


LR, DECAY = 0.1, 0.01


def two_steps(device: str, elements: int, *, dense: bool) -> Tensor:
    """A parameter after two steps. dense: such as compiled kernels take; else every other element of a larger tensor,
    which has to go the eager way."""
    p = _spread(torch.linspace(-1, 1, elements), dense).to(device).requires_grad_()
    optimizer = optim.AdamW([p], lr=LR, weight_decay=DECAY)
    for _ in range(2):
        p.grad = g = _spread(_gradient(elements), dense).to(device)
        optimizer.step()
    if device == "cpu" and dense != (admission.layout_of(p, g, ()) is not None):
        raise TrialError(f"the gate {'refuses a plain tensor' if dense else 'admits a tensor with gaps'}")
    return p.detach().cpu()


def right(device: str, elements: int, *, dense: bool) -> None:
    """That two steps give what the paper's formula does: with equal gradients Adam moves by lr against their sign."""
    p = torch.linspace(-1, 1, elements)
    for _ in range(2):
        p = p * (1 - LR * DECAY) - LR * _gradient(elements).sign()
    close(two_steps(device, elements, dense=dense), p, "the formula")


def close(found: Tensor, wanted: Tensor, who: str) -> None:
    """That numbers agree as float32 can; TrialError if not. who: the one that they are compared with."""
    if not torch.allclose(found, wanted, rtol=1e-5, atol=1e-6):
        off = float((found - wanted).abs().max())
        raise TrialError(f"two steps of AdamW differ from {who} by up to {off:.3g}")


def _gradient(elements: int) -> Tensor:
    return torch.linspace(1, 2, elements) * torch.tensor([1.0, -1.0]).repeat(elements // 2)


def _spread(values: Tensor, dense: bool) -> Tensor:
    return values if dense else torch.stack([values, values], 1)[:, 0]


# ------------------------------------------------------------------------------------------------------ the cache


def cache_folder() -> CacheFolder:
    """The folder of compiled kernels as it is now."""
    place = cache.place()
    if place is None:
        return CacheFolder(None, False, "this user has no home; set ZEROGRAD_CACHE to a folder", 0, 0)
    if not place.exists():
        usable, why = _could_be_made(place)
        return CacheFolder(str(place), usable, why, 0, 0)
    why_not = cache.refusal(place)
    if why_not is not None:
        return CacheFolder(str(place), False, why_not, 0, 0)
    sizes = [file.stat().st_size for file in place.glob("*.o")]
    readonly = None if os.access(place, os.W_OK) else "it can't be written to: new kernels are not kept"
    return CacheFolder(str(place), True, readonly, len(sizes), sum(sizes))


def _could_be_made(place: Path) -> tuple[bool, str]:
    above = next(one for one in place.parents if one.exists())
    if above.is_dir() and os.access(above, os.W_OK):
        return True, "it is not there yet: the first kernel makes it"
    problem = "can't be written to" if above.is_dir() else "is no folder"
    return False, f"it can't be made: {above} {problem}"
