"""A report of records: tables on the terminal and files in a folder, made from records alone."""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.text import Text

from benchmarks.errors import UserError
from benchmarks.file_names import safe
from benchmarks.safe_files import remove_leftovers, write_text
from benchmarks.visible import visible
from reports import figures, formats
from reports.across import files as across
from reports.across.matrix import matrices
from reports.across.order import by_rank
from reports.across.overview import overviews
from reports.across.study import Study, study
from reports.across.terminal import print_overview, print_study
from reports.aggregate import build_tables
from reports.compare.rows import find_row, unknown_variant
from reports.compare.runs import Read
from reports.conformal_tables import (
    conformal_csv,
    conformal_markdown,
    conformal_tables,
    print_conformal,
)
from reports.figures.confusion import confusion
from reports.figures.diagram import diagram
from reports.figures.drawing import Drawing
from reports.figures.outcomes import Outcomes
from reports.figures.registry import SWEEP_FIGURES, TABLE_FIGURES
from reports.figures.style import save
from reports.from_predictions import with_predictions
from reports.knob_sweeps import KnobSweep, find_sweeps
from reports.latex.files import across_text, conformal_text, report_name, table_files
from reports.outputs import SWEEP_OUTPUTS, TABLE_OUTPUTS, Content
from reports.page.document import Content as PageContent
from reports.page.document import document, page_data
from reports.per_class import (
    PerClass,
    classes_csv,
    classes_markdown,
    confusion_csv,
    per_class,
    print_classes,
)
from reports.recast import under_priors
from reports.record_files import write_records
from reports.settings import USUAL, Settings
from reports.table import Row, Table
from reports.terminal import print_table
from reports.view import View
from results.schema import Record

for _package in (formats, figures):
    for _module in pkgutil.iter_modules(_package.__path__):
        importlib.import_module(f"{_package.__name__}.{_module.name}")  # registers its output


PAGE = "report.html"
"""Name of the page."""


