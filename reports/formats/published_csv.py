"""Published values and ours as CSV, unrounded."""

from __future__ import annotations

from reports.csv_text import csv_text
from reports.outputs import table_output
from reports.table import Table

_NAMES = (
    "variant", "name", "metric", "published", "mean", "std", "n", "difference", "tolerance",
    "beyond_tolerance", "source",
)  # fmt: skip


@table_output("__published.csv")
def published_csv(table: Table) -> str | None:
    """One line for each published value that a row repeats; None if there are none."""
    if table.published is None or not table.published.values:
        return None
    lines = [
        {
            "variant": value.label,
            "name": value.name,
            "metric": value.metric,
            "published": value.published,
            "mean": value.ours.mean,
            "std": value.ours.std,
            "n": value.ours.n,
            "difference": value.difference,
            "tolerance": value.tolerance,
            "beyond_tolerance": value.beyond,
            "source": value.source,
        }
        for value in table.published.values
    ]
    return csv_text(_NAMES, lines)
