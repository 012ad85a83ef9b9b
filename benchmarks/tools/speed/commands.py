"""Command lines of the suite in processes of their own, with their times and their memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.cache import ENVIRONMENT_VARIABLE

ROOT = Path(__file__).resolve().parents[3]
_LOOK_S = 0.05
"""Seconds between two looks at a process; the last one is at most as old as this."""


@dataclass(frozen=True)
class Ended:
    """A process that has ended well."""

    seconds: float
    memory_mb: float | None
    """Peak memory of the process itself, without its children; None where Linux does not say."""
    processor_s: float | None
    """Processor time of the process itself, without its children; None where Linux does not say."""

    @property
    def memory(self) -> str:
        """The peak in words, for notes."""
        return "" if self.memory_mb is None else f", {self.memory_mb:.0f} MB at most"


def suite(
    *words: str, turns: int = 1, cache: Path | None = None, threads: int | None = None
) -> Ended:
    """Run a command line of the suite, and return the fastest turn.

    Args:
        words: the verb and its flags.
        turns: number of runs.
        cache: folder for features and data, instead of the user's.
        threads: threads of each process, by default as the suite chooses.
    """
    environment = dict(os.environ)
    if cache is not None:
        environment[ENVIRONMENT_VARIABLE] = str(cache)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    line = [sys.executable, str(ROOT / "run_benchmarks.py"), *words]
    return process(line, turns=turns, environment=environment)


def process(line: list[str], *, turns: int = 1, environment: dict[str, str] | None = None) -> Ended:
    """Run a command line, and return the fastest turn.

    Raises:
        RuntimeError: it failed.
    """
    return min((_once(line, environment) for _ in range(turns)), key=lambda ended: ended.seconds)


@cache
def has_flag(verb: str, flag: str) -> bool:
    """Return True if a verb of the suite takes a flag."""
    shown = subprocess.run(
        [sys.executable, str(ROOT / "run_benchmarks.py"), verb, "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return re.search(rf"{re.escape(flag)}\b", shown) is not None


def _once(line: list[str], environment: dict[str, str] | None) -> Ended:
    # Files, not pipes: nothing else would read them while this process waits.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        clock = time.perf_counter()
        child = subprocess.Popen(line, cwd=ROOT, stdout=out, stderr=errors, env=environment)
        looks = _Looks(child.pid)
        try:
            status = child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
        seconds = time.perf_counter() - clock
        if status:
            errors.seek(0)
            raise RuntimeError(f"{' '.join(line[1:])[:200]}: {errors.read()[-500:].decode()}")
    return Ended(seconds, *looks.seen())


class _Looks:
    """Looks at the memory and the processor time of a process until it has ended."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        self._peak: float | None = None
        self._seconds: float | None = None
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def seen(self) -> tuple[float | None, float | None]:
        """Return the peak in MB and the seconds, once the process has ended."""
        self._thread.join()
        return self._peak, self._seconds

    def _look(self) -> None:
        try:
            tick = os.sysconf("SC_CLK_TCK")
            while found := re.search(r"VmHWM:\s+(\d+) kB", (self._folder / "status").read_text()):
                self._peak = int(found[1]) / 1000
                # After the name, which may have spaces, utime and stime are the 12th and 13th.
                fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
                self._seconds = (int(fields[11]) + int(fields[12])) / tick
                time.sleep(_LOOK_S)
        except OSError:
            return
