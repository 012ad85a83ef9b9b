"""Intervals of rows and marks that rest on paired tests, both from predictions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from benchmarks.errors import UserError, first_few
from benchmarks.metrics import Metric
from reports.compare.best import not_shown_worse
from reports.compare.comparison import Comparer
from reports.compare.intervals import CONFIDENCE, LEVEL
from reports.compare.parts import compared_metrics
from reports.compare.runs import Read
from reports.notes import caption
from reports.table import Mark, Marks, Row, Table

MOST_ROWS = 100
"""Rows of a table that are tested, those of the best mean over all images."""
MOST_RUNS = 1000
"""Runs of a table whose predictions are read, about 10 ms each with 5,000 test images."""
_NAMED = 20
"""Most rows that a footnote names for one reason."""


def with_predictions(tables: Sequence[Table], read: Read) -> list[Table]:
    """The tables with intervals of their rows, tested marks, and footnotes on both.

    In each compared metric, the row of the best mean and all rows that are not shown to be worse
    (`compare.best`) are marked as best. The same among the other rows are marked as second. A row
    that was not tested is marked only if its mean is the best of all. Tables without predictions
    stay as they are; if no two rows of a table can be tested, its marks do.

    Args:
        tables: of one report.
        read: returns the predictions of a record.
    """
    return [
        _completed(table, Comparer(read, named=tuple(table.named.values()))) for table in tables
    ]


def _completed(table: Table, comparer: Comparer) -> Table:
    untested: dict[str, str] = {}
    intervals = _intervals(table, comparer, untested)
    if not intervals:
        return table
    rows = [row for row in table.rows if row.label in intervals]
    notes = [_interval_note(table, intervals)]
    marks = None
    if len(rows) > 1:
        by_metric = {
            metric.key: _marks(table, metric, rows, comparer, untested)
            for metric in [*compared_metrics(table.task), *table.named.values()]
        }
        marks = Marks(by_metric, LEVEL)
        notes = [*_untested_note(table, untested), *notes]
    found = dataclasses.replace(
        table,
        rows=tuple(
            dataclasses.replace(row, intervals=intervals.get(row.label, {})) for row in table.rows
        ),
        tested=marks,
        footnotes=(*notes, *table.footnotes),
    )
    return dataclasses.replace(found, caption=caption(found))


def _main(table: Table) -> Metric:
    """The main metric of a table, or the first one that is compared if that is not."""
    compared = compared_metrics(table.task)
    return next((metric for metric in compared if metric.key == table.main), compared[0])


def _interval_note(table: Table, intervals: Mapping[str, Intervals]) -> str:
    metric = _main(table)
    level = f"{100 * CONFIDENCE:.0f} % intervals"
    over = "over test images and, where there are several, runs"
    if len(intervals) > _NAMED:
        return f"The CSV file has {level} of the rows {over}."
    shown = "; ".join(
        f"{row.name} {low:.1f} to {high:.1f}"
        for row in table.rows
        if metric.key in intervals.get(row.label, {})
        for low, high in [intervals[row.label][metric.key]]
    )
    return f"{level} of {metric.title_for(table.task)} {over} (others in the CSV file): {shown}."


def _untested_note(table: Table, untested: Mapping[str, str]) -> list[str]:
    names = {row.label: row.name for row in table.rows}
    reasons: dict[str, list[str]] = {}
    for label, reason in untested.items():
        reasons.setdefault(reason, []).append(names[label])
    shown = "; ".join(f"{first_few(who, limit=_NAMED)} ({r})" for r, who in reasons.items())
    return [f"Not tested, and marked only where the mean is best: {shown}."] if shown else []


Intervals = Mapping[str, tuple[float, float]]
"""Metric -> ends of the interval of a row."""


def _intervals(table: Table, comparer: Comparer, untested: dict[str, str]) -> dict[str, Intervals]:
    """Intervals of the rows that can be tested; the others are added to `untested` with a reason.

    One run of a method that draws random numbers says nothing about others: it is left out.
    """
    main = _main(table)
    finished = [row for row in table.rows if row.values["overall"].mean is not None]
    finished.sort(key=lambda row: _score(row, main), reverse=True)
    found: dict[str, Intervals] = {}
    runs = 0
    for row in finished:
        if len(row.done) == 1 and not row.fixed:
            untested[row.label] = "one run"
            continue
        runs += len(row.done)
        if len(found) == MOST_ROWS or (runs > MOST_RUNS and len(found) > 1):
            runs = MOST_RUNS  # the rows behind it are left out, too
            untested[row.label] = f"not among the {len(found)} best rows that can be tested"
            continue
        try:
            own = comparer.row(table, row)
            found[row.label] = {metric: (i.low, i.high) for metric, i in own.items()}
        except UserError:
            untested[row.label] = "no readable predictions of the same images"
    return found


def _marks(
    table: Table, metric: Metric, rows: Sequence[Row], comparer: Comparer, untested: dict[str, str]
) -> tuple[Mark | None, ...]:
    """The marks of a column, in the order of all rows of the table."""

    def p_worse(one: str, best: str) -> float:
        try:
            interval = comparer.interval(table, by_label[one], by_label[best], metric.key)
        except UserError:
            interval = None
        if interval is None:
            untested.setdefault(one, "no runs to pair with those of the best row")
            return 0.0
        return interval.p_less() if metric.higher_is_better else interval.p_greater()

    by_label = {row.label: row for row in rows}
    scores = {row.label: _score(row, metric) for row in rows}
    scores = {label: score for label, score in scores.items() if score > -math.inf}
    best = not_shown_worse(scores, p_worse) if scores else set()
    rest = {one: score for one, score in scores.items() if one not in best | untested.keys()}
    second = not_shown_worse(rest, p_worse) if rest else set()
    highest = max(_score(row, metric) for row in table.rows)
    found: list[Mark | None] = []
    for row in table.rows:
        alone = row.label not in scores and _score(row, metric) == highest > -math.inf
        found.append(
            "best" if row.label in best or alone else "second" if row.label in second else None
        )
    return tuple(found)


def _score(row: Row, metric: Metric) -> float:
    """The row's mean, negated if lower values are better; minus infinity if there is none."""
    mean = row.values[metric.key].mean
    if mean is None:
        return -math.inf
    return mean if metric.higher_is_better else -mean
