"""The head-tail figure: accuracy by class against training frequency."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports.figures.class_axis import Array, ClassAxis, by_class, head_first, mean_of
from reports.figures.drawing import PLAIN, Drawing, Shown, line_of, marks_of, score_of
from reports.figures.looks import GREY
from reports.figures.registry import table_figure
from reports.figures.second_axis import height_of, second_axis
from reports.figures.style import GRID, style
from reports.figures.texts import (
    axis_title,
    legend,
    line_height,
    paragraphs,
    spread_out,
    wrap,
)
from reports.table import Row, Table

_LEADING = 0.3
"""Lines of text between two labels."""
_MOST_DOTS = 2000
"""Most classes of all rows in colour that are drawn as dots beside the lines."""
_MOST_DOTTED = 4
"""Most rows in colour with such dots: those of more rows look alike."""
_STRIP = 0.45
"""Inches."""


@table_figure("__head_tail")
def head_tail(table: Table, drawing: Drawing = PLAIN) -> Figure | None:
    """Accuracy by class against training frequency, one line for each row of the table.

    Lines are running means over neighbouring ranks that never cross a border of groups or a step of
    the profile; with few rows, dots are the classes themselves. Few classes are named and drawn as
    points alone. All are means over a row's runs. A strip at the top shows the training images of
    each class, shades show the groups; one below it those that the user names.

    Returns:
        None if no row has values.
    """
    done = [row for row in table.rows if row.done]
    if not done:
        return None
    options = drawing.options
    shown = drawing.shown(done, score_of(table))
    curves = [_curve(row) for row in shown.rows]
    longest = max(range(len(curves)), key=lambda i: len(curves[i]))
    classes = ClassAxis.of([run for row in (shown.rows[longest], *shown.rows) for run in row.done])
    beside = not (classes.few or options.narrow)
    with style(options):
        notes = [shown.note]
        window = smoothing_window(len(curves[longest]))
        dotted = window > 1 and _has_dots(shown, curves)
        if window > 1:
            notes.insert(0, f"lines: mean over {window} neighbours{'; dots: classes' * dotted}")
        below = paragraphs(["; ".join(filter(None, notes))], options)
        labels = [wrap(row.name) for row, _ in shown.coloured]
        lines = sum(label.count("\n") + 1 + _LEADING for label in labels) if beside else 0.0
        height = max(0.25 * options.width + 0.75, 1.05 * line_height(options) * lines)
        figure = Figure(layout="constrained")
        second = height_of(table.partition)
        heights = (_STRIP, *([second] if second else []), height)
        grid = figure.add_gridspec(len(heights), 1, height_ratios=heights, hspace=0.02)
        axes = figure.add_subplot(grid[-1])
        strip = figure.add_subplot(grid[0], sharex=axes)
        if table.partition is not None:
            order = head_first(shown.rows[longest].done[0])
            between = figure.add_subplot(grid[1], sharex=axes)
            second_axis(between, table.partition, order, classes)
        title = classes.label(axes, options)
        classes.strip(strip, options)
        classes.shade(axes)
        if classes.few:
            _points(axes, shown, curves)
        else:
            ends = _lines(axes, shown, curves, window, dotted=dotted)
        axes.set_ylabel(axis_title(table.task))
        axes.set_xlabel("\n".join([title, *below]))
        if not classes.few:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=3))
        axes.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
        _limit(axes, curves)
        taken = line_height(options) * (3.5 + len(below)) + _STRIP + second
        if classes.names:
            taken += 0.6
        if beside:
            across = [(len(curve) - 0.5) / len(curves[longest]) for curve in curves]
            pairs = list(zip(across, ends, strict=True))
            _label_ends(axes, shown, pairs, line_height(options) / height)
        else:
            change = {"linestyle": "none"} if classes.few else {}
            taken += legend(figure, shown.handles(**change), options)
        figure.set_size_inches(options.width, height + taken)
    return figure


def smoothing_window(classes: int) -> int:
    """Ranks averaged into a point of a line: a tenth of the classes, odd; 1 below 20 classes."""
    return 1 if classes < 20 else classes // 10 // 2 * 2 + 1


def running_mean(values: Array, window: int) -> Array:
    """Centred mean of (C,) `values` over `window` ranks, fewer at the ends; NaN is ignored."""
    kernel = np.ones(window)
    present = ~np.isnan(values)
    total = np.convolve(np.where(present, values, 0.0), kernel, mode="full")
    number = np.convolve(present.astype(float), kernel, mode="full")
    half = window // 2
    total, number = (array[half : half + len(values)] for array in (total, number))
    return np.where(number > 0.5, total / np.maximum(number, 1.0), np.nan)


def _curve(row: Row) -> Array:
    """(C,) values by rank, averaged over the runs; NaN if no run has a value.

    The average is by rank and not by class, because the largest class differs between splits.
    """
    return mean_of([by_class(record)[head_first(record)] for record in row.done])


def _has_dots(shown: Shown[Row], curves: Sequence[Array]) -> bool:
    coloured = [len(c) for c, look in zip(curves, shown.looks, strict=True) if look is not GREY]
    return len(coloured) <= _MOST_DOTTED and sum(coloured) <= _MOST_DOTS


def smoothed(values: Array, pieces: Sequence[slice], window: int) -> Array:
    """(C,) running means within each piece."""
    return np.concatenate([running_mean(values[piece], window) for piece in pieces])


def _lines(
    axes: Axes, shown: Shown[Row], curves: Sequence[Array], window: int, *, dotted: bool
) -> list[float]:
    """Draw a line for each row, interrupted where neighbouring classes are not alike.

    Returns:
        The last value of each line.
    """
    ends = []
    for i, ((row, look), values) in enumerate(zip(shown, curves, strict=True)):
        place = np.arange(1, len(values) + 1)
        if dotted and look is not GREY:
            size = float(np.interp(len(values), (20, 1000), (5.0, 2.5)))
            axes.plot(
                place, values, linestyle="none", marker=".", markersize=size, markeredgewidth=0,
                color=look.colour, alpha=0.4, zorder=2,
            )  # fmt: skip
        pieces = ClassAxis.of(row.done).pieces
        line = smoothed(values, pieces, window)
        step = max(len(values) // 8, 1)
        marked = np.arange(step * i // len(curves) if step > 1 else 0, len(values), step)
        appearance = line_of(look) | ({"marker": ""} if look is GREY else {})
        for piece in pieces:
            ranks = place[piece]
            inside = np.flatnonzero(np.isin(ranks - 1, marked)).tolist()
            axes.plot(
                ranks, line[piece], markevery=inside or [len(ranks) // 2], **appearance
            )  # fmt: skip
        present = line[~np.isnan(line)]
        ends.append(float(present[-1]) if len(present) else 0.0)
    return ends


def _points(axes: Axes, shown: Shown[Row], curves: Sequence[Array]) -> None:
    """Draw the classes of each row as points, those of one class beside each other."""
    axes.grid(True, axis="y", **GRID)
    for i, ((_, look), values) in enumerate(zip(shown, curves, strict=True)):
        offset = 0.7 * ((i + 0.5) / len(curves) - 0.5)
        place = np.arange(1, len(values) + 1) + offset
        axes.plot(place, values, **{**marks_of(look), "linestyle": "none"})


def _limit(axes: Axes, curves: Sequence[Array]) -> None:
    values = np.concatenate(curves)
    values = values[~np.isnan(values)]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 100.0)
    room = max(0.04 * (high - low), 5.0 - (high - low) / 2, 1.0)
    # Percentages end at 0 and 100; the margin keeps markers there from being cut.
    axes.set_ylim(max(low - room, -2.0), min(high + room, 102.0))


def _label_ends(
    axes: Axes, shown: Shown[Row], ends: Sequence[tuple[float, float]], line: float
) -> None:
    """Write each label, with a sample of its line, to the right of the line without overlaps.

    `line` is the height of a line of text as a fraction of the axes' height.
    """
    low, high = axes.get_ylim()
    coloured = [
        (wrap(row.name), look, end)
        for (row, look), end in zip(shown, ends, strict=True)
        if look is not GREY
    ]
    starts = [(end[1] - low) / (high - low) for _, _, end in coloured]
    sizes = [(text.count("\n") + 1 + _LEADING) * line for text, _, _ in coloured]
    heights = spread_out(starts, [size / max(sum(sizes), 1.0) for size in sizes])
    for (text, look, end), start, height in zip(coloured, starts, heights, strict=True):
        axes.add_line(
            Line2D([end[0], 1.03], [start, height], transform=axes.transAxes, clip_on=False,
                   color=look.colour, lw=0.6)
        )  # fmt: skip
        axes.add_line(
            Line2D([1.03, 1.06, 1.09], [height] * 3, transform=axes.transAxes, clip_on=False,
                   markevery=[1], **line_of(look))
        )  # fmt: skip
        axes.text(1.1, height, text, transform=axes.transAxes, va="center", linespacing=0.95)
