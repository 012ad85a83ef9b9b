"""A table for the terminal, readable without colour and in 80 columns."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Rich
from rich.text import Text

from reports.grid import Grid, Head, table_grid
from reports.layout import Cell, legend
from reports.published.tables import print_published
from reports.table import Mark, Table

_STYLES: dict[Mark | None, str] = {"best": "bold", "second": "underline", None: ""}


def print_table(table: Table, console: Console) -> None:
    """Print a table with its caption, footnotes and warnings, as wide as the console allows."""
    console.print(Text(f"{table.name} / {table.backbone_name}", style="bold"))
    print_grid(table_grid(table), console)
    # A Text for each line: captions and error messages may contain what rich reads as markup.
    caption = (table.caption, legend(table, "bold", "underlined"), table.remark)
    for line in (" ".join(filter(None, caption)), *table.footnotes):
        console.print(Padding(Text(line), (0, 0, 0, 1)))
    for line in table.warnings:
        console.print(Padding(Text(f"Warning: {line}", style="bold"), (0, 0, 0, 1)))
    if table.published is not None:
        console.print()
        print_published(table.published, console)
    console.print()


def print_grid(grid: Grid, console: Console) -> None:
    """Print a table: densely if the console is narrow, in several parts if it is too narrow."""
    anything = console.options.update(max_width=10_000)
    found = _rich(grid, roomy=True)
    if console.measure(found, options=anything).maximum <= console.width:
        console.print(found)
        return
    start = 0
    while start < len(grid.columns):
        end = len(grid.columns)
        part = _rich(grid.part(start, end), roomy=False)
        while end > start + 1 and (console.measure(part, options=anything).minimum > console.width):
            end -= 1
            part = _rich(grid.part(start, end), roomy=False)
        console.print(part)
        start = end


def _rich(grid: Grid, *, roomy: bool) -> Rich:
    """The table; if roomy, with spaces around ± and group sizes on the line of the titles."""
    found = Rich(box=box.SIMPLE_HEAD, padding=(0, 1) if roomy else 0, pad_edge=False)
    lines = [[Text(" ".join(filter(None, (h.group, h.on_one_line))))] for h, _ in grid.lines]
    found.add_column(grid.stub, overflow="fold", min_width=longest_word(line[0] for line in lines))
    group = ""
    for place, head in enumerate(grid.columns):
        title = _title(head, roomy=roomy, grouped=head.group != group)
        group = head.group
        texts = _aligned(grid.column(place), title, roomy=roomy)
        # Without it rich takes the longest word for the least width, and cuts what does not fit.
        width = max(map(len, (*title.split("\n"), *map(str, texts))))
        found.add_column(
            Text(title, justify="right"), justify="left", no_wrap=True, min_width=width
        )
        for line, text in zip(lines, texts, strict=True):
            line.append(text)
    for line in lines:
        found.add_row(*line)
    return found


def longest_word(texts: Iterable[Text], least: int = 12, most: int = 30) -> int:
    """The width of a column of names in which no word is broken, within limits."""
    words = [len(word) for text in texts for word in text.plain.split()]
    return min(max([least, *words]), most)


def _title(head: Head, *, roomy: bool, grouped: bool) -> str:
    """The head of a column; the first one of a group names it."""
    between = " " if roomy else "\n"
    own = between.join(filter(None, (head.text, head.below, head.flags)))
    group = head.group.replace(" (", "\n(") if grouped else ""
    return "\n".join(filter(None, (group, own)))


def _aligned(cells: list[Cell], title: str, *, roomy: bool) -> list[Text]:
    """The cells of a column with their decimal points below each other.

    They are padded by hand on both sides: rich would strip the spaces on the right of a
    right-justified cell.
    """
    tails = [f" {cell.after}" if roomy and cell.after else _dense(cell.after) for cell in cells]
    after = max(map(len, tails), default=0)
    width = max([len(c.value) + after for c in cells] + [len(x) for x in title.split("\n")])
    texts = []
    for cell, tail in zip(cells, tails, strict=True):
        text = Text(f"{cell.value}{tail}", style=_STYLES[cell.mark])
        text = Text(" " * (width - after - len(cell.value))) + text
        text.pad_right(width - len(text))
        texts.append(text)
    return texts


def _dense(after: str) -> str:
    return after.replace("± ", "±").replace("(±", "(").replace(" to ", "–")
