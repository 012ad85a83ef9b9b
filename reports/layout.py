"""Parts shared by all formats: columns, marks, cells and the notation of numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.metrics import METRICS, Metric, metrics_of
from reports.notes import INCOMPLETE, STALE
from reports.table import Mark, Row, Summary, Table

NONE = "–"
"""Printed where a value does not exist: an empty group, the ± of a single run."""


@dataclass(frozen=True)
class Column:
    """A column of the printed tables."""

    key: str
    """Name in `Row.values`."""
    title: str
    size: str = ""
    """Number of classes, or "" if the column is not a group."""

    @property
    def head(self) -> str:
        """Title and size on one line."""
        return f"{self.title} ({self.size})" if self.size else self.title


def column(table: Table, metric: Metric) -> Column:
    """The column of a metric in a table."""
    size = table.sizes[metric.group] if metric.group else ""
    return Column(metric.key, metric.title_for(table.task), size)


def columns(table: Table) -> list[Column]:
    """The columns of the metrics that are printed."""
    return [column(table, metric) for metric in metrics_of(table.task) if metric.printed]


COST_COLUMNS = (Column("trainable_params", "params"), Column("fit_s", "fit"))


def marks(table: Table, key: str) -> list[Mark | None]:
    """The mark of each row for the best or second-best mean of a metric, or None.

    The marks are those of `table.tested`. Without tests the order is that of the unrounded means,
    but rows that print the same number share a mark: a reader could not see why one of two equal
    numbers is bold. A single value gets no mark.
    """
    if table.tested is not None and key in table.tested.by_metric:
        return list(table.tested.by_metric[key])
    means = [row.values[key].mean for row in table.rows]
    highest_first = METRICS[key].higher_is_better
    present = sorted((mean for mean in means if mean is not None), reverse=highest_first)
    if len(present) < 2:
        return [None] * len(means)
    shown = list(dict.fromkeys(number(mean) for mean in present))
    names: dict[str, Mark] = {shown[0]: "best"}
    if len(shown) > 1:
        names[shown[1]] = "second"
    return [None if mean is None else names.get(number(mean)) for mean in means]


def legend(table: Table, bold: str, underlined: str) -> str:
    """The meaning of the marks, without characters that a format would have to escape.

    Args:
        table: whose marks they are.
        bold: the word "bold", as the format prints what is best.
        underlined: the word "underlined".
    """
    if table.tested is None:
        return f"Best in {bold}, second {underlined}; not tested, so the order may be chance."
    return (
        f"In {bold}: the rows of a column that may be the best, by paired tests against the best "
        f"mean (the truly best row is among them with a probability of {1 - table.tested.level:g}, "
        f"but others without a mark may be as good); {underlined}: the same among the other rows."
    )


Write = Callable[[str], str]


def body(
    table: Table, label: Write, text: Write, value: Callable[[Summary, Mark | None], str]
) -> list[list[str]]:
    """The cells of each row in a markup language.

    Args:
        table: what to write.
        label: escapes a row's label.
        text: escapes any other text.
        value: writes a metric with its mark.
    """
    rows = [[f"{label(row.label)} {text(flags(row))}".rstrip()] for row in table.rows]
    for column in columns(table):
        for cells, row, mark in zip(rows, table.rows, marks(table, column.key), strict=True):
            cells.append(value(row.values[column.key], mark))
    for column in COST_COLUMNS:
        for cells, row in zip(rows, table.rows, strict=True):
            cells.append(text(cost(column.key, row.values[column.key])))
    return rows


def number(value: float | None) -> str:
    """A percentage with one decimal."""
    return NONE if value is None else f"{value:.1f}"


def mean_std(summary: Summary) -> tuple[str, str | None]:
    """Mean and standard deviation as printed; the latter is None if there is no mean either."""
    if summary.mean is None:
        return NONE, None
    return number(summary.mean), number(summary.std)


def cost(key: str, summary: Summary) -> str:
    """The mean of a cost in a few characters: "1.2M" parameters, "3.4 min"."""
    if summary.mean is None:
        return NONE
    return _duration(summary.mean) if key.endswith("_s") else _count(summary.mean)


def _count(value: float) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * size:
            scaled = value / size
            return f"{scaled:.1f}{unit}" if scaled < 99.95 else f"{scaled:.0f}{unit}"
    return f"{value:.0f}"


def _duration(seconds: float) -> str:
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    if seconds < 3597:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def flags(row: Row) -> str:
    """Signs after a row's label that point to footnotes."""
    return (STALE if row.stale else "") + (INCOMPLETE if row.failed else "")
