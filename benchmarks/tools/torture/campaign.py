"""Orders to a campaign and its tally."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

Case = TypeVar("Case")


@dataclass(frozen=True)
class Order:
    """Wishes of the command line."""

    seed: int
    count: int
    """Number of cases."""
    folder: Path
    """Exists; the campaign works here only."""
    only: str | None = None
    """Name of a single case to repeat."""
    jobs: int = 1
    """Cases at a time."""

    def random(self, case: object) -> random.Random:
        """Random numbers of a case, which depend on the seed and the case's name alone."""
        return random.Random(f"{self.seed}/{case}")


@dataclass
class Tally:
    """Outcomes of a campaign by class, and its faults. Threads may share it."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, outcome: str, times: int = 1) -> None:
        """Count an outcome."""
        with self._lock:
            self.counts[outcome] += times

    def fault(self, case: str, text: str) -> None:
        """Note what went wrong in a case."""
        with self._lock:
            self.faults.append(f"{case}: {text}")
            print(f"FAULT {case}: {text}", file=sys.stderr, flush=True)


def for_each(
    cases: Sequence[Case],
    do: Callable[[Case], None],
    tally: Tally,
    jobs: int = 1,
    name: Callable[[Case], str] = str,
) -> None:
    """Run the cases, `jobs` at a time; a case that raises is a fault of its own."""
    done = 0

    def one(case: Case) -> None:
        nonlocal done
        try:
            do(case)
        except Exception as error:
            tally.fault(name(case), f"the campaign itself failed: {type(error).__name__}: {error}")
        done += 1
        print(f"{done}/{len(cases)} {name(case)}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, cases))
