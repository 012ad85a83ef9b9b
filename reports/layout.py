"""What every renderer shares: columns, marks and the way numbers are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reports.aggregate import GROUPS, Row, Summary, Table
from reports.notes import INCOMPLETE, STALE

NONE = "–"
"""Printed where a value does not exist: an empty group, the ± of a single run."""

Mark = Literal["best", "second"]


@dataclass(frozen=True)
class Column:
    """A column of the printed tables."""

    key: str
    """Name in Row.values."""
    title: str
    size: str
    """Number of classes, or "" where the column is no group."""


def columns(table: Table) -> list[Column]:
    """The metric columns; `balanced` only where it does not repeat `overall`."""
    multi = table.task == "multi"
    result = [Column("overall", "mAP" if multi else "overall", "")]
    result += [Column(name, name, table.sizes[name]) for name in GROUPS]
    return result if multi else [*result, Column("balanced", "balanced", "")]


COST_COLUMNS = (Column("trainable_params", "params", ""), Column("fit_s", "fit", ""))


def marks(table: Table, key: str) -> list[Mark | None]:
    """For each row, whether it has the best or the second-best mean of a column.

    The order is that of the unrounded means, but rows that print the same number share a mark: a
    reader could not see why one of two equal numbers is bold. A lone row gets none.
    """
    means = [row.values[key].mean for row in table.rows]
    present = sorted((mean for mean in means if mean is not None), reverse=True)
    if len(present) < 2:
        return [None] * len(means)
    shown = list(dict.fromkeys(number(mean) for mean in present))
    names: dict[str, Mark] = {shown[0]: "best"}
    if len(shown) > 1:
        names[shown[1]] = "second"
    return [None if mean is None else names.get(number(mean)) for mean in means]


def number(value: float | None) -> str:
    """A percentage with one decimal."""
    return NONE if value is None else f"{value:.1f}"


def mean_std(summary: Summary) -> tuple[str, str | None]:
    """Mean and standard deviation as printed; the second is None where there is no mean either."""
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
    """The signs after a row's label that point to footnotes."""
    return (STALE if row.stale else "") + (INCOMPLETE if row.failed else "")
