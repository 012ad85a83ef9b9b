"""The rows of tables that labels name, compared in pairs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.cli.parts.messages import warn
from benchmarks.errors import UserError
from benchmarks.sweep.baselines import Baselines
from benchmarks.visible import visible
from reports.aggregate import build_tables
from reports.compare.comparison import Comparer, against
from reports.compare.families import NOTHING_ELSE, Asked, Family, judge
from reports.compare.files import against_markdown, comparisons_csv
from reports.compare.rows import also_named, find_row, unknown_variant
from reports.compare.runs import NEEDED
from reports.compare.terminal import print_against
from reports.report import file_stems
from reports.table import Row, Table
from results.schema import Record
from results.store import Store


class RowFinder:
    """Finds the rows of tables by label.

    Args:
        cells: the cells of the labels that a sweep resolved; other labels are looked up in the
            tables.
        console: where to warn of a label that can be read in two ways.
    """

    def __init__(self, cells: Baselines, console: Console) -> None:
        self.console = console
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
                warn(
                    self.console,
                    f"{table.dataset}: '{wanted}' is read as the row with this label in the table; "
                    f"the row that a sweep calls so is '{other.label}'.",
                )
            return found
        rows = [row for row in table.rows if cells & {r.identity for r in (*row.done, *row.failed)}]
        if len(rows) > 1:
            labels = "; ".join(f"'{row.label}'" for row in rows)
            raise UserError(f"'{wanted}' names several rows on {table.dataset}: {labels}.")
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
                warn(finder.console, f"'{absent[0]}' does not apply to {table.dataset}: left out.")
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
                warn(finder.console, f"Not compared: {problem}")
    return families


def write_comparisons(
    baselines: Baselines,
    records: Sequence[Record],
    stale: Collection[str],
    out: Path,
    folder: Path,
    console: Console,
    margin: float | None = None,
) -> list[Path]:
    """Compare, after a run, every row of each table with the baselines; print and write that.

    What cannot be compared is a line of output and no error: the run itself is done.

    Args:
        baselines: the cells of each variant, by label.
        records: cells of any status, those of the tables.
        stale: keys of records made with another version of the method's source.
        out: where the run wrote its records.
        folder: the report's folder, which gets `DATASET__BACKBONE__compare.{md,csv}`.
        console: where to print.
        margin: differences below these points count as equivalent; None makes no such test.

    Returns:
        The files written.
    """
    store = Store(out)
    comparer = Comparer(lambda record: store.predictions(record.key, NEEDED))
    finder = RowFinder(baselines, console)
    tables = build_tables(records, stale=stale, allow_mixed=True)
    files = []
    for table, stem in zip(tables, file_stems(tables), strict=True):
        families = []
        for wanted in baselines:
            try:
                families += compare_all([table], [wanted], comparer, finder, Asked(margin))
            except UserError as error:
                warn(console, f"Not compared: {error}")
        if not families:
            continue
        for family in families:
            print_against(family, console)
        text = "\n".join(map(against_markdown, families))
        files += [
            write_text(folder / f"{stem}__compare.md", text),
            write_text(folder / f"{stem}__compare.csv", comparisons_csv(families)),
        ]
    return files


def write_text(file: Path, text: str) -> Path:
    """Write a file and its folder, and return the file.

    Raises:
        UserError: it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(visible(text), encoding="utf-8")
    except OSError as error:
        raise UserError(f"Cannot write {file}: {error.strerror or error}.") from error
    return file
