"""Calibration by group: reliability diagrams and expected calibration errors with adaptive bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from benchmarks.metrics import METRICS
from benchmarks.protocol import GROUPS
from reports.aggregate import summarise
from reports.figures.drawing import PLAIN, Drawing, error_bars, line_of, score_of
from reports.figures.looks import GREY
from reports.figures.outcomes import Run
from reports.figures.registry import table_figure
from reports.figures.row_axis import RowAxis
from reports.figures.style import GRID, style
from reports.figures.texts import line_height, paragraphs
from reports.layout import column
from reports.table import Table

Array = NDArray[np.float64]
BINS = 15
FEWEST = 30
"""Images in a bin, if a group has fewer than BINS times as many."""


class Bins(NamedTuple):
    """Images divided by confidence into bins of equal size."""

    confidence: Array
    """(B,) mean probability of the predicted class, in percent."""
    accuracy: Array
    """(B,) share of right predictions, in percent."""
    share: Array
    """(B,) share of the images, by weight."""

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap between confidence and accuracy."""
        return float(np.abs(self.confidence - self.accuracy) @ self.share)


def adaptive_bins(
    confidence: NDArray[np.float32], right: NDArray[np.bool_], weights: Array
) -> Bins:
    """Bins of equal size by confidence: BINS, or fewer such that each has FEWEST images.

    Args:
        confidence: (N,) probability of the predicted class, N > 0.
        right: (N,) True where it is the true one.
        weights: (N,) positive weight of each image in means and shares.
    """
    order = np.argsort(confidence, kind="stable")
    number = int(np.clip(len(order) // FEWEST, 1, BINS))
    parts = np.array_split(order, number)
    return Bins(
        np.array([100.0 * np.average(confidence[part], weights=weights[part]) for part in parts]),
        np.array([100.0 * np.average(right[part], weights=weights[part]) for part in parts]),
        np.array([weights[part].sum() / weights.sum() for part in parts]),
    )


@table_figure("__calibration")
def calibration(table: Table, drawing: Drawing = PLAIN) -> Figure | None:
    """For each group, accuracy against confidence above and calibration errors by row below.

    Reliability diagrams pool the test images of all runs of a row; errors are means over its runs.

    Returns:
        None for multi-label data, and if no row has predictions.
    """
    if table.task != "single" or drawing.outcomes is None:
        return None
    options, outcomes = drawing.options, drawing.outcomes
    done = [row for row in table.rows if row.done]
    shown = drawing.shown([row for row in done if outcomes.runs(row)], score_of(table))
    runs = [outcomes.runs(row) for row in shown.rows]
    groups = [g for g in GROUPS if any(run.of_group(g).any() for own in runs for run in own)]
    if not groups:
        return None
    with style(options):
        without = len(done) - len(runs)
        notes = [shown.note, f"no predictions of {without} rows" if without else ""]
        below = paragraphs(["; ".join(filter(None, notes))], options)
        rows = RowAxis.of(shown.rows, options)
        side = (options.width - (1.2 if options.narrow else 1.9)) / len(groups)
        side = min(side, 2.0)
        figure = Figure(layout="constrained")
        ratios = (side, rows.inches(options))
        grid = figure.subplots(
            2, len(groups), sharex="row", sharey="row", squeeze=False, height_ratios=ratios
        )
        for above, beneath, group in zip(*grid, groups, strict=True):
            above.set_title(column(table, METRICS[group]).head)
            _diagonal(above)
            for i, (own, look) in enumerate(zip(runs, shown.looks, strict=True)):
                curve = _pooled(own, group)
                if curve is not None:
                    plain = {"marker": ""} if look is GREY else {}
                    # Few markers, at other places in each line, because lines are close.
                    every = (i % 4, 4) if len(curve.share) > 4 else 1
                    above.plot(
                        curve.confidence, curve.accuracy, markevery=every,
                        **(line_of(look) | plain),
                    )  # fmt: skip
            for place, own, look in zip(rows.places, runs, shown.looks, strict=True):
                error = summarise(_errors(own, group))
                if error.mean is not None:
                    error_bars(beneath, look, error.mean, place, dx=error.std)
        grid[0, 0].set_ylabel("accuracy (%)")
        grid[1, 0].xaxis.set_major_locator(MaxNLocator(3, min_n_ticks=2))
        grid[1, 0].set_xlim(left=0)
        rows.label(grid[1])
        middle = len(groups) // 2
        grid[0, middle].set_xlabel("confidence (%)")
        title = f"calibration error (%), up to {BINS} bins of equal size"
        figure.supxlabel("\n".join([title, *below]), fontsize="medium")
        height = side + rows.inches(options) + line_height(options) * (6 + len(below))
        figure.set_size_inches(options.width, height)
    return figure


def _diagonal(axes: Axes) -> None:
    axes.plot([0, 100], [0, 100], color="#888888", linewidth=0.7, zorder=1)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_xticks([0, 50, 100])
    axes.set_yticks([0, 50, 100])
    axes.set_aspect("equal")
    axes.grid(True, **GRID)
    axes.set_axisbelow(True)


def _of_group(run: Run, group: str) -> tuple[NDArray[np.float32], NDArray[np.bool_], Array]:
    chosen = run.of_group(group)
    return run.confidence[chosen], run.right[chosen], run.weight[run.label[chosen]]


def _pooled(runs: Sequence[Run], group: str) -> Bins | None:
    parts = [_of_group(run, group) for run in runs]
    confidence, right, weights = (np.concatenate(own) for own in zip(*parts, strict=True))
    return adaptive_bins(confidence, right, weights) if len(right) else None


def _errors(runs: Sequence[Run], group: str) -> list[float | None]:
    parts = [_of_group(run, group) for run in runs]
    return [adaptive_bins(*own).error if len(own[1]) else None for own in parts]