def write_report(
    records: Sequence[Record],
    out: Path,
    *,
    stale: Collection[str] = (),
    allow_mixed: bool = False,
    read: Read | None = None,
    console: Console | None = None,
    settings: Settings = USUAL,
    page_alone: bool = False,
) -> list[Path]:
    """Write every format and figure of each table and each sweep over a knob, and `records.csv`.

    `report.html` is a page with all of it, to look around in.

    The files of a table are named `DATASET__BACKBONE` with the ending of the output, for example
    `.md` or `__head_tail.png`. Tables that differ in a single knob of their data set form a sweep,
    whose files are named `DATASET__KNOB__BACKBONE`. Tables of several data sets are also summarised
    in `across.md`, `across.tex`, `across.csv`, `across_pairs.csv` and diagrams.

    Args:
        records: records of any status.
        out: folder, created if necessary; files of the same names are replaced.
        stale: keys of records made with another version of the method's source, marked †.
        allow_mixed: mark settings that differ but must not, instead of raising an error.
        read: returns the predictions of a record; without it rows have no intervals, and the marks
            of the best rows are not tested.
        console: console to print the tables on before the files are written, which takes longer.
        settings: the user's choices.
        page_alone: write `report.html` and nothing else, which takes a fraction of the time.

    Returns:
        The files written.

    Raises:
        MixedRecords: records of a table differ in more than the method. Nothing has been printed
            or written.
        UserError: there are no records, nothing is left of the user's choice, or the folder cannot
            be written.
    """
    view = settings.view
    cast = under_priors(records, stale, read, settings.priors)
    records, stale, read = cast.records, cast.stale, cast.read
    outcomes = None if read is None else Outcomes(read)
    tables = tables_of(
        records,
        view,
        stale=stale,
        allow_mixed=allow_mixed,
        read=None if outcomes is None else outcomes.read,
    )
    drawing = Drawing.of(tables, settings.figures, outcomes)
    if console is not None:
        for table in tables:
            print_table(table, console)
    studies = [study(matrix, settings.rope) for matrix in matrices(tables, view.metric)]
    summary = overviews(tables, studies)
    if console is not None:
        for overview in summary:
            print_overview(overview, console)
        for one in studies:
            print_study(one, console)
        if not studies and (view.metric or settings.rope is not None):
            line = f"No backbone has two data sets of one task with '{view.metric or 'overall'}': "
            console.print(Text(f"{line}nothing is compared over data sets.", style="yellow"))
    sets = []
    if settings.conformal is not None:
        sets = conformal_tables(tables, read, settings.conformal)
        if console is not None:
            for found in sets:
                print_conformal(found, console)
    written: list[Path] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        remove_leftovers(out)
        sweeps = find_sweeps(tables)
        page = PageContent(tables, sweeps, summary, studies, records, read, sets)
        if page_alone:
            return _write(document(page_data(page)), out / PAGE)
        for table, stem in zip(tables, file_stems(tables), strict=True):
            for ending, output in TABLE_OUTPUTS.items():
                written += _write(output(table), out / f"{stem}{ending}")
            for name, text in table_files(table, stem, report_name(out), settings.latex).items():
                written += _write(text, out / name)
        for sweep, stem in zip(sweeps, sweep_stems(sweeps), strict=True):
            for ending, of_sweep in SWEEP_OUTPUTS.items():
                written += _write(of_sweep(sweep), out / f"{stem}{ending}")
        stem_of = dict(zip(map(id, tables), file_stems(tables), strict=True))
        for found in sets:
            stem = f"{stem_of[id(found.table)]}__conformal"
            written += _write(conformal_markdown(found), out / f"{stem}.md")
            tex = conformal_text(found, stem, report_name(out), settings.latex)
            written += _write(tex, out / f"{stem}.tex")
            written += _write(conformal_csv(found), out / f"{stem}.csv")
        if summary:
            written += _write(across.markdown(summary, studies), out / "across.md")
            tex = across_text(
                summary, studies, study_stems(studies), report_name(out), settings.latex
            )
            written += _write(tex, out / "across.tex")
            written += _write(across.csv(summary, studies), out / "across.csv")
        if any(one.pairs for one in studies):
            written += _write(across.pairs_csv(studies), out / "across_pairs.csv")
        for name, figure in drawn(tables, sweeps, studies, drawing):
            written += save(figure, out / name, drawing.options)
        ordered = sorted(records, key=lambda record: record.key)
        written += write_records(ordered, out, settings.record_formats)
        written += _write(document(page_data(page)), out / PAGE)
    except OSError as error:
        raise UserError(f"Cannot write the report to {out}: {error.strerror or error}.") from error
    return written


def classes_of(
    records: Sequence[Record], wanted: Sequence[str], *, read: Read, settings: Settings
) -> dict[str, PerClass]:
    """The classes of some rows, in every table that has them.

    Args:
        records: those of the report.
        wanted: labels of rows, or names of methods.
        read: returns the predictions of a record.
        settings: the user's choices.

    Returns:
        By the beginning of their files' names: that of the table's files, `__` and the row.

    Raises:
        UserError: no row, no such row, several, or one without predictions; or test distributions.
    """
    if settings.priors:
        raise UserError("--per-class and --test-prior: classes are of the test images as they are.")
    if not wanted:
        raise UserError("--per-class: name a row, as the tables label it.")
    tables = tables_of(records, settings.view, allow_mixed=True)
    rows: dict[tuple[str, str], tuple[Table, Row]] = {}
    for label in wanted:
        found = [
            (t, s, find_row(t, label)) for t, s in zip(tables, file_stems(tables), strict=True)
        ]
        if not any(row for _, _, row in found):
            raise unknown_variant(tables, label)
        for table, stem, row in found:
            if row is not None:
                rows[stem, row.label] = table, row
    names = _all_different([f"{stem}__{safe(label)}" for stem, label in rows], map("\n".join, rows))
    return {
        name: per_class(table, row, read)
        for name, (table, row) in zip(names, rows.values(), strict=True)
    }


