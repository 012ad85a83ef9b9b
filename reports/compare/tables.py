"""Comparisons for the terminal, as Markdown and as CSV."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from reports.compare.comparison import Comparison, verdict
from reports.compare.intervals import CONFIDENCE, Interval
from reports.compare.parts import compared_metrics
from reports.csv_text import csv_text
from reports.layout import NONE, column, number
from reports.markdown_text import code, escape_markdown, pipes
from reports.table import Table

_LEVEL = f"{100 * CONFIDENCE:.0f} %"
_ONE_BY_ONE = (
    f"The level of {_LEVEL} holds for each interval separately: of 20 comparisons between equal "
    "variants, one is expected to exclude 0."
)


def print_pair(comparison: Comparison, console: Console) -> None:
    """Print a comparison with one line for each metric."""
    console.print(Text(_title(comparison.table), style="bold"))
    console.print(Text(f"A: {comparison.a}\nB: {comparison.b}"))
    _print_grid(lambda to: _pair_grid(comparison, to), console)
    _print_lines(_pair_notes(comparison), console)


def print_against(comparisons: Sequence[Comparison], console: Console) -> None:
    """Print comparisons of rows of one table with the same B, one line each."""
    first = comparisons[0]
    console.print(Text(_title(first.table), style="bold"))
    console.print(Text(f"A − B, B = {first.b}"))
    _print_grid(lambda to: _against_grid(comparisons, to), console)
    _print_lines(_against_notes(comparisons), console)


def _print_grid(build: Callable[[str], Grid], console: Console) -> None:
    """Print a grid, breaking intervals into two lines if they do not fit.

    If that is not enough, labels fold. Numbers are never cut.
    """
    grid = build(" to ")
    widest = console.options.update(max_width=10_000)
    if console.measure(grid, options=widest).maximum > console.width:
        grid = build(" to\n")
    console.print(grid, crop=False)


def _pair_grid(comparison: Comparison, to: str) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    heads, rows = _pair_heads(), _pair_rows(comparison, to)
    grid.add_column(heads[0], overflow="fold", min_width=8)
    for i, head in enumerate(heads[1:], start=1):
        _add_figures(grid, head, [cells[i] for cells in rows], left=i == len(heads) - 1)
    for cells in rows:
        shown = cells[-1].endswith("better")
        grid.add_row(*cells[:-1], Text(cells[-1], style="bold" if shown else ""))
    return grid


def _against_grid(comparisons: Sequence[Comparison], to: str) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    grid.add_column("A", overflow="fold", min_width=12)
    rows = [[Text(comparison.a)] for comparison in comparisons]
    for name, title in _titles(comparisons).items():
        intervals = [comparison.intervals[name] for comparison in comparisons]
        texts = [
            NONE if i is None else f"{_signed(i.difference)} {_sign(name, i)}\n{_ends(i, to)}"
            for i in intervals
        ]
        _add_figures(grid, title.replace(" ", "\n", 1), texts)
        for row, i, text in zip(rows, intervals, texts, strict=True):
            row.append(Text(text, style="" if _sign(name, i) == _UNSHOWN else "bold"))
    for row in rows:
        grid.add_row(*row)
    return grid


def _add_figures(grid: Grid, head: str, cells: Sequence[str], *, left: bool = False) -> None:
    """Add a column as wide as its cells, even if the terminal is narrower."""
    width = max(len(line) for text in (head, *cells) for line in text.split("\n"))
    grid.add_column(head, justify="left" if left else "right", no_wrap=True, min_width=width)


def pair_markdown(comparison: Comparison) -> str:
    """A Markdown section with one line for each metric."""
    lines = [
        f"## {escape_markdown(_title(comparison.table))}",
        "",
        f"A: {code(comparison.a)}, B: {code(comparison.b)}",
        "",
        pipes(_pair_heads()),
        pipes([":--", "--:", "--:", "--:", "--:", ":--"]),
    ]
    for cells in _pair_rows(comparison):
        shown = cells[-1].endswith("better")
        lines.append(pipes([*cells[:-1], f"**{cells[-1]}**" if shown else cells[-1]]))
    notes = [f"- {escape_markdown(line)}" for line in _pair_notes(comparison)]
    return "\n".join([*lines, "", *notes]) + "\n"


def against_markdown(comparisons: Sequence[Comparison]) -> str:
    """A Markdown section with one row for each comparison of a table with the same B."""
    first = comparisons[0]
    titles = _titles(comparisons)
    lines = [
        f"## {escape_markdown(_title(first.table))}: differences to {code(first.b)}",
        "",
        pipes(["A", *titles.values()]),
        pipes([":--"] + ["--:"] * len(titles)),
    ]
    for comparison in comparisons:
        cells = [code(comparison.a)]
        for name in titles:
            i = comparison.intervals[name]
            if i is None:
                cells.append(NONE)
                continue
            mean = f"{_signed(i.difference)} {_sign(name, i)}"
            mean = mean if _sign(name, i) == _UNSHOWN else f"**{mean}**"
            cells.append(f"{mean}<br>{_ends(i)}")
        lines.append(pipes(cells))
    notes = [f"- {escape_markdown(line)}" for line in _against_notes(comparisons)]
    return "\n".join([*lines, "", *notes]) + "\n"


def comparisons_csv(comparisons: Sequence[Comparison]) -> str:
    """One line for each comparison and metric, unrounded; values of an empty group are empty."""
    lines = [
        {
            "dataset": c.table.dataset,
            "backbone": c.table.backbone,
            "a": c.a,
            "b": c.b,
            "metric": metric,
            **({} if i is None else _numbers(i)),
            "verdict": verdict(metric, i),
            "covers": c.covers,
        }
        for c in comparisons
        for metric, i in c.intervals.items()
    ]
    return csv_text(_NAMES, lines)


_NAMES = (
    "dataset", "backbone", "a", "b", "metric", "mean_a", "mean_b", "difference", "low", "high",
    "se_images", "se_runs", "verdict", "covers",
)  # fmt: skip


def _numbers(interval: Interval) -> dict[str, float | None]:
    i = interval
    return {
        "mean_a": i.a, "mean_b": i.b, "difference": i.difference, "low": i.low, "high": i.high,
        "se_images": i.se_images, "se_runs": i.se_runs,
    }  # fmt: skip


# ---- parts ---------------------------------------------------------------------------------------

_UNSHOWN = "="


def _sign(name: str, interval: Interval | None) -> str:
    """`↑` if A is better, `↓` if B is, `=` if no difference is shown."""
    return {"A better": "↑", "B better": "↓"}.get(verdict(name, interval), _UNSHOWN)


def _title(table: Table) -> str:
    return f"{table.dataset} / {table.backbone}"


def _titles(comparisons: Sequence[Comparison]) -> Mapping[str, str]:
    """Column heads of the metrics, with the sizes of the groups.

    On a balanced test set overall and balanced accuracy are equal and share one column.
    """
    table = comparisons[0].table
    titles = {m.key: column(table, m).head for m in compared_metrics(table.task)}
    if "balanced" in titles and all(
        _same(c.intervals["overall"], c.intervals["balanced"]) for c in comparisons
    ):
        del titles["balanced"]
        titles["overall"] = "overall = balanced"
    return titles


def _same(one: Interval | None, other: Interval | None) -> bool:
    if one is None or other is None:
        return one is other
    a, b = ((i.a, i.b, i.low, i.high) for i in (one, other))
    return bool(np.allclose(a, b, rtol=0, atol=1e-9))


def _pair_heads() -> list[str]:
    return ["metric", "A", "B", "A − B", f"{_LEVEL} interval", ""]


def _pair_rows(comparison: Comparison, to: str = " to ") -> list[list[str]]:
    rows = []
    for name, title in _titles([comparison]).items():
        i = comparison.intervals[name]
        values = [NONE] * 4
        if i is not None:
            values = [number(i.a), number(i.b), _signed(i.difference), _ends(i, to)]
        rows.append([title, *values, verdict(name, i)])
    return rows


def _pair_notes(comparison: Comparison) -> list[str]:
    return [f"The intervals cover {comparison.covers}", *comparison.notes]


def _against_notes(comparisons: Sequence[Comparison]) -> list[str]:
    covers: dict[str, list[str]] = {}
    for comparison in comparisons:
        covers.setdefault(comparison.covers, []).append(comparison.a)
    lines = [
        f"A − B in points with its {_LEVEL} interval; ↑ A better, ↓ B better, = no difference "
        f"shown. {_ONE_BY_ONE}"
    ]
    for text, labels in covers.items():
        who = "" if len(covers) == 1 else f" ({', '.join(labels)})"
        lines.append(f"The intervals{who} cover {text}")
    return lines + list(dict.fromkeys(note for c in comparisons for note in c.notes))


def _print_lines(lines: Sequence[str], console: Console) -> None:
    for line in lines:
        console.print(Padding(Text(line), (0, 0, 0, 1)))
    console.print()


def _signed(value: float) -> str:
    """The value with two decimals and a sign; no sign if it rounds to zero."""
    text = f"{value:+.2f}".replace("-", "−")
    return "0.00" if text in ("+0.00", "−0.00") else text


def _ends(interval: Interval, to: str = " to ") -> str:
    return f"{_signed(interval.low)}{to}{_signed(interval.high)}"
