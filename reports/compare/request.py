"""Comparisons of rows that a user names by their labels, on every table that has them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from benchmarks.errors import UserError
from benchmarks.sweep.rows.comparability import refuse_mixture
from benchmarks.sweep.rows.labels import method_of
from reports.aggregate import build_tables
from reports.compare.comparison import Comparer, against
from reports.compare.families import NOTHING_ELSE, Asked, Family, judge
from reports.compare.parts import compared_metrics
from reports.compare.rows import RowFinder
from reports.table import Row, Table
from reports.view import USUAL, View
from results.schema import Record


@dataclass(frozen=True)
class Request:
    """Labels of the rows to compare: a pair, or all rows with each of some baselines."""

    a: str = ""
    others: tuple[str, ...] = ()
    """Rows that A is compared with."""
    baselines: tuple[str, ...] = ()
    """Rows that all others are compared with, in place of A and its others."""

    @property
    def usable(self) -> bool:
        """True if it names either a pair or baselines."""
        return bool(self.a) == bool(self.others) and bool(self.a) != bool(self.baselines)


def compared(
    request: Request,
    tables: Sequence[Table],
    comparer: Comparer,
    finder: RowFinder,
    asked: Asked = NOTHING_ELSE,
) -> list[Family]:
    """The comparisons that a request names; those of one table and baseline are a family.

    Raises:
        UserError: an unknown or ambiguous label, one row under two labels, or no table with both.
    """
    if request.a:
        return compare_pairs(tables, request.a, request.others, comparer, finder, asked)
    return compare_all(tables, request.baselines, comparer, finder, asked)


def tables_of(
    records: Sequence[Record], stale: Collection[str], request: Request, view: View = USUAL
) -> list[Table]:
    """The tables in which the rows of a request are.

    Args:
        records: cells of any status.
        stale: keys of records made with another version of the method's source.
        request: what is to be compared.
        view: printed names and metrics, and the order of the rows.

    Raises:
        UserError: names that nothing has, or records that do not belong in one table.
    """
    methods = {method_of(label) for label in (request.a, *request.others) if label}
    for where in sorted({(r.dataset, r.backbone) for r in records}):
        members = [r for r in records if (r.dataset, r.backbone) == where]
        if methods:  # the settings of other methods do not matter
            members = [r for r in members if r.method in methods]
        refuse_mixture(members, "Name a folder that holds only one of them.")
    view.names.refuse_unknown(
        name for record in records for name in (record.method, record.dataset, record.backbone)
    )
    return build_tables(records, stale=stale, allow_mixed=True, view=view)


def refuse_other_columns(keys: Sequence[str], tables: Sequence[Table]) -> None:
    """Raise UserError for a column that is no metric with intervals in any of the tables."""
    known = [m.key for task in sorted({t.task for t in tables}) for m in compared_metrics(task)]
    for key in keys:
        if key not in known:
            raise UserError(
                f"--columns: '{key}' is not compared; these are: {', '.join(dict.fromkeys(known))}."
            )


def compare_pairs(
    tables: Sequence[Table],
    a: str,
    others: Sequence[str],
    comparer: Comparer,
    finder: RowFinder,
    asked: Asked = NOTHING_ELSE,
) -> list[Family]:
    """Compare A with each of the others, on every table that has both.

    The pairs of a table are a family.

    Raises:
        UserError: an unknown or ambiguous label, one row under two labels, or no table with both.
    """
    rows = {wanted: _by_table(finder.rows(tables, wanted)) for wanted in (a, *others)}
    families = []
    for table in tables:
        found = []
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
                finder.say(f"'{absent[0]}' does not apply to {table.dataset}: left out.")
                continue
            found.append(comparer.compare(table, row_a, row_b))
        families += [judge(found, asked)] if found else []
    if not families:
        raise UserError(f"No data set has both '{a}' and '{', '.join(others)}'.")
    return families


def _by_table(rows: Sequence[tuple[Table, Row]]) -> dict[tuple[str, str], Row]:
    return {(table.dataset, table.backbone): row for table, row in rows}


def compare_all(
    tables: Sequence[Table],
    baselines: Sequence[str],
    comparer: Comparer,
    finder: RowFinder,
    asked: Asked = NOTHING_ELSE,
) -> list[Family]:
    """For each table and baseline, compare all other rows with the baseline: one family.

    Raises:
        UserError: an unknown or ambiguous label.
    """
    families = []
    for wanted in baselines:
        for table, row in finder.rows(tables, wanted):
            found, problems = against(table, row, comparer)
            families += [judge(found, asked)] if found else []
            for problem in problems:
                finder.say(f"Not compared: {problem}")
    return families
