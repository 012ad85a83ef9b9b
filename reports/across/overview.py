"""The table of methods by data sets, as a paper prints it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.metrics import METRICS
from reports import layout
from reports.across.study import Study
from reports.across.summaries import Summary, summaries, value_of
from reports.across.variants import Aligned, aligned
from reports.grid import Grid, Head
from reports.layout import NONE, Cell, Column, number
from reports.table import Mark, Table


@dataclass(frozen=True)
class Entry:
    """A row of the overview."""

    variant: Aligned
    summary: Summary | None
    """Means over the data sets; None if one lacks a value."""
    mark: Mark | None
    """Mark of the mean rank, by tests over data sets."""


@dataclass(frozen=True)
class Overview:
    """Every variant on every data set with one backbone."""

    tables: tuple[Table, ...]
    """Tables of the data sets."""
    columns: tuple[tuple[Column, ...], ...]
    """Columns of each table."""
    mains: tuple[str, ...]
    """Key of the metric of each table that means and ranks are of."""
    summaries: tuple[str, ...]
    """Heads of the last columns: mean and mean rank, mean rank alone, or none."""
    entries: tuple[Entry, ...]

    @property
    def title(self) -> str:
        """Number of data sets and backbone."""
        return f"Methods on {len(self.tables)} data sets / {self.tables[0].backbone_name}"

    def legend(self, bold: str, underlined: str) -> str:
        """The meaning of the marks, which may differ between data sets."""
        found: dict[str, list[str]] = {}
        for table in self.tables:
            found.setdefault(layout.legend(table, bold, underlined), []).append(table.name)
        if len(found) == 1:
            return next(iter(found))
        return " ".join(f"{', '.join(names)}: {text}" for text, names in found.items() if text)


def overviews(tables: Sequence[Table], studies: Sequence[Study]) -> list[Overview]:
    """An overview for each backbone with results on two data sets or more.

    Args:
        tables: all tables of a report.
        studies: their statistics.
    """
    found = []
    for backbone in dict.fromkeys(table.backbone for table in tables):
        own = [t for t in tables if t.backbone == backbone and any(row.done for row in t.rows)]
        if len(own) > 1:
            found.append(_overview(own, [s for s in studies if s.matrix.backbone == backbone]))
    return found


def overview_grid(overview: Overview) -> Grid:
    """The overview as heads and cells, in the orientation of its view."""
    own = list(zip(overview.tables, overview.columns, strict=True))
    titles = {column.title for columns in overview.columns for column in columns}
    alone = len(titles) == 1 and all(len(columns) == 1 for columns in overview.columns)
    heads = []
    for table, columns in own:
        for column in columns:
            size = f"({column.size})" if column.size else ""
            name = table.name if alone else column.title
            heads.append(Head(name, size, group="" if alone else table.name))
    heads += map(Head, overview.summaries)
    cells = {
        (id(row), column.key): cell
        for table, columns in own
        for column in columns
        for row, cell in zip(table.rows, layout.cells(table, column.key), strict=True)
    }
    lines = []
    for entry in overview.entries:
        one = entry.variant
        values = [
            Cell(NONE) if row is None else cells[id(row), column.key]
            for row, columns in zip(one.rows, overview.columns, strict=True)
            for column in columns
        ]
        values += _means(entry)[2 - len(overview.summaries) :]
        head = Head(one.name, flags=one.flags, is_label=one.name == one.label)
        lines.append((head, tuple(values)))
    grid = Grid("method", tuple(heads), tuple(lines))
    return grid.transposed("data set") if overview.tables[0].view.transpose else grid


def _means(entry: Entry) -> list[Cell]:
    if entry.summary is None:
        return [Cell(NONE), Cell(NONE)]
    return [Cell(number(entry.summary.mean)), Cell(f"{entry.summary.rank:.2f}", mark=entry.mark)]


def _overview(tables: Sequence[Table], studies: Sequence[Study]) -> Overview:
    compared = {study.matrix.task: study.matrix.metric for study in studies}
    mains = [compared.get(table.task, table.main) for table in tables]
    variants = aligned(tables)
    found = summaries(variants, tables, mains)
    best = _best(studies)
    entries = [
        Entry(variant, summary, "best" if id(variant.rows[0]) in best else None)
        for variant, summary in zip(variants, found, strict=True)
    ]
    columns = tuple(_columns(table, main) for table, main in zip(tables, mains, strict=True))
    alone = {column.key for own in columns for column in own} == set(mains)
    of = "" if alone else f" {METRICS[mains[0]].title_for(tables[0].task)}"
    heads: tuple[str, ...] = ()
    if any(summary is not None for summary in found):
        mean = any(summary is not None and summary.mean is not None for summary in found)
        heads = (f"mean{of}", "mean rank") if mean else ("mean rank",)
    made = Overview(
        tables=tuple(tables),
        columns=columns,
        mains=tuple(mains),
        summaries=heads,
        entries=tuple(_sorted(entries, tables, mains)),
    )
    return made


def _columns(table: Table, main: str) -> tuple[Column, ...]:
    """The columns asked for that a table has, or that of the main metric."""
    asked = [column for column in layout.columns(table) if column.key in table.view.columns]
    return tuple(asked) or (layout.column(table, METRICS[main]),)


def _best(studies: Sequence[Study]) -> set[int]:
    """Rows of the variants with the best mean rank, by tests; empty for several tasks."""
    if len(studies) != 1:
        return set()
    (study,) = studies
    return {id(study.ranked[i].line.rows[0]) for i in study.best}


def _sorted(entries: Sequence[Entry], tables: Sequence[Table], mains: Sequence[str]) -> list[Entry]:
    """The entries in the order of the view: the best last, those without a mean behind them.

    By default the mean rank sorts them. The main metric sorts them by its mean over the data sets.
    Any other column, and entries without a mean, are sorted by the first data set, then by the
    next ones.
    """
    sort = tables[0].view.sort
    if sort == "asked":
        places = {
            id(row): (place, number)
            for number, table in enumerate(tables)
            for place, row in enumerate(table.rows)
        }
        return sorted(
            entries, key=lambda entry: min(places[id(row)] for row in entry.variant.rows if row)
        )
    by_rank = sort in ("", "rank")

    def place(entry: Entry) -> list[tuple[bool, float]]:
        summary = entry.summary
        first = None
        if summary is not None:
            first = -summary.rank if by_rank else summary.mean if sort in mains else None
        keys = mains if by_rank else [sort] * len(tables)
        rows = zip(entry.variant.rows, keys, strict=True)
        return [
            _sortable(first, "" if by_rank else sort),
            *(_sortable(value_of(row, key), key) for row, key in rows),
        ]

    return sorted(entries, key=place)


def _sortable(value: float | None, key: str) -> tuple[bool, float]:
    """Sorts the best value of a metric last, the highest cost last, and no value behind both."""
    lower = key in METRICS and not METRICS[key].higher_is_better
    return value is None, -(value or 0.0) if lower else (value or 0.0)
