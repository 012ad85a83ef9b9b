"""A display for measured runs."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.sweep.cell import Cell
from results.schema import Record


class Silent:
    """A display that shows nothing."""

    def preparing(self, what: str, done: int = 0, total: int = 0) -> None: ...

    def started(self, cell: Cell) -> None: ...

    def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None: ...

    def finished(self, cell: Cell, record: Record) -> None: ...

    def lanes(self, count: int) -> Sequence[Silent]:
        """Return this display for each of the workers."""
        return [self] * count
