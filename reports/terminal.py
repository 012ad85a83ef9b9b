"""A table for the terminal, readable without colour and in 80 columns."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from reports.layout import COST_COLUMNS, columns, cost, flags, legend, marks, mean_std
from reports.published.tables import print_published
from reports.table import Mark, Table

_STYLES: dict[Mark | None, str] = {"best": "bold", "second": "underline", None: ""}


def print_table(table: Table, console: Console) -> None:
    """Print a table with its caption, footnotes and warnings, as wide as the console allows."""
    grid = _grid(table, roomy=True)
    if console.measure(grid, options=console.options.update(max_width=10_000)).maximum > (
        console.width
    ):
        grid = _grid(table, roomy=False)
    console.print(Text(f"{table.dataset} / {table.backbone}", style="bold"))
    console.print(grid)
    # A Text for each line: captions and error messages may contain what rich reads as markup.
    marked = legend(table, "bold", "underlined")
    for line in (f"{table.caption} {marked} {table.remark}".rstrip(), *table.footnotes):
        console.print(Padding(Text(line), (0, 0, 0, 1)))
    for line in table.warnings:
        console.print(Padding(Text(f"Warning: {line}", style="bold"), (0, 0, 0, 1)))
    if table.published is not None:
        console.print()
        print_published(table.published, console)
    console.print()


def _grid(table: Table, *, roomy: bool) -> Grid:
    """The rows; if roomy, with spaces around ± and group sizes on the line of the titles."""
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1) if roomy else 0, pad_edge=False)
    grid.add_column("method", overflow="fold", min_width=12)
    cells = [[Text(f"{row.label} {flags(row)}".rstrip())] for row in table.rows]
    joint = " ± " if roomy else "±"
    for column in columns(table):
        size = f"({column.size})" if column.size else ""
        title = f"{column.title}{' ' if roomy and size else chr(10)}{size}".strip()
        pairs = [mean_std(row.values[column.key]) for row in table.rows]
        tails = ["" if std is None else joint + std for _, std in pairs]
        # Padded by hand on both sides to align decimal points: rich would strip the spaces on the
        # right of a right-justified cell.
        after = max(map(len, tails))
        width = max(*(len(mean) + after for mean, _ in pairs), *map(len, title.split("\n")))
        grid.add_column(Text(title, justify="right"), justify="left", no_wrap=True)
        for cell, (mean, _), tail, mark in zip(
            cells, pairs, tails, marks(table, column.key), strict=True
        ):
            text = Text(f"{mean}{tail}", style=_STYLES[mark])
            text = Text(" " * (width - after - len(mean))) + text
            text.pad_right(width - len(text))
            cell.append(text)
    for column in COST_COLUMNS:
        grid.add_column(column.title, justify="right", no_wrap=True)
        for cell, row in zip(cells, table.rows, strict=True):
            cell.append(Text(cost(column.key, row.values[column.key])))
    for cell in cells:
        grid.add_row(*cell)
    return grid
