"""The seeds that a planned sweep needs, from the variances of its finished runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.cli.parts.messages import warn
from benchmarks.sweep.baselines import Baselines
from reports.aggregate import build_tables
from reports.compare.cells import title_of
from reports.compare.comparison import Comparer, against
from reports.compare.designs import against_designs
from reports.compare.families import Asked, Family, judge
from reports.compare.lines import comparison_lines
from reports.compare.rows import RowFinder
from reports.compare.runs import NEEDED
from reports.table import Row, Table
from results.schema import Record
from results.store import Store


def designs(
    records: Sequence[Record],
    baselines: Baselines,
    out: Path,
    difference: float,
    console: Console,
) -> list[Family]:
    """The comparisons that say which differences a sweep shows, and how many seeds one needs.

    Args:
        records: finished cells of the sweep; two runs or more of a variant tell how runs vary.
        baselines: the rows that others are compared with, by label; without any, others are
            compared with the best row of each table.
        out: folder of the records.
        difference: the true difference to be shown, in points of percent.
        console: where to tell of what cannot be compared.
    """
    store = Store(out)
    comparer = Comparer(lambda record: store.predictions(record.key, NEEDED))
    finder = RowFinder(baselines, partial(warn, console))
    families = []
    for table in build_tables(records, allow_mixed=True):
        for row in _compared_with(table, baselines, finder):
            found, problems = against(table, row, comparer)
            for problem in problems:
                warn(console, f"Not compared: {problem}")
            families += [judge(found, Asked(difference=difference))] if found else []
    return families


def print_designs(families: Sequence[Family], console: Console) -> None:
    """Print which differences a sweep shows, and how many seeds a difference needs."""
    lines = []
    for family in families:
        first = family.members[0].comparison
        told = against_designs(family)
        lines += [f"{title_of(first.table)}, against {first.b}: {line}" for line in told]
    if not lines:
        lines = [
            "Seeds needed: unknown, because no two variants have finished runs of two seeds on "
            "the same data. Run two seeds first."
        ]
    console.print()
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def design_lines(families: Sequence[Family]) -> list[dict[str, Any]]:
    """The numbers of designs for programs, one line for each comparison and metric."""
    names = ("dataset", "backbone", "a", "b", "metric", "shown_from", "runs_needed")
    return [{name: line[name] for name in names} for line in comparison_lines(families)]


def _compared_with(table: Table, baselines: Baselines, finder: RowFinder) -> Iterator[Row]:
    """The baselines that a table has; without any, its best row."""
    if not baselines:
        yield [row for row in table.rows if row.done][-1]
        return
    for label in baselines:
        row = finder.row(table, label)
        if row is not None:
            yield row
