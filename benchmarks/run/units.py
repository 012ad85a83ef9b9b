"""Units of work: cells that are fitted together, and what they are expected to need."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from benchmarks.run.batched_fits import batches
from benchmarks.run.worker import shared
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.estimate import Estimator
from benchmarks.sweep.memory_needs import NOTHING, Memory, MemoryNeeds

PIECES = 3
"""Units of average length that a place should get: with fewer, some places wait at the end."""
SHORTEST_PIECE_S = 2.0
"""Seconds below which cells that can be fitted together are not separated."""


@dataclass(frozen=True)
class Unit:
    """Cells that are fitted together."""

    cells: tuple[Cell, ...]
    seconds: float
    """Expected time; 0 if nothing is known."""
    memory: Memory
    """Expected peak."""

    @property
    def bench(self) -> Hashable:
        """Data and backbone, which units with equal values share."""
        return shared(self.cells[0])


class Units:
    """Makes the units of a run.

    Args:
        time: estimates of the time; without them, no batch is divided.
        memory: estimates of the memory; without them, all units fit beside each other.
    """

    def __init__(self, time: Estimator | None = None, memory: MemoryNeeds | None = None) -> None:
        self._time = time
        self._memory = memory

    def of(self, cells: Sequence[Cell], places: int = 1) -> list[Unit]:
        """Return the units of cells, in their order.

        Args:
            cells: cells of a plan.
            places: units that run at a time. If there are several, long batches are divided: their
                numbers do not depend on the cells that are fitted with them.
        """
        found = [b for _, group in groupby(cells, key=shared) for b in batches(list(group))]
        if places > 1:
            longest = math.fsum(map(self._seconds, found)) / (PIECES * places)
            found = [piece for batch in found for piece in self._divided(batch, longest)]
        return [Unit(tuple(batch), self._seconds(batch), self._needed(batch)) for batch in found]

    def _needed(self, cells: Sequence[Cell]) -> Memory:
        return NOTHING if self._memory is None else self._memory.together(cells)

    def _seconds(self, cells: Sequence[Cell]) -> float:
        if self._time is None:
            return 0.0
        return math.fsum(self._time.cell(cell).seconds or 0.0 for cell in cells)

    def _divided(self, batch: list[Cell], longest: float) -> Iterator[list[Cell]]:
        seconds = self._seconds(batch)
        pieces = math.ceil(seconds / max(longest, SHORTEST_PIECE_S))
        size = math.ceil(len(batch) / max(pieces, 1))
        yield from (batch[i : i + size] for i in range(0, len(batch), size))
