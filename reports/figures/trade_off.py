"""The trade-off between head and tail: many-shot against few-shot values of each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.metrics import METRICS
from benchmarks.protocol import GROUPS
from reports.figures.drawing import PLAIN, Drawing, error_bars, score_of
from reports.figures.registry import table_figure
from reports.figures.style import style
from reports.figures.texts import axis_title, legend, line_height, paragraphs
from reports.layout import column
from reports.table import Table

Point = tuple[float, float]
_ISO = 6
"""Lines of equal overall values, about."""


@table_figure("__trade_off")
def trade_off(table: Table, drawing: Drawing = PLAIN) -> Figure | None:
    """Values of the first group of classes against those of the last, with the Pareto front.

    Along a dotted line the overall value is the same, if that of the group between is.

    Returns:
        None if there are fewer than two groups, or fewer than two rows with values in both.
    """
    options = drawing.options
    ends = _ends(table)
    if ends is None:
        return None
    head, tail = ends
    rows = [row for row in table.rows if all(row.values[end].mean is not None for end in ends)]
    if len(rows) < 2:
        return None
    shown = drawing.shown(rows, score_of(table))
    with style(options):
        notes = [_note(table, ends), shown.note]
        below = paragraphs(["; ".join(filter(None, notes))], options)
        side = 0.8 * options.width if options.narrow else 0.5 * options.width
        figure = Figure(layout="constrained")
        axes = figure.add_subplot()
        points = []
        for row, look in shown:
            x, y = row.values[head], row.values[tail]
            assert x.mean is not None and y.mean is not None
            error_bars(axes, look, x.mean, y.mean, dx=x.std, dy=y.std)
            points.append((x.mean, y.mean))
        _limit(axes, points)
        _iso_lines(axes, table, head, tail)
        _front(axes, points)
        quantity = axis_title(table.task).lower()
        axes.set_xlabel("\n".join([f"{column(table, METRICS[head]).head}: {quantity}", *below]))
        axes.set_ylabel(f"{column(table, METRICS[tail]).head}: {quantity}")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        height = side + line_height(options) * (2 + len(below))
        handles = shown.handles(linestyle="none")
        height += legend(figure, handles, options, beside=not options.narrow)
        figure.set_size_inches(options.width, height)
    return figure


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that no other point beats in one coordinate without losing in the other, by x."""
    front: list[Point] = []
    for x, y in sorted(set(points), reverse=True):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front[::-1]


def _ends(table: Table) -> tuple[str, str] | None:
    """The first and the last group that has classes; None if there are fewer than two."""
    present = [group for group in GROUPS if any(row.values[group].n for row in table.rows)]
    return (present[0], present[-1]) if len(present) > 1 else None


def _limit(axes: Axes, points: Sequence[Point]) -> None:
    """Give both axes the same scale, so that a point of one means as much as one of the other."""
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    half = 0.55 * max(float((high - low).max()), 2.0)
    x, y = (low + high) / 2
    axes.set_xlim(x - half, x + half)
    axes.set_ylim(y - half, y + half)


def _iso_lines(axes: Axes, table: Table, head: str, tail: str) -> None:
    """Lines along which the mean over the classes of both groups is the same."""
    groups = next(row for row in table.rows if row.done).done[0].groups
    assert groups is not None
    weights = np.array([getattr(groups, head), getattr(groups, tail)], dtype=float)
    weights /= weights.sum()
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    levels = MaxNLocator(_ISO).tick_values(*(float(weights @ end) for end in ((x0, y0), (x1, y1))))
    for level in levels:
        ends = [(x, (level - weights[0] * x) / weights[1]) for x in (x0, x1)]
        axes.plot(*np.transpose(ends), **_ISO_LINE, zorder=1, scalex=False, scaley=False)


def _front(axes: Axes, points: Sequence[Point]) -> None:
    """Stairs through the Pareto front, from edge to edge."""
    front = pareto_front(points)
    bottom, left = axes.get_ylim()[0], axes.get_xlim()[0]
    corners = [(left, front[0][1])]
    for (x, y), (_, below) in zip(front, [*front[1:], (0, bottom)], strict=True):
        corners += [(x, y), (x, below)]
    axes.plot(*np.transpose(corners), **_FRONT_LINE, zorder=2, scalex=False, scaley=False)


_ISO_LINE: dict[str, Any] = {"color": "#777777", "linewidth": 0.7, "linestyle": (0, (1, 2))}
_FRONT_LINE: dict[str, Any] = {"color": "#555555", "linewidth": 0.8, "linestyle": "-"}


def _note(table: Table, ends: Sequence[str]) -> str:
    """The meaning of the lines."""
    between = [
        group for group in GROUPS
        if group not in ends and any(row.values[group].n for row in table.rows)
    ]  # fmt: skip
    unequal = table.task == "single" and not table.by_overall
    name = "balanced" if unequal else column(table, METRICS["overall"]).title
    iso = f"equal {name}" + (f" if {between[0]} is equal" if between else "")
    return f"line: Pareto front; dotted: {iso}"
