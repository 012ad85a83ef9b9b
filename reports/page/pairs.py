"""Paired differences of all pairs of rows of multi-label data, as `compare` computes them.

Those of single-label data are computed by the page: that needs one bit for each image and run.
Average precision needs the order of all images in each class, which is too large for a page.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

from benchmarks.errors import UserError
from reports.compare.cells import all_titles
from reports.compare.comparison import Comparer, Comparison
from reports.compare.intervals import Interval
from reports.page.packing import Pool
from reports.table import Table

MOST_ROWS = 20
"""Rows of a table whose pairs are compared, those of the best mean."""


def pairs_data(table: Table, comparer: Comparer, pool: Pool) -> list[dict[str, Any]]:
    """Each pair of rows, by index, with its differences.

    Holm's rule for the metrics of a pair, and so its verdicts, are left to the page.

    Args:
        table: rows with a value are compared; those that share no runs, or whose predictions are
            missing, are in no pair.
        comparer: reads the predictions.
        pool: gets the texts.
    """
    means = {i: row.values[table.main].mean for i, row in enumerate(table.rows)}
    finished = [i for i, mean in means.items() if mean is not None]
    best = sorted(finished, key=lambda i: means[i] or 0.0, reverse=True)[:MOST_ROWS]
    found = []
    for a, b in combinations(sorted(best), 2):
        try:
            comparison = comparer.compare(table, table.rows[a], table.rows[b])
        except UserError:  # no runs of the same seeds, no predictions
            continue
        found.append({"a": a, "b": b} | _pair(comparison, pool))
    return found


def _pair(comparison: Comparison, pool: Pool) -> dict[str, Any]:
    judged = all_titles([comparison])  # without balanced accuracy where it is the overall one
    return {
        "covers": pool.add(comparison.covers),
        "notes": [pool.add(note) for note in comparison.notes],
        "units": pool.add(comparison.units),
        "oneRun": comparison.one_run,
        "metrics": {
            name: _interval(comparison, name, interval)
            for name, interval in comparison.intervals.items()
            if interval is not None and name in judged
        },
    }


def _interval(comparison: Comparison, name: str, interval: Interval) -> list[Any]:
    """The means of both, the difference, its ends, the p-value, the differences of the runs."""
    values = [interval.a, interval.b, interval.difference, interval.low, interval.high]
    p = None if comparison.one_run else float(f"{interval.p_value():.6g}")
    runs = [round(value, 4) for value in comparison.differences[name]]
    return [*(round(value, 4) for value in values), p, runs]
