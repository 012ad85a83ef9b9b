"""Caption and notes of an overview."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from benchmarks.errors import counted
from benchmarks.metrics import METRICS
from reports import notes
from reports.across.overview import Overview
from reports.across.variants import absence, block_of
from reports.footnotes import doubts, notes_of, one_line, unequal
from reports.notes import under
from reports.table import Row, Table


def caption(overview: Overview) -> str:
    """The measured quantities, the meaning of every ±, and of the means."""
    return " ".join(caption_parts(overview))


def caption_parts(overview: Overview) -> list[str]:
    """The caption in parts, of which the first is what is measured."""
    tables = overview.tables
    parts = [f"{_measured(tables)} with {tables[0].backbone_name}."]
    titles = {METRICS[key].title_for(t.task) for key, t in zip(overview.mains, tables, strict=True)}
    if all(len(own) == 1 for own in overview.columns) and len(titles) == 1:
        parts.append(f"Columns: {titles.pop()}.")
    priors = [table for table in tables if table.prior]
    parts += [f"{table.name}: overall accuracy {under(table.prior)}." for table in priors]
    unbalanced = [table.name for table in tables if not table.by_overall]
    if unbalanced:
        parts.append(
            f"The test set of {', '.join(unbalanced)} has more images of some classes than of "
            "others, so balanced accuracy counts."
        )
    parts.append(notes.spread_text(rows_of(overview), named=False))
    if overview.summaries:
        parts.append(_of_means(overview))
    return [part for part in parts if part]


def _measured(tables: Iterable[Table]) -> str:
    by_task: dict[str, list[str]] = {}
    for table in tables:
        by_task.setdefault(table.task, []).append(table.name)
    words = {"single": "top-1 accuracy (%)", "multi": "average precision (%)"}
    text = ", ".join(f"{words[task]} on {', '.join(names)}" for task, names in by_task.items())
    return text[:1].upper() + text[1:]


def _of_means(overview: Overview) -> str:
    blocks = {(table.task, block_of(table)) for table in overview.tables}
    text = "Mean rank: 1 is best, ties share a rank"
    if len(overview.summaries) == 2:
        text = f"Mean: over the data sets; m{text[1:]}"
    else:
        text += "; there is no mean of accuracy and average precision"
    if len(blocks) < len(overview.tables):
        text += (
            f"; {len(overview.tables)} columns are {counted(len(blocks), 'independent data set')}, "
            "because columns with the same images count as one, with their mean"
        )
    return f"{text}."


def rows_of(overview: Overview) -> list[Row]:
    """The rows of all tables, with the names that they have in the overview."""
    return [
        dataclasses.replace(row, name=entry.variant.name)
        for entry in overview.entries
        for row in entry.variant.rows
        if row is not None
    ]


def gaps(overview: Overview) -> list[str]:
    """Rows that lack a value, with the reason."""
    found: dict[str, list[str]] = {}
    for entry in overview.entries:
        reasons: dict[str, list[str]] = {}
        keyed = zip(overview.tables, overview.mains, entry.variant.rows, strict=True)
        for table, key, row in keyed:
            if why := absence(row, key):
                if row is not None and row.not_applicable:
                    why = f"{why} ({one_line(row.first.error or '')})"
                reasons.setdefault(why, []).append(table.name)
        text = "; ".join(f"{why} on {', '.join(names)}" for why, names in reasons.items())
        if text:
            found.setdefault(text, []).append(entry.variant.name)
    mean = f", so no {overview.summaries[0]}" if overview.summaries else ""
    return [
        f"{text[:1].upper()}{text[1:]}{mean}: {', '.join(names)}." for text, names in found.items()
    ]


def reader_notes(overview: Overview) -> list[str]:
    """Everything a reader has to know, as under the tables of the data sets."""
    rows = rows_of(overview)
    run = [row for row in rows if not row.not_applicable]
    return [*gaps(overview), *_budgets(overview), *doubts(run), *notes_of(run)]


def _budgets(overview: Overview) -> list[str]:
    """Budgets that differ between rows, with the data set where these differ."""
    found: dict[str, list[str]] = {}
    names = {id(row): e.variant.name for e in overview.entries for row in e.variant.rows if row}
    for table, columns in zip(overview.tables, overview.columns, strict=True):
        rows = [dataclasses.replace(row, name=names[id(row)]) for row in table.rows]
        for line in unequal(rows, [column.key for column in columns]):
            found.setdefault(line, []).append(table.name)
    return [
        line if len(names) == len(overview.tables) else f"{', '.join(names)}: {line}"
        for line, names in found.items()
    ]
