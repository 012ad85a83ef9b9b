"""Figure of a sweep over a knob of a data set."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from benchmarks.metrics import title_of
from reports.figures.style import (
    WIDTH,
    axis_title,
    drawn_text,
    legend,
    legend_columns,
    look,
    shown,
    style,
)
from reports.knob_sweeps import WORDS, KnobSweep
from reports.outputs import sweep_output
from reports.table import Summary

PANELS = ("overall", "head third", "tail third")
"""Values in the figure; the CSV has the middle third as well."""


@sweep_output("")
def sweep_figure(sweep: KnobSweep) -> Figure:
    """A panel for all classes, the head third and the tail third; one line for each variant.

    Bands are standard deviations over runs (ddof=1); deterministic variants have none.
    """
    titles = {"overall": title_of("overall", sweep.task)}
    titles |= {name: f"{name} ({size} classes)" for name, size in sweep.sizes.items()}
    lines, more = shown(sweep.lines)
    with style():
        labels = [drawn_text(line.label) for line in lines]
        ncols = legend_columns(labels)
        notes = (*sweep.notes, f"Drawn: {more}.") if more else sweep.notes
        below = [drawn_text(part) for note in notes for part in textwrap.wrap(note, 104)]
        # Inches: the panels, and lines of text above and below them.
        height = 2.6 + 0.17 * (-(-len(labels) // ncols) + len(below))
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        panels = figure.subplots(1, len(PANELS), sharex=True, sharey=True)
        for axes, name in zip(panels, PANELS, strict=True):
            for i, line in enumerate(lines):
                _draw(axes, i, [(x, values[name]) for x, values in line.points])
            axes.set_title(titles[name], fontsize=8.5)
            axes.yaxis.grid(True, color="#dddddd", lw=0.6, zorder=0)
            axes.set_axisbelow(True)
        _scale(panels[0], sweep)
        panels[0].set_ylabel(axis_title(sweep.task))
        title = WORDS.get(sweep.knob, ("", drawn_text(sweep.knob)))[1]
        title += " (log scale)" if panels[0].get_xscale() == "log" else ""
        figure.supxlabel("\n".join([title, *below]), fontsize=8.5, linespacing=1.4)
        handles = [_handle(i, label) for i, label in enumerate(labels)]
        legend(figure, handles, ncols, handlelength=2.6)
    return figure


def _draw(axes: Axes, i: int, points: Iterable[tuple[float, Summary]]) -> None:
    """Draw a line through the means with a band of one standard deviation on either side."""
    present = [(x, s.mean, s.std or 0.0) for x, s in points if s.mean is not None]
    if not present:
        return
    x, mean, std = map(np.array, zip(*present, strict=True))
    drawn = look(i)
    if std.any():
        axes.fill_between(x, mean - std, mean + std, color=drawn.colour, alpha=0.2, lw=0, zorder=2)
    axes.plot(
        x, mean, color=drawn.colour, linestyle=drawn.dashes, linewidth=1.5, marker=drawn.marker,
        markersize=4.5, markeredgecolor="white", markeredgewidth=0.5, zorder=4, clip_on=False,
    )  # fmt: skip


def _handle(i: int, label: str) -> Line2D:
    drawn = look(i)
    return Line2D(
        [], [], color=drawn.colour, linestyle=drawn.dashes, linewidth=1.5, marker=drawn.marker,
        markersize=4.5, markeredgecolor="white", markeredgewidth=0.5, label=label,
    )  # fmt: skip


def _scale(axes: Axes, sweep: KnobSweep) -> None:
    """Set the scale that all panels share: ticks at the values, and margins around the lines."""
    values = sweep.values
    if values[0] > 0 and values[-1] > 1 and values[-1] / values[0] >= 5:  # ratios, not shares
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.margins(x=0.06)
    means = [s for line in sweep.lines for _, v in line.points for s in map(v.get, PANELS)]
    ends = [
        s.mean + sign * (s.std or 0.0)
        for s in means
        if s is not None and s.mean is not None
        for sign in (-1, 1)
    ]
    low, high = (min(ends), max(ends)) if ends else (0.0, 100.0)
    room = max(0.05 * (high - low), 1.0)
    axes.set_ylim(max(low - room, -2.0), min(high + room, 102.0))
    axes.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
