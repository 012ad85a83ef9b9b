"""A display that tells trackers what it is told."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.run.display import Display, SweepDisplay
from benchmarks.run.tracking.base import TrackedCell
from benchmarks.run.tracking.trackers import Trackers
from benchmarks.sweep.cell import Cell
from results.schema import Record


class _Beside:
    """A display that passes on what it is told, with trackers beside it.

    Args:
        shown: the display.
        trackers: of the run.
    """

    def __init__(self, shown: Display, trackers: Trackers) -> None:
        self._shown = shown
        self._trackers = trackers

    def preparing(self, what: str, done: int = 0, total: int = 0) -> None:
        """See `Display.preparing`."""
        self._shown.preparing(what, done, total)

    def started(self, cell: Cell) -> None:
        """See `Display.started`."""
        self._shown.started(cell)

    def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        """See `Display.stepped`."""
        self._shown.stepped(epoch, epochs, step, steps)

    def logged(self, cell: Cell, name: str, epoch: float, value: float) -> None:
        """See `Display.logged`."""
        self._shown.logged(cell, name, epoch, value)

    def finished(self, cell: Cell, record: Record) -> None:
        """See `Display.finished`."""
        self._shown.finished(cell, record)


class _Tracked(_Beside):
    """A display of a place, which tells trackers what it is told."""

    def __init__(self, shown: Display, trackers: Trackers) -> None:
        super().__init__(shown, trackers)
        self._begun: set[str] = set()

    def started(self, cell: Cell) -> None:
        """Begin the cell."""
        super().started(cell)
        self._begin(cell)

    def logged(self, cell: Cell, name: str, epoch: float, value: float) -> None:
        """Pass the number on."""
        super().logged(cell, name, epoch, value)
        self._trackers.log(cell.key, name, epoch, value)

    def finished(self, cell: Cell, record: Record) -> None:
        """End the cell; one whose process ended before it started begins first."""
        super().finished(cell, record)
        if cell.key not in self._begun and record.status == "failed":
            self._begin(cell)
        if cell.key in self._begun:
            self._begun.discard(cell.key)
            self._trackers.end(cell.key, record.to_json())

    def _begin(self, cell: Cell) -> None:
        self._begun.add(cell.key)
        self._trackers.begin(TrackedCell.of(cell))


class TrackedDisplay(_Beside):
    """The display of a run, with trackers beside the display of each place.

    Cells that another run in the folder has done reach this display and no place: that run tracks
    them.
    """

    _shown: SweepDisplay

    def __init__(self, shown: SweepDisplay, trackers: Trackers) -> None:
        super().__init__(shown, trackers)

    def lanes(self, count: int) -> Sequence[Display]:
        """Return a tracked display for each place."""
        return [_Tracked(display, self._trackers) for display in self._shown.lanes(count)]
