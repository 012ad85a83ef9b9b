"""The display while cells run: progress bars, or plain lines if there is no terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from benchmarks.cli.parts.plan_table import duration
from benchmarks.cli.parts.result_lines import remarks, result_line
from benchmarks.cli.parts.so_far import SoFar
from benchmarks.errors import first_few
from benchmarks.run.display import Display
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.pace import Pace
from benchmarks.visible import visible
from results.schema import Record

REFRESH_S = 0.1
"""Least time between two updates of the steps: drawing costs as much as a small head's step."""
QUIET_S = 30.0
"""Longest time without a line where there is no terminal."""
LANES_SHOWN = 8
_OTHER_ROWS = 5
"""Rows of a terminal that are neither for lanes nor for the table so far."""
_NOTHING: Mapping[str, float | None] = MappingProxyType({})


class _Bars(Progress):
    """Bars, above them the table so far, and below them the number of lanes that have none."""

    unseen = 0
    so_far: SoFar | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        """The table, the bars and the line below."""
        seen = sum(task.visible for task in self.tasks)
        table = self.so_far and self.so_far.table(self.console.height - seen - _OTHER_ROWS)
        if table:
            yield table
        yield from super().get_renderables()
        if self.unseen:
            yield Text(f"and {self.unseen} more", style="dim")


class ProgressDisplay:
    """Bars for the sweep, the cell and the epoch, and a line for every finished cell.

    Use as a context manager around `runner.run`. If several cells run at a time, `lanes` has a
    display for each, with one bar.

    Args:
        console: where to print.
        cells: cells to run.
        before: cells of the sweep that are done already.
        expected: estimated seconds of the cells to run, by their keys.
        known: cells of the sweep that have a record already.
    """

    def __init__(
        self,
        console: Console,
        cells: int,
        before: int,
        expected: Mapping[str, float | None] = _NOTHING,
        known: Iterable[tuple[Cell, Record]] = (),
    ) -> None:
        self._console = console
        self._total = cells + before
        self.done = before
        self._so_far = SoFar()
        for cell, record in known:
            self._so_far.add(cell, record)
        self._left = set(expected)
        self._gone: list[str] = []
        self._pace = Pace(expected)
        self._started = self._said = time.monotonic()
        self._plain = console.is_dumb_terminal or not console.is_terminal
        self._bars = _Bars(
            # Takes the rest of the line, so that a long data set name pushes nothing out.
            TextColumn(
                "{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True)
            ),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            expand=True,
            transient=True,
            disable=self._plain,
        )
        self._bars.so_far = self._so_far
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._reminder: threading.Thread | None = None
        self._noted: set[str] = set()
        self._sweep = self._bars.add_task("sweep", total=self._total, completed=before)
        self._own = _OneLane(self, self._bars)
        self._lanes: list[_Lane] = []

    def __enter__(self) -> ProgressDisplay:
        self._bars.start()
        if self._plain:
            self._over.clear()
            self._said = time.monotonic()
            self._reminder = threading.Thread(target=self._remind, name="progress", daemon=True)
            self._reminder.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._reminder is not None:
            self._reminder.join()
        self._bars.stop()

    def lanes(self, count: int) -> Sequence[Display]:
        """A display for each of `count` workers."""
        if count == 1:
            return [self._own]
        shown = min(count, LANES_SHOWN, max(1, self._console.height - _OTHER_ROWS))
        self._own.hide()
        for lane in self._lanes:
            lane.hide()
        self._lanes = [_Lane(self, self._bars, shown=n < shown) for n in range(count)]
        self._bars.unseen = count - shown
        return self._lanes

    def preparing(self, what: str, done: int = 0, total: int = 0) -> None:
        """Show what is being loaded or computed before a cell starts."""
        idle = next((lane for lane in self._lanes if not lane.text()), self._own)
        idle.preparing(what, done, total)

    def started(self, cell: Cell) -> None:
        """Show that a cell starts."""
        self._own.started(cell)

    def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        """Show that `step` of `steps` is done in epoch `epoch` (from 0) of `epochs`."""
        self._own.stepped(epoch, epochs, step, steps)

    def logged(self, cell: Cell, name: str, epoch: float, value: float) -> None:
        """Show nothing: trackers do."""

    def finished(self, cell: Cell, record: Record) -> None:
        """Print the result of a cell; its record is written."""
        self._own.finished(cell, record)

    # ---- what lanes use ----------------------------------------------------------------------

    def say_preparing(self, what: str) -> None:
        """Print what a lane prepares, unless there are bars or another lane says it, too."""
        with self._lock:
            if self._plain and all(lane.prepares != what for lane in (self._own, *self._lanes)):
                self._say(Text(f"… {what}", style="dim"))

    def say_finished(self, cell: Cell, record: Record) -> None:
        """Count a cell and print its result."""
        with self._lock:  # lanes finish in threads of their own
            self.done += 1
            self._gone.append(cell.key)
            self._left.discard(cell.key)
            self._so_far.add(cell, record)
            self._bars.update(self._sweep, completed=self.done)
            count = Text.assemble((f"{self.done}/{self._total}", "dim"), " ")
            self._say(count + result_line(cell, record))
            for key, line in remarks(cell, record).items():
                if key not in self._noted:  # the tables repeat the notes anyway
                    self._noted.add(key)
                    self._say(Text(line, style="yellow"))

    # ---- parts -------------------------------------------------------------------------------

    def _say(self, line: Text) -> None:
        if self._console.is_terminal:
            self._console.print(line, soft_wrap=True)
        else:  # without a layout, which takes longer than the rest of a small cell's line
            self._console.file.write(f"{visible(line.plain)}\n")
            self._console.file.flush()
        self._said = time.monotonic()

    def _remind(self) -> None:
        """Print a line whenever nothing else was printed for long."""
        while not self._over.wait(max(0.0, self._said + QUIET_S - time.monotonic())):
            with self._lock:
                if time.monotonic() - self._said >= QUIET_S:
                    self._say(Text(self._summary(), style="dim"))

    def _summary(self) -> str:
        """Return a line on the cells that are done and running, and on the time that is left."""
        lanes = self._lanes or [self._own]
        busy = [text for lane in lanes if (text := lane.text())]
        now = time.monotonic()
        begun = {lane.key: now - lane.since for lane in lanes if lane.key in self._left}
        elapsed = now - self._started
        left = self._pace.left(elapsed, self._gone, self._left, len(lanes), begun)
        parts = [f"… {self.done}/{self._total} done"]
        parts += [f"now: {first_few(busy)}"] if busy else []
        parts += [f"about {duration(left)} left"] if left else []
        return "; ".join(parts)


