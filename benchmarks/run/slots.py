"""Places on this machine where units of work run side by side, and the memory that they share."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.errors import UserError, counted
from benchmarks.limits import free_memory, processors, visible_processors
from benchmarks.sweep.memory_needs import Memory
from benchmarks.sweep.settings import Sweep

SHARE = 0.9
"""Part of the free memory that units may be expected to fill."""
VISIBLE = "CUDA_VISIBLE_DEVICES"

_log = logging.getLogger(__name__)


class Pool:
    """Memory that the units of several places share.

    Args:
        size: bytes.
    """

    def __init__(self, size: float) -> None:
        self._size = size
        self._used: list[float] = []

    @property
    def used(self) -> float:
        """Bytes that the units which run are expected to need."""
        return sum(self._used)

    def fits(self, needed: float) -> bool:
        """Return True if a unit fits beside those that run; one alone always does."""
        return not self._used or self.used + needed <= self._size

    def take(self, needed: float) -> None:
        """Count a unit that starts."""
        self._used.append(needed)

    def give_back(self, needed: float) -> None:
        """Count a unit that has ended."""
        self._used.remove(needed)


@dataclass(frozen=True)
class Slot:
    """A place that runs one unit at a time."""

    host: Pool
    """Main memory."""
    gpu: Pool | None = None
    threads: int | None = None
    """Threads of its process; None leaves the choice to torch."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that its process has before it imports torch."""

    def fits(self, need: Memory) -> bool:
        """Return True if a unit fits here beside the units that run."""
        return self.host.fits(need.host) and (self.gpu is None or self.gpu.fits(need.gpu))

    def take(self, need: Memory) -> None:
        """Count a unit that starts here."""
        self.host.take(need.host)
        if self.gpu is not None:
            self.gpu.take(need.gpu)

    def give_back(self, need: Memory) -> None:
        """Count a unit that has ended here."""
        self.host.give_back(need.host)
        if self.gpu is not None:
            self.gpu.give_back(need.gpu)


def slots_of(sweep: Sweep) -> list[Slot]:
    """Return the places that `--jobs` or `--gpus` ask for.

    Raises:
        UserError: a GPU that this machine does not have.
    """
    host = Pool(SHARE * free_memory())
    if sweep.gpus:
        gpus = _gpus(sweep.gpus)
        threads = _threads(len(gpus) * sweep.per_gpu)
        pools = {name: Pool(SHARE * size) for name, size in gpus.items()}
        # One place on each GPU before the second place on any.
        return [
            Slot(host, pools[name], threads, {VISIBLE: name})
            for _ in range(sweep.per_gpu)
            for name in gpus
        ]
    jobs = processors() if sweep.jobs == "auto" else int(sweep.jobs or 1)
    return [Slot(host, threads=_threads(jobs)) for _ in range(jobs)]


def _threads(places: int) -> int | None:
    """Return the threads of each place; None leaves one alone to torch, which sees all cores."""
    chosen, here = chosen_threads(), processors()
    if places == 1 and here >= visible_processors():
        return None
    if chosen and chosen > 1 and chosen * places > here:
        _log.warning(
            "%d processes of %d threads each (OMP_NUM_THREADS) share %s: fewer threads are faster.",
            places,
            chosen,
            counted(here, "core"),
        )
    return chosen or max(1, here // places)


def chosen_threads() -> int | None:
    """Return the number of threads that the user's environment chooses for a process, if any."""
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    return int(chosen) if chosen.isdecimal() and int(chosen) else None


def _gpus(wanted: str) -> dict[str, float]:
    """Return the wanted GPUs, as CUDA_VISIBLE_DEVICES names them, with their memory in bytes.

    Numbers count the GPUs that this process can see.
    """
    seen = visible_gpus()
    if wanted == "auto":
        if not seen:
            raise UserError("--gpus auto: no GPU is visible here; --jobs N runs on the processor.")
        return dict(seen)
    numbers = [int(number) for number in wanted.split(",")]
    for number in numbers:
        if number >= len(seen):
            has = f"{counted(len(seen), 'GPU')}, numbered from 0" if seen else "no GPU"
            raise UserError(f"--gpus {wanted}: there is no GPU {number}; this machine has {has}.")
    return dict(seen[number] for number in dict.fromkeys(numbers))


def visible_gpus() -> list[tuple[str, float]]:
    """Return the name (number or UUID) and the free bytes of each GPU that CUDA would show.

    nvidia-smi tells, so that this process does not occupy a GPU itself.
    """
    query = ["nvidia-smi", "--query-gpu=index,uuid,memory.free", "--format=csv,noheader,nounits"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=60, check=True)
        rows = [line.split(", ") for line in found.stdout.splitlines()]
        free = {name: float(row[2]) * 2**20 for row in rows for name in row[:2]}
        every = [row[0] for row in rows]
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return []
    chosen = os.environ.get(VISIBLE)
    names = every if chosen is None else [name.strip() for name in chosen.split(",")]
    seen = []
    for name in names:
        # CUDA accepts the beginning of a UUID, and ignores everything after an unknown name.
        match = name if name in free else next((n for n in free if name and n.startswith(name)), "")
        if not match or name == "-1":
            break
        seen.append((name, free[match]))
    return seen
