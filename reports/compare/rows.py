"""The rows of a table that labels name."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.errors import UserError, did_you_mean
from benchmarks.sweep.rows import labels
from benchmarks.sweep.rows.labels import Named, choose
from reports.table import Row, Table


def find_row(table: Table, wanted: str) -> Row | None:
    """The row that a label names (see `benchmarks.sweep.rows.labels`).

    Returns:
        None if there is no such row.

    Raises:
        UserError: the label names several rows.
    """
    index = choose(wanted, _named(table), table.dataset)
    return None if index is None else table.rows[index]


def also_named(table: Table, wanted: str) -> Row | None:
    """A row other than that of `find_row` which the label could mean; None if there is none."""
    rows = _named(table)
    index = choose(wanted, rows, table.dataset)
    other = None if index is None else labels.also_named(wanted, rows, index)
    return None if other is None else table.rows[other]


def _named(table: Table) -> list[Named]:
    firsts = [(*row.done, *row.failed)[0] for row in table.rows]
    return [
        Named(first.method, first.config, first.tuning, first.protocol, row.label)
        for row, first in zip(table.rows, firsts, strict=True)
    ]


def unknown_variant(tables: Sequence[Table], wanted: str) -> UserError:
    """The error for a label that is in no table."""
    return did_you_mean("variant", wanted, {row.label for table in tables for row in table.rows})
