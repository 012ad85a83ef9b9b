"""The rows of a table that labels name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.errors import UserError, did_you_mean
from benchmarks.sweep.baselines import Baselines
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


class RowFinder:
    """Finds the rows of tables by label.

    Args:
        cells: the cells of the labels that a sweep resolved; other labels are looked up in the
            tables.
        say: gets a line on a label that can be read in two ways, and on what is left out.
    """

    def __init__(self, cells: Baselines, say: Callable[[str], None]) -> None:
        self.say = say
        self._cells = cells

    def row(self, table: Table, wanted: str) -> Row | None:
        """The row with this label, None if the table has none.

        Raises:
            UserError: several rows match.
        """
        cells = self._cells.get(wanted)
        if not cells:
            found, other = find_row(table, wanted), also_named(table, wanted)
            if found is not None and other is not None:
                self.say(
                    f"{table.dataset}: '{wanted}' is read as the row with this label in the table; "
                    f"the row that a sweep calls so is '{other.label}'."
                )
            return found
        rows = [row for row in table.rows if cells & {r.identity for r in (*row.done, *row.failed)}]
        if len(rows) > 1:
            several = "; ".join(f"'{row.label}'" for row in rows)
            raise UserError(f"'{wanted}' names several rows on {table.dataset}: {several}.")
        return rows[0] if rows else None

    def rows(self, tables: Sequence[Table], wanted: str) -> list[tuple[Table, Row]]:
        """The row with this label in each table that has one.

        Raises:
            UserError: no table has one, or several rows of a table match.
        """
        found = [(table, row) for table in tables if (row := self.row(table, wanted)) is not None]
        if found:
            return found
        if self._cells.get(wanted):
            where = ", ".join(f"{table.dataset} / {table.backbone}" for table in tables)
            raise UserError(f"There is no record of '{wanted}' on {where}.")
        raise unknown_variant(tables, wanted)
