"""The critical-difference diagram of Demšar (2006, figure 1), with groups by signed-rank tests."""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.across.study import Study
from reports.figures.drawing import PLAIN, Drawing, marks_of
from reports.figures.options import FigureOptions
from reports.figures.style import style
from reports.figures.texts import characters, drawn_text, line_height

MOST = 24
"""Most variants in a diagram."""
_SHORTEST = 18
"""Fewest characters of a line of a label, in which names of methods are not broken."""


def diagram(study: Study, drawing: Drawing = PLAIN) -> Figure | None:
    """Mean ranks on an axis, labels below; bars join variants that are not shown to differ.

    Returns:
        None if no test was made.
    """
    if study.tests is None:
        return None
    options = drawing.options
    ranked = study.ranked[:MOST]
    note = f" ({MOST} of {len(study.ranked)} variants)" if len(ranked) < len(study.ranked) else ""
    looks = drawing.looks([next(filter(None, one.line.rows)) for one in ranked])
    bars = [[i for i in group if i < len(ranked)] for group in study.alike]
    bars = [group for group in bars if len(group) > 1]
    labels = [_lines(f"{one.line.name} {one.rank:.2f}", options) for one in ranked]
    line = line_height(options)
    step = 0.09 + line * max(map(len, labels))
    half = -(-len(ranked) // 2)
    height = 0.3 + 0.12 * len(bars) + step * (half + 0.5)
    with style(options):
        figure = Figure(figsize=(options.width, height + 0.3), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xlim(1.0, float(len(study.ranked)))
        axes.set_ylim(height, 0)
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.set_xlabel(f"mean rank over {len(study.matrix.blocks)} data sets{note}")
        axes.yaxis.set_visible(False)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.spines["top"].set_visible(True)
        for i, group in enumerate(bars):
            ends = [ranked[group[0]].rank, ranked[group[-1]].rank]
            axes.plot(ends, [0.12 * (i + 1)] * 2, color="black", lw=2.5, clip_on=False)
        top = 0.12 * (len(bars) + 1)
        for i, (one, look) in enumerate(zip(ranked, looks, strict=True)):
            left = i < half
            y = top + step * (i + 0.7 if left else len(ranked) - i - 0.3)
            _label(axes, one.rank, y, "\n".join(labels[i]), left=left)
            axes.plot([one.rank], [0], clip_on=False, **(marks_of(look) | {"zorder": 6}))
    return figure


def _lines(label: str, options: FigureOptions) -> list[str]:
    # The axis between the labels has as much room as those on one side.
    room = max(characters(options.width / 3, options), _SHORTEST)
    parts = textwrap.wrap(label, room, max_lines=3, placeholder=" …", break_on_hyphens=False)
    return [drawn_text(part) for part in parts]


def _label(axes: Axes, rank: float, y: float, text: str, *, left: bool) -> None:
    """A line from a rank on the axis down and out to a label at the edge."""
    edge = 0.0 if left else 1.0
    axes.plot([rank, rank], [0, y], color="#555555", lw=0.7, clip_on=False)
    end = axes.get_xlim()[0 if left else 1]
    axes.plot([rank, end], [y, y], color="#555555", lw=0.7, clip_on=False)
    axes.annotate(
        text, (edge, y), xycoords=("axes fraction", "data"), xytext=(-3 if left else 3, 0),
        textcoords="offset points", ha="right" if left else "left", va="center",
    )  # fmt: skip
