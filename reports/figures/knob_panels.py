"""Figure of a sweep over a knob of a data set."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from benchmarks.metrics import title_of
from reports.figures.drawing import PLAIN, Drawing, line_of
from reports.figures.looks import GREY, Look
from reports.figures.registry import sweep_figure
from reports.figures.style import GRID, style
from reports.figures.texts import axis_title, drawn_text, legend, line_height, paragraphs
from reports.knob_sweeps import WORDS, KnobSweep, Line
from reports.table import Summary

PANELS = ("overall", "head third", "tail third")
"""Values in the figure; the CSV has the middle third as well."""


@sweep_figure("")
def knob_panels(sweep: KnobSweep, drawing: Drawing = PLAIN) -> Figure:
    """A panel for all classes, the head third and the tail third; one line for each variant.

    Bands are standard deviations over runs (ddof=1); deterministic variants have none.
    """
    options = drawing.options
    titles = {"overall": title_of("overall", sweep.task)}
    titles |= {name: f"{name} ({size} classes)" for name, size in sweep.sizes.items()}
    shown = drawing.shown(sweep.lines, _overall_of)
    with style(options):
        below = paragraphs([*sweep.notes, shown.note], options)
        figure = Figure(layout="constrained")
        # Side by side, values of the knob would not fit under the panels of one column.
        shape = (len(PANELS), 1) if options.narrow else (1, len(PANELS))
        panels = figure.subplots(*shape, sharex=True, sharey=True)
        for axes, name in zip(panels, PANELS, strict=True):
            for line, look in shown:
                _draw(axes, look, [(x, values[name]) for x, values in line.points])
            axes.set_title(titles[name])
            axes.yaxis.grid(True, **GRID)
            axes.set_axisbelow(True)
        _scale(panels[0], sweep)
        panels[1 if options.narrow else 0].set_ylabel(axis_title(sweep.task))
        title = WORDS.get(sweep.knob, ("", drawn_text(sweep.knob)))[1]
        title += " (log scale)" if panels[0].get_xscale() == "log" else ""
        figure.supxlabel("\n".join([title, *below]), fontsize="medium", linespacing=1.4)
        height = 3 * 1.35 if options.narrow else 2.1
        height += line_height(options) * (2 + len(below)) + legend(figure, shown.handles(), options)
        figure.set_size_inches(options.width, height)
    return figure


def _overall_of(line: Line) -> float:
    means = [values["overall"].mean for _, values in line.points]
    return float(np.mean([-1.0 if mean is None else mean for mean in means]))


def _draw(axes: Axes, look: Look, points: Iterable[tuple[float, Summary]]) -> None:
    """Draw a line through the means with a band of one standard deviation on either side."""
    present = [(x, s.mean, s.std or 0.0) for x, s in points if s.mean is not None]
    if not present:
        return
    x, mean, std = map(np.array, zip(*present, strict=True))
    if std.any() and look is not GREY:
        axes.fill_between(x, mean - std, mean + std, color=look.colour, alpha=0.2, lw=0, zorder=2)
    axes.plot(x, mean, clip_on=False, **line_of(look))


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
