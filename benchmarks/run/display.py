"""Interface through which a run reports its progress; `cli.parts.progress` implements it."""

from __future__ import annotations

from collections.abc import Sequence
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

    def logged(self, cell: Cell, name: str, epoch: float, value: float) -> None:
        """A number of a curve is known; only of runs with trackers (`RunOptions.live`)."""
        ...

    def finished(self, cell: Cell, record: Record) -> None: ...


class SweepDisplay(Display, Protocol):
    """Receiver of the progress of a run that may work on several units at a time."""

    def lanes(self, count: int) -> Sequence[Display]:
        """Return a display for each of several places; threads may use them side by side."""
        ...


class Silent:
    """A display that shows nothing."""

    def preparing(self, what: str, done: int = 0, total: int = 0) -> None:
        """Show nothing."""

    def started(self, cell: Cell) -> None:
        """Show nothing."""

    def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        """Show nothing."""

    def logged(self, cell: Cell, name: str, epoch: float, value: float) -> None:
        """Show nothing."""

    def finished(self, cell: Cell, record: Record) -> None:
        """Show nothing."""

    def lanes(self, count: int) -> Sequence[Display]:
        """Return this display for each place."""
        return [self] * count
