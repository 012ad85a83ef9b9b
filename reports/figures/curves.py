"""Curves of the training: the loss, the score on validation images and a method's own by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from reports.figures.drawing import PLAIN, Drawing, line_of, score_of
from reports.figures.looks import GREY, Look
from reports.figures.registry import table_figure
from reports.figures.style import GRID, style
from reports.figures.texts import drawn_text, legend, line_height, paragraphs
from reports.table import Row, Table
from results.schema import Record

Array = NDArray[np.float64]
TITLES = {"loss": "mean training loss", "validation": "validation score (%)"}
"""Curves of the shared training loop, with their titles; these come first."""
MOST = 6
"""Most panels."""


@table_figure("__epochs")
def epochs(table: Table, drawing: Drawing = PLAIN) -> Figure | None:
    """A panel for each curve in the records, with a line for each row that has it.

    Lines are means over a row's runs, bands are standard deviations (ddof=1).

    Returns:
        None if no record has a curve.
    """
    rows = [row for row in table.rows if any(run.curves for run in row.done)]
    if not rows:
        return None
    options = drawing.options
    names = {name for row in rows for run in row.done for name in run.curves}
    ordered = [*(n for n in TITLES if n in names), *sorted(names - TITLES.keys())]
    shown = drawing.shown(rows, score_of(table))
    with style(options):
        notes = [shown.note]
        if len(ordered) > MOST:
            notes.append(f"not drawn: {', '.join(ordered[MOST:])}")
        if "loss" in ordered and len({row.method for row in rows}) > 1:
            notes.append("methods differ in their losses, whose heights cannot be compared")
        below = paragraphs(["; ".join(filter(None, notes))], options)
        drawn = ordered[:MOST]
        across = min(len(drawn), 1 if options.narrow else 3)
        down = -(-len(drawn) // across)
        figure = Figure(layout="constrained")
        grid = figure.subplots(down, across, squeeze=False)
        for axes in grid.flat[len(drawn) :]:
            axes.set_visible(False)
        for axes, name in zip(grid.flat, drawn, strict=False):
            lines = [_draw(axes, look, row, name) for row, look in shown]
            _scale(axes, name, [line for line in lines if line is not None])
        figure.supxlabel("\n".join(["epoch", *below]), fontsize="medium")
        height = down * (1.5 if options.narrow else 1.9) + line_height(options) * (2 + len(below))
        height += legend(figure, shown.handles(), options)
        figure.set_size_inches(options.width, height)
    return figure


def mean_curve(runs: Sequence[Record], name: str) -> tuple[Array, Array, Array] | None:
    """Epochs, means and standard deviations of a curve, at the epochs that all runs with it have.

    Returns:
        None if no run has it, or no epoch is common to all that do. The deviations of a single run
        are 0.
    """
    curves = [dict(run.curves[name]) for run in runs if run.curves.get(name)]
    common = sorted(set.intersection(*map(set, curves))) if curves else []
    if not common:
        return None
    values = np.array([[curve[epoch] for epoch in common] for curve in curves], dtype=float)
    std = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(common))
    return np.array(common, dtype=float), values.mean(axis=0), std


def _draw(axes: Axes, look: Look, row: Row, name: str) -> Array | None:
    """Draw a row's curve with its band; return the means."""
    curve = mean_curve(row.done, name)
    if curve is None:
        return None
    at, mean, std = curve
    if name == "validation":
        mean, std = 100 * mean, 100 * std
    if std.any() and look is not GREY:
        axes.fill_between(at, mean - std, mean + std, color=look.colour, alpha=0.2, lw=0, zorder=2)
    every = max(len(at) // 6, 1)
    axes.plot(at, mean, markevery=every, **line_of(look))
    return mean


def _scale(axes: Axes, name: str, lines: Sequence[Array]) -> None:
    """Set the title and the scale of a panel: losses of several sizes on a logarithmic one."""
    axes.set_title(TITLES.get(name, drawn_text(name, 40)))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    values = np.concatenate(lines) if lines else np.ones(1)
    if name == "loss" and values.min() > 0 and values.max() > 20 * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=5))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.grid(True, axis="y", **GRID)
    axes.set_axisbelow(True)
