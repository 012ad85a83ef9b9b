"""The display while cells run: progress bars, or plain lines if there is no terminal."""

from __future__ import annotations

import time

from rich.console import Console
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

from benchmarks.datasets.files.resized import InFiles
from benchmarks.sweep.cell import Cell
from results.schema import Cost, Record

WAITING_SHARE = 0.05
"""Share of training spent waiting for images above which the display suggests a remedy."""
WAITING_S = 10.0
"""Seconds below which it does not: a short run always waits for its first batch."""
REFRESH_S = 0.1
"""Least time between two updates of the steps: drawing costs as much as a small head's step."""


class ProgressDisplay:
    """Bars for the sweep, the cell and the epoch, and a line for every finished cell.

    Use as a context manager around `runner.run`.

    Args:
        console: where to print.
        cells: cells to run.
        before: cells of the sweep that are done already.
    """

    def __init__(self, console: Console, cells: int, before: int) -> None:
        self._console = console
        self._total = cells + before
        self.done = before
        self._started = time.monotonic()
        self._progress = Progress(
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
            disable=not console.is_terminal,
        )
        self._sweep = self._progress.add_task("sweep", total=self._total, completed=before)
        self._cell = self._progress.add_task("cell", total=None)
        self._epoch = self._progress.add_task("epoch", total=None)
        self._last_preparing = ""
        self._shown = 0.0
        self._noted: set[str] = set()

    def __enter__(self) -> ProgressDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def preparing(self, what: str, done: int = 0, total: int = 0) -> None:
        """Show what is being loaded or computed before a cell starts."""
        self._progress.update(self._cell, description=what, completed=done, total=total or None)
        if not self._console.is_terminal and what != self._last_preparing:
            self._console.print(Text(f"… {what}", style="dim"), soft_wrap=True)
        self._last_preparing = what

    def started(self, cell: Cell) -> None:
        """Show that a cell starts."""
        self._progress.reset(self._cell, description=cell.title, total=None)
        self._progress.reset(self._epoch, description="epoch", total=None)

    def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        """Show that `step` of `steps` is done in epoch `epoch` (from 0) of `epochs`."""
        now = time.monotonic()
        if step < steps and now - self._shown < REFRESH_S:
            return
        self._shown = now
        self._progress.update(self._cell, total=epochs * steps, completed=epoch * steps + step)
        self._progress.update(
            self._epoch, description=f"epoch {epoch + 1}/{epochs}", total=steps, completed=step
        )

    def finished(self, cell: Cell, record: Record) -> None:
        """Print the result of a cell; its record is written."""
        self.done += 1
        self._progress.update(self._sweep, completed=self.done)
        line = Text.assemble((f"{self.done}/{self._total}", "dim"), f" {cell.title}  ")
        if record.metrics is None or record.cost is None:
            colour = "yellow" if record.status == "not_applicable" else "red"
            status = record.status.replace("_", " ")
            line.append(status, colour).append(f": {record.error or ''}")
        else:
            m = record.metrics
            groups = " ".join(
                f"{group} {value:.1f}"
                for group, value in (("many", m.many), ("medium", m.medium), ("few", m.few))
                if value is not None
            )
            seconds = record.cost.fit_s + record.cost.eval_s
            what = "mAP " if record.task == "multi" else ""
            share = data_wait(record.cost)
            waited = "" if share is None else f", data wait {share:.1%}".replace("%", " %")
            line.append(f"{what}{m.overall:.1f} % ")
            line.append(f"({groups}) {seconds:.1f} s{waited}", "dim")
        self._console.print(line, soft_wrap=True)
        for note in record.notes:
            self._once(note, f"    note: {note}")
        if record.cost is not None and _waits_long(record.cost):
            self._once(f"data wait {cell.dataset}", f"    {waiting_advice(cell, record.cost)}")

    def _once(self, key: str, line: str) -> None:
        """Print a line the first time its key occurs; the tables repeat the notes anyway."""
        if key not in self._noted:
            self._noted.add(key)
            self._console.print(line, style="yellow", highlight=False, markup=False)


def data_wait(cost: Cost) -> float | None:
    """Share of training spent waiting for images; None for methods that read none."""
    return None if cost.data_wait_s is None or not cost.fit_s else cost.data_wait_s / cost.fit_s


def _waits_long(cost: Cost) -> bool:
    return (data_wait(cost) or 0) > WAITING_SHARE and (cost.data_wait_s or 0) > WAITING_S


def waiting_advice(cell: Cell, cost: Cost) -> str:
    """A line that says how to shorten the wait for images."""
    waited = cost.data_wait_s or 0.0
    rate = cost.images_seen / cost.fit_s
    possible = cost.images_seen / max(cost.fit_s - waited, 1e-9)
    line = f"images arrive at {rate:.0f} a second, training could use {possible:.0f}: "
    field = f"{cell.family.name}.cache_images"
    if isinstance(cell.family, InFiles) and not cell.family.cache_images:
        return f"{line}more CPU cores help, or --set {field}=256 (resizes them once, on disk)"
    return f"{line}more CPU cores help"
