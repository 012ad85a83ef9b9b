"""Parts shared by all formats: columns, marks, cells and the notation of numbers."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.metrics import Metric
from reports.columns import COSTS, shown_keys
from reports.notes import INCOMPLETE, STALE
from reports.table import Mark, Row, Summary, Table

NONE = "–"
"""Printed where a value does not exist, such as that of an empty group."""


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


@dataclass(frozen=True)
class Cell:
    """A printed value."""

    value: str
    after: str = ""
    """Text behind it: its standard deviation ("± 0.4") or its interval ("(±1.2)")."""
    mark: Mark | None = None

    @property
    def text(self) -> str:
        """Value and deviation on one line."""
        return f"{self.value} {self.after}".rstrip()


def column(table: Table, metric: Metric) -> Column:
    """The column of a metric in a table."""
    size = table.sizes[metric.group] if metric.group else ""
    return Column(metric.key, metric.title_for(table.task), size)


def columns(table: Table) -> list[Column]:
    """The columns that are printed: those asked for, or the usual metrics and costs."""
    keys = shown_keys(table.view.columns, table.task)
    # Groups that the user names are behind the metrics, before the costs.
    metrics = [key for key in keys if key not in COSTS]
    costs = [key for key in keys if key in COSTS]
    keys = [*metrics, *table.named, *costs] if table.named else keys
    return [
        Column(key, COSTS[key]) if key in COSTS else column(table, table.metric(key))
        for key in keys
    ]


def cells(table: Table, key: str) -> list[Cell]:
    """The cells of a column, in the order of the rows."""
    if key in COSTS:
        return [Cell(cost(key, row.values[key])) for row in table.rows]
    return [
        Cell(number(row.values[key].mean), spread(row, key), mark)
        for row, mark in zip(table.rows, marks(table, key), strict=True)
    ]


def spread(row: Row, key: str) -> str:
    """The text behind a value: its standard deviation over runs, or its interval.

    A row in which nothing is random has an interval over test images if it has predictions.
    Intervals that end at 0 or 100 % have unequal sides, and both ends are given.
    """
    summary = row.values[key]
    if summary.std is not None:
        return f"± {number(summary.std)}"
    if summary.mean is None or not row.fixed or key not in row.intervals:
        return ""
    low, high = row.intervals[key]
    if abs((high - summary.mean) - (summary.mean - low)) > 0.05:
        return f"({number(low)} to {number(high)})"
    return f"(±{number((high - low) / 2)})"


def marks(table: Table, key: str) -> list[Mark | None]:
    """The mark of each row for the best or second-best mean of a metric, or None.

    The marks are those of `table.tested`, which has none for metrics that are not compared. Without
    tests the order is that of the unrounded means, but rows that print the same number share a
    mark: a reader could not see why one of two equal numbers is bold. A single value gets no mark,
    nor does the overall accuracy on a test set that is not balanced.
    """
    unmarked: list[Mark | None] = [None] * len(table.rows)
    if key == "overall" and not table.by_overall:
        return unmarked
    if table.tested is not None:
        return list(table.tested.by_metric.get(key, unmarked))
    means = [row.values[key].mean for row in table.rows]
    highest_first = table.metric(key).higher_is_better
    present = sorted((mean for mean in means if mean is not None), reverse=highest_first)
    if len(present) < 2:
        return unmarked
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
    keys = [column.key for column in columns(table) if column.key not in COSTS]
    if not any(mark for key in keys for mark in marks(table, key)):
        return ""
    if table.tested is None:
        return f"Best in {bold}, second {underlined}; not tested, so the order may be chance."
    return (
        f"In {bold}: the rows of a column that may be the best, by paired tests against the best "
        f"mean (the truly best row is among them with a probability of {1 - table.tested.level:g}, "
        f"but others without a mark may be as good); {underlined}: the same among the other rows."
    )


def number(value: float | None) -> str:
    """A percentage with one decimal."""
    return NONE if value is None else f"{value:.1f}"


def cost(key: str, summary: Summary) -> str:
    """The mean of a cost in a few characters: "1.2M" parameters, "3.4 s".

    Times are in seconds throughout, so that those of a column can be compared.
    """
    if summary.mean is None:
        return NONE
    if key.endswith("_s"):
        return f"{summary.mean:.1f} s" if summary.mean < 99.95 else f"{summary.mean:,.0f} s"
    return _memory(summary.mean) if key.endswith("_mb") else _count(summary.mean)


def _count(value: float) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * size:
            scaled = value / size
            return f"{scaled:.1f}{unit}" if scaled < 99.95 else f"{scaled:.0f}{unit}"
    return f"{value:.0f}"


def _memory(megabytes: float) -> str:
    return f"{megabytes:.0f} MB" if megabytes < 999.5 else f"{megabytes / 1000:.1f} GB"


def flags(row: Row) -> str:
    """Signs after a row's name that point to footnotes."""
    return (STALE if row.stale else "") + (INCOMPLETE if row.failed else "")
