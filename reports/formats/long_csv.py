"""A table as CSV in long form, unrounded, for a reader's own analysis."""

from __future__ import annotations

from typing import Any

from reports.csv_text import csv_text
from reports.outputs import table_output
from reports.table import Table


@table_output(".csv")
def table_csv(table: Table) -> str:
    """One line for each variant and metric: mean, std (ddof=1), n, and the ends of the interval.

    They are empty where there are none. The interval is over test images and, if there are several,
    runs (see `Row.intervals`).
    """
    lines: list[dict[str, Any]] = [
        {
            "dataset": table.dataset,
            "backbone": table.backbone,
            "method": row.method,
            "variant": row.label,
            "name": row.name,
            "metric": name,
            "mean": summary.mean,
            "std": summary.std,
            "n": summary.n,
            "low": row.intervals.get(name, (None, None))[0],
            "high": row.intervals.get(name, (None, None))[1],
            "varies": row.spread,
            "cells": row.cells,
            "cells_without_result": len(row.failed),
            "stale": row.stale,
        }
        for row in table.rows
        for name, summary in row.values.items()
    ]
    return csv_text(list(lines[0]), lines)
