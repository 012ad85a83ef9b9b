"""Published values and ours as a sheet."""

from __future__ import annotations

from reports.latex.sheet import Column, Entry, Line, Sheet
from reports.latex.text import breakable
from reports.published.tables import TITLE, texts, value_cells
from reports.table import PublishedValues, Table


def published_sheet(found: PublishedValues, table: Table, name: str) -> Sheet:
    """The sheet of the published values of a table; without lines if nothing is compared.

    Args:
        found: the values.
        table: the table of our results.
        name: of the label.
    """
    title = f"{TITLE} on {table.dataset} with {table.backbone}, and ours"
    lines = []
    for value in found.values:
        cells = value_cells(found, value)
        lines.append(
            Line(
                f"{value.name}: {cells.title}",
                (
                    Entry(cells.published), Entry(cells.mean, cells.spread),
                    Entry(cells.difference, cells.beyond), Entry(cells.source),
                ),
            )
        )  # fmt: skip
    return Sheet(
        name=name,
        title=title,
        caption=breakable(f"{title}."),
        stub="method",
        columns=(
            Column("published"), Column("ours"), Column("difference"),
            Column("source"),
        ),
        lines=tuple(lines),
        notes=tuple(texts(found)),
    )  # fmt: skip
