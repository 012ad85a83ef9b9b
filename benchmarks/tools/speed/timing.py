"""Times that can be compared even on a machine that does other work.

Contenders take turns, so that all meet the same disturbances; the fastest turn of each counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Row:
    """One measurement."""

    name: str
    seconds: float
    bound_seconds: float | None
    """Lower bound on the time, or the time of the reference; measured in the same run."""
    note: str
    """Description of the measurement and of the bound."""

    @property
    def ratio(self) -> float | None:
        """`seconds` divided by `bound_seconds`."""
        return None if self.bound_seconds is None else self.seconds / self.bound_seconds

    def as_dict(self) -> dict[str, str | float | None]:
        """Return the row as a dictionary for JSON."""
        return {
            "name": self.name,
            "seconds": self.seconds,
            "bound_seconds": self.bound_seconds,
            "ratio": self.ratio,
            "note": self.note,
        }


def fastest(
    contenders: Mapping[str, Callable[[], object]],
    device: torch.device,
    *,
    turns: int = 5,
) -> dict[str, float]:
    """Return the seconds of the fastest turn of each contender, after one warm-up turn.

    Args:
        contenders: functions to time, by name.
        device: synchronised after every turn.
        turns: number of runs of each contender.
    """
    best = dict.fromkeys(contenders, float("inf"))
    for turn in range(turns + 1):
        for name, run in contenders.items():
            clock = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds = time.perf_counter() - clock
            if turn:
                best[name] = min(best[name], seconds)
    return best
