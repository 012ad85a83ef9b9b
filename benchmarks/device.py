"""Which device a run uses, and what to call it."""

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

if TYPE_CHECKING:  # who only plans a sweep does without it where it can
    import torch


def pick(name: str) -> torch.device:
    """The device of that name; `auto` is CUDA, else MPS, else the CPU.

    Raises:
        UserError: it was asked for by name and is not there.
    """
    import torch

    return torch.device(kind(name))


def kind(name: str) -> str:
    """What `pick` gives, as cuda, mps or cpu; torch is imported only if there may be a choice.

    Raises:
        UserError: it was asked for by name and is not there.
    """
    if name == "cpu" or (name == "auto" and not _may_accelerate()):
        return "cpu"
    import torch

    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, is_there in there.items() if is_there)
    if not there[name]:
        raise UserError(
            f"--device {name}: this machine or this build of torch has none; try --device auto."
        )
    return name


@cache
def _may_accelerate() -> bool:
    """Whether torch might find an accelerator: False only where it cannot.

    Without NVIDIA's driver library a build for CUDA has none, on Linux.
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
    """Whether matrix products in bfloat16 work.

    On a CPU that is tried in a process of its own: some virtual machines announce units that they
    do not let a program use, and the first product kills it.
    """
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "mps":
        return False
    product = "import torch; a = torch.ones(256, 256, dtype=torch.bfloat16); a @ a"
    return subprocess.run([sys.executable, "-c", product], capture_output=True).returncode == 0


def make_deterministic(wanted: bool = True) -> None:
    """Ask torch for algorithms that give the same numbers every time, where there are any.

    Args:
        wanted: or let it take the fastest.
    """
    import torch

    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(wanted, warn_only=True)
    # Nothing here reads memory before it writes it; filling it first was a part of every step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def describe(device: torch.device) -> str:
    """A line about the hardware for a record."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        model = next(
            (x.partition(":")[2].strip() for x in lines if x.startswith("model name")), model
        )
    return f"{model}, {torch.get_num_threads()} threads, {device.type}"


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory: the device's on a GPU since the last reset, the process's on a CPU."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def reset_peak_memory(device: torch.device) -> None:
    """Start counting anew, where the device can."""
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
