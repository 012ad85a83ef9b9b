"""Interface through which a run reports its progress; `cli.parts.progress` implements it."""

from __future__ import annotations

from typing import Protocol

from benchmarks.sweep.cell import Cell
from results.schema import Record


class Display(Protocol):
    """Receiver of the progress of a run."""

    def preparing(self, what: str, done: int = 0, total: int = 0) -> None:
        """Work that cells share is under way."""
        ...

    def started(self, cell: Cell) -> None: ...

    def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None: ...

    def finished(self, cell: Cell, record: Record) -> None: ...
