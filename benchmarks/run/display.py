"""Interface through which a run reports its progress; `cli.parts.progress` implements it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from benchmarks.sweep.cell import Cell
from results.schema import Record


class Display(Protocol):
    """Receiver of the progress of cells that run one after the other."""

    def preparing(self, what: str, done: int = 0, total: int = 0) -> None:
        """Work that cells share is under way."""
        ...

    def started(self, cell: Cell) -> None: ...

    def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None: ...

    def finished(self, cell: Cell, record: Record) -> None: ...


class SweepDisplay(Display, Protocol):
    """Receiver of the progress of a run that may work on several cells at a time."""

    def lanes(self, count: int) -> Sequence[Display]:
        """Return a display for each of the workers; each may be used in a thread of its own."""
        ...
