"""A report of records: tables on the terminal and files in a folder, from records alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.errors import UserError
from benchmarks.file_names import safe
from reports.aggregate import Table, build_tables
from reports.figures.head_tail import head_tail
from reports.figures.plots import group_bars, save
from reports.figures.sweep_figure import sweep_csv, sweep_figure, sweep_stems
from reports.figures.sweeps import find_sweeps
from reports.markup import latex, markdown
from reports.published.published_tables import published_csv
from reports.terminal import print_table
from reports.tidy import records_csv, table_csv
from results.schema import Record


def write_report(
    records: Sequence[Record],
    out: Path,
    *,
    stale: Collection[str] = (),
    allow_mixed: bool = False,
    console: Console | None = None,
) -> list[Path]:
    """Write `DATASET__BACKBONE.{md,tex,csv}` and its figures for each table, and `records.csv`.

    The figures, `…__head_tail` and `…__groups` as PNG and PDF, need at least one finished cell.
    Tables that differ in one knob of their data set alone make up a sweep, which gets a figure and
    a CSV of its own: `DATASET__KNOB__BACKBONE.{png,pdf,csv}`. Where published values stand beside
    ours, they are in `…__published.csv` as well.

    Args:
        records: cells of any status.
        out: folder, created if need be; files of the same names are replaced.
        stale: keys of records made with another version of the method's source, marked †.
        allow_mixed: mark what differs and must not, instead of refusing.
        console: where to print the tables as well; its width decides between a roomy and a tight
            one. They are there before the figures, which take longer.

    Returns:
        The files written.

    Raises:
        MixedRecords: records of a table differ in more than the method. Nothing is printed or
            written.
        UserError: there are no records, or the folder cannot be written.
    """
    if not records:
        raise UserError("There are no records to report.")
    tables = build_tables(records, stale=stale, allow_mixed=allow_mixed)
    if console is not None:
        for table in tables:
            print_table(table, console)
    written: list[Path] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for table, stem in zip(tables, file_stems(tables), strict=True):
            renderers: dict[str, Callable[[Table], str]] = {
                "md": markdown, "tex": latex, "csv": table_csv
            }  # fmt: skip
            for ending, render in renderers.items():
                written.append(_write(out / f"{stem}.{ending}", render(table)))
            if table.published is not None and table.published.lines:
                written.append(
                    _write(out / f"{stem}__published.csv", published_csv(table.published))
                )
            if any(row.done for row in table.rows):
                written += save(head_tail(table), out / f"{stem}__head_tail")
                written += save(group_bars(table), out / f"{stem}__groups")
        sweeps = find_sweeps(tables)
        for sweep, stem in zip(sweeps, sweep_stems(sweeps), strict=True):
            written += save(sweep_figure(sweep), out / stem)
            written.append(_write(out / f"{stem}.csv", sweep_csv(sweep)))
        ordered = sorted(records, key=lambda record: record.key)
        written.append(_write(out / "records.csv", records_csv(ordered)))
    except OSError as error:
        raise UserError(f"Cannot write the report to {out}: {error.strerror or error}.") from error
    return written


def file_stems(tables: Sequence[Table]) -> list[str]:
    """A file name without ending for each table: safe on any system, and no two alike."""
    stems = [f"{safe(table.dataset)}__{safe(table.backbone)}" for table in tables]
    lower = [stem.lower() for stem in stems]  # some file systems do not tell case apart
    return [
        f"{stem}-{_digest(table)}" if lower.count(stem.lower()) > 1 else stem
        for stem, table in zip(stems, tables, strict=True)
    ]


def _digest(table: Table) -> str:
    return hashlib.sha256(f"{table.dataset}\n{table.backbone}".encode()).hexdigest()[:6]


def _write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file
