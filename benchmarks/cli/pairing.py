"""What `compare` compares: the rows that labels name in tables, paired."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from benchmarks.cli.gathering import say
from benchmarks.errors import UserError
from benchmarks.sweep.baselines import Baselines
from reports.compare.comparison import (
    Comparer,
    Comparison,
    against,
    also_named,
    find_row,
    unknown_variant,
)
from reports.table import Row, Table


class Search:
    """Finds the rows of tables by label.

    Args:
        cells: the cells of labels that a sweep resolved; the others are looked up in each table.
        console: where to say that a label could be read in two ways.
    """

    def __init__(self, cells: Baselines, console: Console) -> None:
        self.console = console
        self._cells = cells

    def row(self, table: Table, wanted: str) -> Row | None:
        """The row of that label, None if the table has none.

        Raises:
            UserError: several have it.
        """
        cells = self._cells.get(wanted)
        if not cells:
            found, other = find_row(table, wanted), also_named(table, wanted)
            if found is not None and other is not None:
                say(
                    self.console,
                    f"{table.dataset}: '{wanted}' is the row that the table labels so; the one "
                    f"that a sweep calls so is '{other.label}' there.",
                )
            return found
        rows = [row for row in table.rows if cells & {r.identity for r in (*row.done, *row.failed)}]
        if len(rows) > 1:
            labels = "; ".join(f"'{row.label}'" for row in rows)
            raise UserError(f"'{wanted}' is several rows on {table.dataset}: {labels}.")
        return rows[0] if rows else None

    def rows(self, tables: Sequence[Table], wanted: str) -> list[tuple[Table, Row]]:
        """The row of that label in each table that has it.

        Raises:
            UserError: none has it, or one has several.
        """
        found = [(table, row) for table in tables if (row := self.row(table, wanted)) is not None]
        if found:
            return found
        if self._cells.get(wanted):
            where = ", ".join(f"{table.dataset} / {table.backbone}" for table in tables)
            raise UserError(f"there is no record of '{wanted}' on {where} here.")
        raise unknown_variant(tables, wanted)


def pairs(
    tables: Sequence[Table], a: str, others: Sequence[str], comparer: Comparer, search: Search
) -> list[Comparison]:
    """A against each of the others, on every table that has both."""
    rows = {wanted: _by_place(search.rows(tables, wanted)) for wanted in (a, *others)}
    found = []
    for table in tables:
        where = (table.dataset, table.backbone)
        for b in others:
            row_a, row_b = rows[a].get(where), rows[b].get(where)
            if row_a is not None and row_a is row_b:
                raise UserError(
                    f"'{a}' and '{b}' are one row on {table.dataset}: name two different variants."
                )
            if row_a is None or row_b is None:
                continue
            if absent := [row.label for row in (row_a, row_b) if row.not_applicable]:
                say(search.console, f"Not on {table.dataset}: '{absent[0]}' does not apply there.")
                continue
            found.append(comparer.compare(table, row_a, row_b))
    if not found:
        raise UserError(f"No data set has both '{a}' and '{', '.join(others)}'.")
    return found


def _by_place(rows: Sequence[tuple[Table, Row]]) -> dict[tuple[str, str], Row]:
    return {(table.dataset, table.backbone): row for table, row in rows}


def all_against(
    tables: Sequence[Table], baselines: Sequence[str], comparer: Comparer, search: Search
) -> list[list[Comparison]]:
    """For each table and baseline, the comparisons of all other rows with it."""
    groups = []
    for wanted in baselines:
        for table, row in search.rows(tables, wanted):
            found, problems = against(table, row, comparer)
            groups += [found] if found else []
            for problem in problems:
                say(search.console, f"Not compared: {problem}")
    return groups
