"""Comparisons for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from reports.compare.cells import (
    STRIP_LEGEND,
    against_notes,
    ends,
    family_notes,
    is_shown,
    pair_heads,
    pair_notes,
    pair_rows,
    strips,
    title_of,
    titles,
    with_sign,
)
from reports.compare.families import Family, Judged
from reports.layout import NONE
from reports.terminal import longest_word


def print_pairs(family: Family, console: Console) -> None:
    """Print each comparison with one line for each metric."""
    for judged in family.members:
        comparison = judged.comparison
        console.print(Text(title_of(comparison.table), style="bold"))
        console.print(Text(f"A: {comparison.a}\nB: {comparison.b}"))
        _print_grid(partial(_pair_grid, judged), console)
        lines = pair_notes(family, judged)
        if dots := strips(comparison):
            console.print(Padding(Text(STRIP_LEGEND), (0, 0, 0, 1)))
            for line in dots:  # a strip is never folded
                console.print(Text(f"   {line}"), no_wrap=True, overflow="ignore", crop=False)
            console.print()
        last = judged is family.members[-1]
        _print_lines([*lines, *(family_notes(family) if last else [])], console)


def print_against(family: Family, console: Console) -> None:
    """Print comparisons of rows of one table with the same B, one line each."""
    first = family.members[0].comparison
    console.print(Text(title_of(first.table), style="bold"))
    console.print(Text(f"A − B, B = {first.b}"))
    _print_grid(partial(_against_grid, family), console)
    _print_lines(against_notes(family), console)


def _print_grid(build: Callable[[str], Grid], console: Console) -> None:
    """Print a grid, breaking intervals into two lines if they do not fit.

    If that is not enough, labels fold. Numbers are never cut.
    """
    grid = build(" to ")
    widest = console.options.update(max_width=10_000)
    if console.measure(grid, options=widest).maximum > console.width:
        grid = build(" to\n")
    console.print(grid, crop=False)


def _pair_grid(judged: Judged, to: str) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    heads, rows = pair_heads(), pair_rows(judged, to)
    grid.add_column(heads[0], overflow="fold", min_width=8)
    for i, head in enumerate(heads[1:], start=1):
        _add_figures(grid, head, [cells[i] for cells in rows], left=i == len(heads) - 1)
    for name, cells in zip(titles([judged.comparison]), rows, strict=True):
        style = "bold" if is_shown(judged.verdicts[name]) else ""
        grid.add_row(*cells[:-1], Text(cells[-1], style=style))
    return grid


def _against_grid(family: Family, to: str) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    rows = [[Text(judged.comparison.a)] for judged in family.members]
    grid.add_column("A", overflow="fold", min_width=longest_word(row[0] for row in rows))
    for name, title in titles([judged.comparison for judged in family.members]).items():
        cells = []
        for judged in family.members:
            i, verdict = judged.comparison.intervals[name], judged.verdicts[name]
            text = NONE if i is None else f"{with_sign(i, verdict)}\n{ends(i, to)}"
            cells.append(Text(text, style="bold" if is_shown(verdict) else ""))
        _add_figures(grid, title.replace(" ", "\n", 1), [cell.plain for cell in cells])
        for row, cell in zip(rows, cells, strict=True):
            row.append(cell)
    for row in rows:
        grid.add_row(*row)
    return grid


def _add_figures(grid: Grid, head: str, cells: Sequence[str], *, left: bool = False) -> None:
    """Add a column as wide as its cells, even if the terminal is narrower."""
    width = max(len(line) for text in (head, *cells) for line in text.split("\n"))
    grid.add_column(head, justify="left" if left else "right", no_wrap=True, min_width=width)


def _print_lines(lines: Sequence[str], console: Console) -> None:
    for line in lines:
        console.print(Padding(Text(line), (0, 0, 0, 1)))
    console.print()