class _Lane:
    """A display of one worker, with one bar for a cell, or none.

    Args:
        whole: the display of all lanes.
        bars: where to draw.
        shown: draw a bar.
    """

    def __init__(self, whole: ProgressDisplay, bars: Progress, *, shown: bool) -> None:
        self._whole = whole
        self._bars = bars
        self._bar = bars.add_task("waiting", total=None, visible=shown)
        self._shown_at = 0.0
        self._work = self._share = self._title = ""
        self.key = ""
        """Key of the cell that was started last."""
        self.since = 0.0
        """Time at which that was."""
        self.prepares = ""
        """Text of its last preparation."""

    def preparing(self, what: str, done: int = 0, total: int = 0) -> None:
        """Show what is being loaded or computed before a cell starts."""
        self._whole.say_preparing(what)
        self.prepares = self._work = what
        self._share = f" ({done}/{total})" if total else ""
        self._bars.update(self._bar, description=what, completed=done, total=total or None)

    def started(self, cell: Cell) -> None:
        """Show that a cell starts."""
        self._work, self._share, self._title = cell.title, "", cell.title
        self.key, self.since = cell.key, time.monotonic()
        self._bars.reset(self._bar, description=cell.title, total=None)

    def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        """Show that `step` of `steps` is done in epoch `epoch` (from 0) of `epochs`."""
        now = time.monotonic()
        if step == steps or now - self._shown_at >= REFRESH_S:
            self._shown_at = now
            if self._work != self._title:  # the cell has prepared something since it started
                self._work = self._title
                self._bars.update(self._bar, description=self._title)
            self._share = f" (epoch {epoch + 1}/{epochs})"
            self._bars.update(self._bar, total=epochs * steps, completed=epoch * steps + step)
            self._epoch(epoch, epochs, step, steps)

    def logged(self, cell: Cell, name: str, epoch: float, value: float) -> None:
        """Show nothing: trackers do."""

    def finished(self, cell: Cell, record: Record) -> None:
        """Print the result of a cell; its record is written."""
        self._work = self._share = self._title = ""
        self._idle()
        self._whole.say_finished(cell, record)

    def text(self) -> str:
        """Return the work in hand; empty if there is none."""
        return self._work + self._share

    def hide(self) -> None:
        """Draw nothing any more."""
        self._bars.update(self._bar, visible=False)

    def _idle(self) -> None:
        self._bars.reset(self._bar, description="waiting", total=None)

    def _epoch(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        """Draw the steps of an epoch."""


class _OneLane(_Lane):
    """The display of a run that works on one cell at a time; the epoch has a bar, too."""

    def __init__(self, whole: ProgressDisplay, bars: Progress) -> None:
        super().__init__(whole, bars, shown=True)
        bars.update(self._bar, description="cell")
        self._epoch_bar = bars.add_task("epoch", total=None)

    def started(self, cell: Cell) -> None:
        """Show that a cell starts."""
        super().started(cell)
        self._bars.reset(self._epoch_bar, description="epoch", total=None)

    def hide(self) -> None:
        """Draw nothing any more."""
        super().hide()
        self._bars.update(self._epoch_bar, visible=False)

    def _idle(self) -> None:
        """Keep what is drawn: the next cell starts at once."""

    def _epoch(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        description = f"epoch {epoch + 1}/{epochs}"
        self._bars.update(self._epoch_bar, description=description, total=steps, completed=step)
