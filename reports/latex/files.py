"""The LaTeX files of a report and of comparisons."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.file_names import safe
from reports.across.overview import Overview
from reports.across.study import Study
from reports.compare.families import Family
from reports.conformal_tables import ConformalTable
from reports.latex.comparisons import against_sheet, pair_sheet
from reports.latex.conformal import conformal_sheet
from reports.latex.data_sets import overview_sheet, pairs_sheet, study_sheet
from reports.latex.floats import HEADER, floats
from reports.latex.published import published_sheet
from reports.latex.results import results_sheet
from reports.latex.sheet import Sheet
from reports.latex.width import PAGE, Width
from reports.table import Table


def report_name(folder: Path) -> str:
    """The name of a report in its labels: that of its folder, or of the one above `report`."""
    path = Path(os.path.abspath(folder))
    return safe(path.parent.name if path.name == "report" else path.name)


def table_files(table: Table, stem: str, report: str, width: Width = PAGE) -> dict[str, str]:
    """The text of each file of a table, by name.

    Args:
        table: results on one data set.
        stem: name of its files, different for each table of the report.
        report: name of the report in labels.
        width: place of the tables.
    """
    files = {f"{stem}.tex": _text([results_sheet(table, stem, width)], report, width)}
    if table.published is not None:
        name = f"{stem}__published"
        files[f"{name}.tex"] = _text([published_sheet(table.published, table, name)], report, width)
    return files


def conformal_text(found: ConformalTable, stem: str, report: str, width: Width = PAGE) -> str:
    """The table of conformal sets.

    Args:
        found: coverage and size of the sets of a table's rows.
        stem: name of the file, different for each table of the report.
        report: name of the report in labels.
        width: place of the table.
    """
    return _text([conformal_sheet(found, stem)], report, width)


def across_text(
    overviews: Sequence[Overview],
    studies: Sequence[Study],
    stems: Sequence[str],
    report: str,
    width: Width = PAGE,
) -> str:
    """The tables over data sets.

    Args:
        overviews: one for each backbone.
        studies: one for each backbone and task.
        stems: a name for each study.
        report: name of the report in labels.
        width: place of the tables.
    """
    sheets = [
        overview_sheet(overview, "across" if not place else f"across-{place + 1}")
        for place, overview in enumerate(overviews)
    ]
    for study, stem in zip(studies, stems, strict=True):
        sheets.append(study_sheet(study, stem))
        if study.pairs:
            sheets.append(pairs_sheet(study, f"{stem}__pairs"))
    return _text(sheets, report, width)


def comparisons_text(
    families: Iterable[Family], stem: str, report: str, width: Width = PAGE, *, pairs: bool = False
) -> str:
    """The tables of comparisons.

    Args:
        families: comparisons that are judged together.
        stem: name of the file.
        report: name of the report in labels.
        width: place of the tables.
        pairs: print a table for each comparison, and not one for each family.
    """
    return _text(_comparisons(families, stem, pairs=pairs), report, width)


def _comparisons(families: Iterable[Family], stem: str, *, pairs: bool) -> Iterator[Sheet]:
    number = 0
    for family in families:
        for judged in family.members if pairs else family.members[:1]:
            number += 1
            name = stem if number == 1 else f"{stem}-{number}"
            yield pair_sheet(family, judged, name) if pairs else against_sheet(family, name)


def _text(sheets: Iterable[Sheet], report: str, width: Width) -> str:
    return "\n".join([HEADER, *(floats(sheet, width, report) for sheet in sheets)])