def write_classes(
    classes: Mapping[str, PerClass], out: Path, *, settings: Settings, console: Console
) -> list[Path]:
    """Write and print the classes of rows.

    Args:
        classes: as `classes_of` returns them.
        out: the folder of the report.
        settings: the user's choices.
        console: where to print.

    Returns:
        The files written.
    """
    written: list[Path] = []
    for name, found in classes.items():
        print_classes(found, console)
        written += _write(classes_markdown(found), out / f"{name}__classes.md")
        written += _write(classes_csv(found), out / f"{name}__classes.csv")
        written += _write(confusion_csv(found), out / f"{name}__confusion.csv")
        figure = confusion(found, settings.figures)
        if figure is not None:
            written += save(figure, out / f"{name}__confusion", settings.figures)
    return written


def tables_of(
    records: Sequence[Record],
    view: View,
    *,
    stale: Collection[str] = (),
    allow_mixed: bool = False,
    read: Read | None = None,
) -> list[Table]:
    """The tables of a report, as the user wants to see them; see `write_report`.

    Raises:
        MixedRecords: records of a table differ in more than the method.
        UserError: there are no records, or nothing has a name that the view gives.
    """
    if not records:
        raise UserError("There are no records to report.")
    view.names.refuse_unknown(
        name for record in records for name in (record.method, record.dataset, record.backbone)
    )
    tables = build_tables(records, stale=stale, allow_mixed=allow_mixed, view=view)
    if view.sort == "rank":
        tables = by_rank(tables)
    return tables if read is None else with_predictions(tables, read)


def drawn(
    tables: Sequence[Table],
    sweeps: Sequence[KnobSweep],
    studies: Sequence[Study],
    drawing: Drawing,
) -> Iterator[tuple[str, Figure]]:
    """The figures of a report, each with the name of its files without the ending."""
    for table, stem in zip(tables, file_stems(tables), strict=True):
        for ending, draw in TABLE_FIGURES.items():
            figure = draw(table, drawing)
            if figure is not None:
                yield f"{stem}{ending}", figure
    for sweep, stem in zip(sweeps, sweep_stems(sweeps), strict=True):
        for ending, draw_sweep in SWEEP_FIGURES.items():
            figure = draw_sweep(sweep, drawing)
            if figure is not None:
                yield f"{stem}{ending}", figure
    for one, stem in zip(studies, study_stems(studies), strict=True):
        figure = diagram(one, drawing)
        if figure is not None:
            yield stem, figure


def file_stems(tables: Sequence[Table]) -> list[str]:
    """A file name without ending for each table: safe on any system, and all different."""
    stems = [f"{safe(table.dataset)}__{safe(table.backbone)}" for table in tables]
    return _all_different(stems, [f"{table.dataset}\n{table.backbone}" for table in tables])


def sweep_stems(sweeps: Sequence[KnobSweep]) -> list[str]:
    """A file name without ending for each sweep: BASE__KNOB__BACKBONE, and all different."""
    stems = [f"{safe(s.base)}__{safe(s.knob)}__{safe(s.backbone)}" for s in sweeps]
    return _all_different(stems, map(repr, sweeps))


def study_stems(studies: Sequence[Study]) -> list[str]:
    """A file name without ending for the diagram of each study, all different."""
    own = [study.matrix for study in studies]
    stems = [f"across__{safe(matrix.backbone)}__{matrix.task}" for matrix in own]
    return _all_different(stems, [f"{matrix.backbone}\n{matrix.task}" for matrix in own])


def _all_different(stems: Sequence[str], contents: Iterable[str]) -> list[str]:
    """The stems, with a hash of the content added to those that a file system could confuse."""
    lower = [stem.lower() for stem in stems]  # some file systems ignore case
    return [
        f"{stem}-{hashlib.sha256(visible(content).encode()).hexdigest()[:6]}"
        if lower.count(stem.lower()) > 1
        else stem
        for stem, content in zip(stems, contents, strict=True)
    ]


def _write(content: Content, file: Path) -> list[Path]:
    """Write a text to a file; nothing for None."""
    if content is None:
        return []
    write_text(file, visible(content))
    return [file]
