"""Device of a run: its choice, its capabilities and its description."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import resource
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.errors import UserError

if TYPE_CHECKING:  # slow to import; planning a sweep avoids it if possible
    import torch


def pick(name: str) -> torch.device:
    """The device called `name`; `auto` is CUDA if present, otherwise MPS, otherwise the CPU.

    Raises:
        UserError: the named device is not available.
    """
    import torch

    return torch.device(kind(name))


def kind(name: str) -> str:
    """The kind of device that `pick` returns: cuda, mps or cpu.

    Torch is imported only if there may be an accelerator.

    Raises:
        UserError: the named device is not available.
    """
    if name == "cpu" or (name == "auto" and not _may_accelerate()):
        return "cpu"
    import torch

    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, is_available in available.items() if is_available)
    if not available[name]:
        raise UserError(
            f"--device {name}: not available on this machine or in this build of torch; "
            "try --device auto."
        )
    return name


@cache
def _may_accelerate() -> bool:
    """True unless torch certainly finds no accelerator.

    On Linux, a CUDA build finds none without NVIDIA's driver library.
    """
    spec = find_spec("torch")  # does not import it
    if sys.platform != "linux" or spec is None or spec.origin is None:
        return True
    try:
        version = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return True
    if re.search(r"^(hip|xpu)\b.*= '", version, re.MULTILINE):
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def has_bf16(device: torch.device) -> bool:
    """True if matrix products in bfloat16 work."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "mps":
        return False
    return _cpu_has_bf16()


@cache
def _cpu_has_bf16() -> bool:
    """True if this processor multiplies matrices in bfloat16.

    A separate process tries: some virtual machines report instructions that they do not support,
    and the first product then kills the process.
    """
    product = "import torch; a = torch.ones(256, 256, dtype=torch.bfloat16); a @ a"
    return subprocess.run([sys.executable, "-c", product], capture_output=True).returncode == 0


def make_deterministic(wanted: bool = True) -> None:
    """Make torch use deterministic algorithms where they exist.

    Args:
        wanted: if False, let torch use the fastest algorithms instead.
    """
    import torch

    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(wanted, warn_only=True)
    # No code here reads uninitialised memory, and filling it took time in every step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def describe(device: torch.device) -> str:
    """One line that describes the hardware, for a record."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads, {device.type}"


@cache
def _processor() -> str:
    """The name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MiB: of the device since the last reset on a GPU, of the process on a CPU."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def reset_peak_memory(device: torch.device) -> None:
    """Reset the peak of a GPU; the peak of a process cannot be reset."""
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
