"""Heads and cells as a Markdown table."""

from __future__ import annotations

from reports.grid import Grid, Head
from reports.layout import Cell
from reports.markdown_text import code, escape_markdown, pipes


def markdown_grid(grid: Grid) -> list[str]:
    """The lines of a table."""
    heads = [grid.stub]
    for before, head in zip((None, *grid.columns), grid.columns, strict=False):
        named = head.group and (before is None or before.group != head.group)
        heads.append(f"{escape_markdown(head.group)} {_head(head)}" if named else _head(head))
    return [
        pipes(heads),
        pipes([":--"] + ["--:"] * len(grid.columns)),
        *(pipes([_head(head, grouped=True), *map(_cell, own)]) for head, own in grid.lines),
    ]


def _head(head: Head, *, grouped: bool = False) -> str:
    text = code(head.text) if head.is_label else escape_markdown(head.text)
    group = escape_markdown(head.group) if grouped else ""
    return " ".join(filter(None, (group, text, *map(escape_markdown, (head.below, head.flags)))))


def _cell(cell: Cell) -> str:
    text = escape_markdown(cell.text)
    return {"best": f"**{text}**", "second": f"<u>{text}</u>", None: text}[cell.mark]
