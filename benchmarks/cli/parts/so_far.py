"""The table so far, which a terminal shows while cells run."""

from __future__ import annotations

from rich.console import Group
from rich.text import Text

from benchmarks.cli.parts.narrow import Head, NarrowTable
from benchmarks.metrics import metrics_of
from benchmarks.sweep.cell import Cell
from reports.aggregate import summarise
from reports.layout import number
from results.schema import Record

_HEADS_AND_MORE = 3
"""Lines of the table that are not rows of methods."""


class SoFar:
    """Means over the finished runs, of the data set on which a cell has finished last."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str], dict[str, list[Record]]] = {}
        self._last: tuple[str, str] | None = None
        self._drawn: tuple[int, Group | None] | None = None

    def add(self, cell: Cell, record: Record) -> None:
        """Count a finished cell; one without a result changes nothing."""
        if record.metrics is None:
            return
        self._last = (cell.dataset, cell.backbone.name)
        self._runs.setdefault(self._last, {}).setdefault(cell.label, []).append(record)
        self._drawn = None

    def table(self, lines: int) -> Group | None:
        """The table in so many lines of a terminal; None if there is no room, or nothing yet."""
        if self._drawn is None or self._drawn[0] != lines:
            self._drawn = lines, self._table(lines - _HEADS_AND_MORE)
        return self._drawn[1]

    def _table(self, most: int) -> Group | None:
        if self._last is None or most < 1:
            return None
        rows = self._runs[self._last]
        task = next(iter(rows.values()))[0].task
        metrics = [metric for metric in metrics_of(task) if metric.printed]
        title = Text(f"so far: {' / '.join(self._last)}", "dim", no_wrap=True, overflow="ellipsis")
        figures = [
            Head(metric.title_for(task), drop=place and 99 - place, whole=True, justify="right")
            for place, metric in enumerate(metrics)  # the last ones go first
        ]
        runs = Head("runs", drop=1, whole=True, justify="right")
        grid = NarrowTable((Head("method", whole=True), runs, *figures))
        means = {
            label: [summarise(getattr(r.metrics, m.key) for r in runs).mean for m in metrics]
            for label, runs in rows.items()
        }
        best_first = sorted(means, key=lambda label: -(means[label][0] or 0.0))
        for label in best_first[:most]:
            cells = (label, str(len(rows[label])), *map(number, means[label]))
            grid.add(*cells)
        if len(best_first) > most:
            grid.add(Text(f"and {len(best_first) - most} more", style="dim"))
        return Group(title, grid)
