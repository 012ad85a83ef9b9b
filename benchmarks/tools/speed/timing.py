"""Times that can be compared on a machine that is busy with other things as well.

What is to be compared runs in turns, so that all of it meets the same disturbances, and of every
one the fastest turn counts.
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
    """The least time it could take, or the time of what it is compared with; measured in the same
    run."""
    note: str
    """What was measured, and what the bound counts."""

    @property
    def ratio(self) -> float | None:
        """`seconds` over `bound_seconds`."""
        return None if self.bound_seconds is None else self.seconds / self.bound_seconds

    def as_dict(self) -> dict[str, str | float | None]:
        """For JSON."""
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
    """Seconds of the fastest turn of each, after one turn that does not count.

    Args:
        contenders: what to time, by name.
        device: waited for after every turn.
        turns: how often each one runs.
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
