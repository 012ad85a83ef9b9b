"""Tables as pandas Stylers: numbers underneath, and on the page what all other formats print."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler
from pandas.io.formats.style_render import CSSDict

from reports import layout
from reports.across.captions import caption, reader_notes
from reports.across.overview import Overview
from reports.layout import Cell, Column
from reports.table import Mark, Row, Table

_CSS: Mapping[Mark | None, str] = {
    "best": "font-weight: bold", "second": "text-decoration: underline", None: "",
}  # fmt: skip
_STYLE: list[CSSDict] = [
    {"selector": "caption", "props": "caption-side: bottom; text-align: left"},
    {"selector": "th.row_heading", "props": "text-align: left"},
    {"selector": "td", "props": "white-space: nowrap"},
]
_STATISTICS = ("mean", "std", "low", "high")
OVER_ALL = "all"
"""Data set of the columns with the means over data sets."""


@dataclass(frozen=True)
class _Block:
    """A metric or cost of all rows: its numbers and what is printed of them."""

    path: tuple[str, ...]
    """Keys of the columns, without that of the statistic."""
    heads: tuple[str, ...]
    """The printed heads of these."""
    numbers: tuple[Mapping[str, float], ...]
    """Statistic -> value, for each row."""
    cells: tuple[Cell, ...]
    """Texts that are printed, for each row."""

    @property
    def printed(self) -> dict[str, list[str]]:
        """Statistic -> text of each row, for the statistics that are printed."""
        found = {"mean": [cell.value for cell in self.cells]}
        after = [cell.after for cell in self.cells]
        return found | ({"std": after} if any(after) else {})


def table_styler(table: Table) -> Styler:
    """A table of one data set.

    Its data have a line for each row, by its label, and two levels of columns: the key of the
    metric or cost, and `mean`, `std` (over runs), `low` and `high` (ends of the 95 % interval).
    """
    blocks = [
        _Block((column.key,), (column.head,), *_of_rows(table, column, table.rows))
        for column in layout.columns(table)
    ]
    lines = [
        f"{table.name} / {table.backbone_name}. {table.caption} "
        f"{layout.legend(table, 'bold', 'underlined')} {table.remark}",
        *table.footnotes,
        *(f"Warning: {line}" for line in table.warnings),
    ]
    heads = {row.label: f"{row.name} {layout.flags(row)}" for row in table.rows}
    return _styler(heads, blocks, ("metric", "statistic"), lines)


def overview_styler(overview: Overview) -> Styler:
    """The table of methods by data sets; the data set is the first level of the columns.

    The last columns have the mean over the data sets and the mean rank, under the data set `all`.
    """
    variants = [entry.variant for entry in overview.entries]
    blocks = []
    for place, (table, columns) in enumerate(zip(overview.tables, overview.columns, strict=True)):
        rows = [variant.rows[place] for variant in variants]
        blocks += [
            _Block((table.dataset, column.key), (table.name, column.head), *found)
            for column in columns
            for found in [_of_rows(table, column, rows)]
        ]
    means = [entry.summary for entry in overview.entries]
    marks = [entry.mark for entry in overview.entries]
    for head in overview.summaries:
        rank = head == "mean rank"
        values = [None if m is None else m.rank if rank else m.mean for m in means]
        blocks.append(
            _Block(
                (OVER_ALL, "mean_rank" if rank else "mean"),
                ("", head),
                tuple({} if value is None else {"mean": value} for value in values),
                tuple(
                    Cell(layout.NONE if v is None else f"{v:.2f}" if rank else layout.number(v),
                         mark=mark if rank else None)
                    for v, mark in zip(values, marks, strict=True)
                ),
            )
        )  # fmt: skip
    legend = overview.legend("bold", "underlined")
    lines = [f"{overview.title}. {caption(overview)} {legend}", *reader_notes(overview)]
    heads = {variant.label: f"{variant.name} {variant.flags}" for variant in variants}
    return _styler(heads, blocks, ("data set", "metric", "statistic"), lines)


def _of_rows(
    table: Table, column: Column, rows: Sequence[Row | None]
) -> tuple[tuple[Mapping[str, float], ...], tuple[Cell, ...]]:
    """Numbers and cells of a column for some rows of a table, which may lack one."""
    printed = dict(zip(map(id, table.rows), layout.cells(table, column.key), strict=True))
    numbers = tuple({} if row is None else _numbers(row, column.key) for row in rows)
    return numbers, tuple(Cell(layout.NONE) if row is None else printed[id(row)] for row in rows)


def _numbers(row: Row, key: str) -> dict[str, float]:
    summary = row.values[key]  # noqa: PD011 - a mapping
    low, high = row.intervals.get(key, (None, None))
    found = {"mean": summary.mean, "std": summary.std, "low": low, "high": high}
    return {name: value for name, value in found.items() if value is not None}


def _styler(
    heads: Mapping[str, str], blocks: Sequence[_Block], levels: Sequence[str], lines: Sequence[str]
) -> Styler:
    """The styler of blocks side by side.

    Args:
        heads: label of each row, and what is printed for it.
        blocks: the columns.
        levels: names of the levels of the columns.
        lines: caption and notes.
    """
    columns = {
        (*block.path, name): [numbers.get(name, math.nan) for numbers in block.numbers]
        for block in blocks
        for name in _STATISTICS
        if name in block.printed or any(name in numbers for numbers in block.numbers)
    }
    data = pd.DataFrame(columns, index=pd.Index(list(heads), name="method"), dtype="float64")
    data.columns = pd.MultiIndex.from_tuples(list(columns), names=list(levels))
    printed = {(*block.path, name) for block in blocks for name in block.printed}
    marks = pd.DataFrame("", index=data.index, columns=data.columns)
    styler = data.style
    for block in blocks:
        css = [_CSS[cell.mark] for cell in block.cells]
        for name, texts in block.printed.items():
            path = (*block.path, name)
            marks[path] = css
            found = list(zip(data.index, data[path], texts, strict=True))
            # Equal numbers are printed alike, so the number finds its text.
            shown = {number: text for _, number, text in found if not math.isnan(number)}
            styler.format(_lookup(shown), na_rep="", subset=[path])
            for label, number, text in found:
                if math.isnan(number) and text:
                    styler.format(_always(text), subset=([label], [path]))
    styler.apply(lambda _: marks, axis=None)
    styler.hide(axis="columns", subset=[path for path in data.columns if path not in printed])
    styler.hide(axis="columns", level=len(levels) - 1)
    for level in range(len(levels) - 1):
        own = [html.escape(block.heads[level]) for block in blocks for _ in block.printed]
        styler.relabel_index(own, axis="columns", level=level)
    styler.relabel_index([html.escape(head.rstrip()) for head in heads.values()], axis="index")
    styler.hide(axis="columns", names=True).hide(axis="index", names=True)
    text = "<br>".join(html.escape(" ".join(line.split())) for line in lines)
    return styler.set_caption(text).set_table_styles(_STYLE)


def _lookup(texts: Mapping[Any, str]) -> Callable[[object], str]:
    return texts.__getitem__


def _always(text: str) -> Callable[[object], str]:
    return lambda _: text
