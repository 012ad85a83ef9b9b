"""Test images of the tail by the groups of the classes that they are given to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from benchmarks.metrics import METRICS
from benchmarks.protocol import GROUPS
from reports.aggregate import summarise
from reports.figures.drawing import PLAIN, Drawing, error_bars, score_of
from reports.figures.outcomes import Run
from reports.figures.registry import table_figure
from reports.figures.row_axis import RowAxis
from reports.figures.style import style
from reports.figures.texts import legend, line_height, paragraphs
from reports.layout import column
from reports.table import Table

TAIL = GROUPS[-1]
PARTS = ("right", f"other {TAIL}", *GROUPS[-2::-1])
"""Parts of a bar, from the left."""
_NEAR = ("to the class of\nthe nearest name (%)", "nearest\nname (%)")
_FILLS = (("#3b3b3b", ""), ("#808080", ""), ("#c4c4c4", ""), ("#ffffff", "////"))


@table_figure("__tail_images")
def tail_images(table: Table, drawing: Drawing = PLAIN) -> Figure | None:
    """A bar for each row: the shares of few-shot test images by the group that they are given to.

    Beside it, the share that is given to the class whose name is nearest to that of the true class,
    if the records say which that is.

    Returns:
        None for multi-label data, without few-shot test images, and if no row has predictions.
    """
    if table.task != "single" or drawing.outcomes is None:
        return None
    options, outcomes = drawing.options, drawing.outcomes
    done = [row for row in table.rows if row.done]
    shown = drawing.shown([row for row in done if outcomes.runs(row)], score_of(table), named=True)
    runs = [outcomes.runs(row) for row in shown.rows]
    if not any(run.of_group(TAIL).any() for own in runs for run in own):
        return None
    near = [[share for run in own if (share := nearest_share(run)) is not None] for own in runs]
    with style(options):
        without = len(done) - len(runs)
        rows = RowAxis.of(shown.rows, options)
        notes = [shown.note, f"no predictions of {without} rows" if without else ""]
        below = paragraphs(["; ".join(filter(None, notes))], options)
        figure = Figure(layout="constrained")
        two = any(near)
        ratios = (5, 2) if two else (1,)
        panels = figure.subplots(1, len(ratios), sharey=True, squeeze=False, width_ratios=ratios)[0]
        _bars(panels[0], rows, runs)
        head = column(table, METRICS[TAIL])
        title = (
            f"{head.head}: images (%)"
            if options.narrow
            else f"test images of {head.head} classes (%)"
        )
        panels[0].set_xlabel("\n".join([title, *below]))
        if two:
            for place, look, own in zip(rows.places, shown.looks, near, strict=True):
                value = summarise(own)
                if value.mean is not None:
                    error_bars(panels[1], look, value.mean, place, dx=value.std)
            panels[1].set_xlabel(_NEAR[options.narrow])
            panels[1].set_xlim(left=0)
            panels[1].xaxis.set_major_locator(MaxNLocator(3, min_n_ticks=2))
        rows.label(panels)
        panels[0].grid(False)
        handles = [
            Patch(facecolor=colour, hatch=hatch, edgecolor="black", linewidth=0.5, label=name)
            for name, (colour, hatch) in zip(PARTS, _FILLS, strict=True)
        ]
        height = rows.inches(options) + line_height(options) * (3.5 + len(below))
        height += legend(figure, handles, options)
        figure.set_size_inches(options.width, height)
    return figure


def shares(run: Run) -> list[float]:
    """The share in percent of each of PARTS among the test images of the tail; they sum to 100."""
    tail = run.of_group(TAIL)
    right = run.right[tail]
    given = run.group[run.predicted[tail]]
    found = [right, (given == GROUPS.index(TAIL)) & ~right]
    found += [given == GROUPS.index(name) for name in PARTS[2:]]
    weights = run.weight[run.label[tail]]
    return [float(100.0 * np.average(part, weights=weights)) for part in found]


def nearest_share(run: Run) -> float | None:
    """The share in percent of the tail's images given to the class of the nearest name."""
    tail = run.of_group(TAIL)
    if run.nearest is None or not tail.any():
        return None
    label = run.label[tail]
    near = run.predicted[tail] == run.nearest[label]
    return float(100.0 * np.average(near, weights=run.weight[label]))


def _bars(axes: Axes, rows: RowAxis, runs: Sequence[Sequence[Run]]) -> None:
    """A bar of all parts for each row, their means over its runs."""
    values = np.array([
        np.mean([shares(run) for run in own if run.of_group(TAIL).any()], axis=0) for own in runs
    ])  # fmt: skip
    left = np.zeros(len(runs))
    for part, (colour, hatch) in zip(values.T, _FILLS, strict=True):
        axes.barh(
            rows.places, part, 0.9, left=left, facecolor=colour, hatch=hatch, edgecolor="black",
            linewidth=0.4,
        )  # fmt: skip
        left += part
    axes.set_xlim(0, 100)
