"""The comparisons that a sweep asks for, printed and written after its run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks.cli.parts.messages import warn
from benchmarks.errors import UserError
from benchmarks.sweep.baselines import Baselines
from benchmarks.visible import visible
from reports.aggregate import build_tables
from reports.compare.comparison import Comparer
from reports.compare.families import Asked
from reports.compare.files import against_markdown, comparisons_csv
from reports.compare.request import compare_all
from reports.compare.rows import RowFinder
from reports.compare.runs import NEEDED
from reports.compare.terminal import print_against
from reports.latex.files import comparisons_text, report_name
from reports.recast import under_priors
from reports.report import file_stems
from reports.settings import USUAL, Settings
from results.predictions import Arrays
from results.schema import Record
from results.store import Store


def write_comparisons(
    baselines: Baselines,
    records: Sequence[Record],
    stale: Collection[str],
    out: Path,
    folder: Path,
    console: Console,
    margin: float | None = None,
    settings: Settings = USUAL,
) -> list[Path]:
    """Compare, after a run, every row of each table with the baselines; print and write that.

    What cannot be compared is a line of output and no error: the run itself is done.

    Args:
        baselines: the cells of each variant, by label.
        records: cells of any status, those of the tables.
        stale: keys of records made with another version of the method's source.
        out: where the run wrote its records.
        folder: the report's folder, which gets `DATASET__BACKBONE__compare.{md,tex,csv}`.
        console: where to print.
        margin: differences below these points count as equivalent; None makes no such test.
        settings: the user's choices for the report.

    Returns:
        The files written.
    """
    store = Store(out)

    def read(record: Record) -> Arrays:
        return store.predictions(record.key, NEEDED)

    cast = under_priors(records, stale, read, settings.priors)
    comparer = Comparer(cast.read)
    finder = RowFinder(baselines, partial(warn, console))
    tables = build_tables(cast.records, stale=cast.stale, allow_mixed=True, view=settings.view)
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
        name = f"{stem}__compare"
        markdown = "\n".join(map(against_markdown, families))
        tex = comparisons_text(families, name, report_name(folder), settings.latex)
        files += [
            write_text(folder / f"{name}.md", markdown),
            write_text(folder / f"{name}.tex", tex),
            write_text(folder / f"{name}.csv", comparisons_csv(families)),
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
