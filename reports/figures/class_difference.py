"""Differences of two rows by class, from the classes with most training images to the fewest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.errors import UserError
from reports.compare.comparison import Comparison
from reports.compare.intervals import CONFIDENCE
from reports.compare.runs import Read
from reports.compare.units import paired_units
from reports.figures.class_axis import Array, ClassAxis, by_class, head_first, mean_of
from reports.figures.drawing import PLAIN, Drawing, score_of
from reports.figures.looks import Look
from reports.figures.options import FigureOptions
from reports.figures.outcomes import Outcomes
from reports.figures.registry import table_figure
from reports.figures.style import save, style
from reports.figures.texts import characters, drawn_text, line_height, paragraphs
from reports.table import Row, Table

_STRIP = 0.45
"""Inches."""


@table_figure("__difference")
def best_two(table: Table, drawing: Drawing = PLAIN) -> Figure | None:
    """The two rows that are highlighted first, otherwise the two of the highest overall values.

    Returns:
        None if there are no two rows with values of runs that can be paired.
    """
    done = sorted((row for row in table.rows if row.done), key=score_of(table), reverse=True)
    asked = drawing.options.highlight
    named = [row for name in asked for row in done if name in (row.label, row.method)]
    chosen = list({row.label: row for row in (*named, *done)}.values())[:2]
    return difference(table, chosen[0], chosen[1], drawing) if len(chosen) == 2 else None


def difference(table: Table, a: Row, b: Row, drawing: Drawing = PLAIN) -> Figure | None:
    """A bar for each class: its value in row A minus that in row B, over runs of the same seeds.

    Lines are means over the classes of a group. With predictions, they have intervals over test
    images and runs.

    Returns:
        None if the rows have no runs of the same seeds, or runs of different classes.
    """
    values = class_differences(a, b)
    if values is None:
        return None
    options = drawing.options
    classes = ClassAxis.of([pair[0] for unit in paired_units(a, b) for pair in unit])
    looks = drawing.looks([a, b])
    with style(options):
        notes = ["lines: means of the groups"]
        figure = Figure(layout="constrained")
        height = 0.2 * options.width + 1.1
        grid = figure.add_gridspec(2, 1, height_ratios=(_STRIP, height), hspace=0.02)
        axes = figure.add_subplot(grid[1])
        strip = figure.add_subplot(grid[0], sharex=axes)
        title = classes.label(axes, options)
        classes.strip(strip, options)
        classes.shade(axes)
        _bars(axes, classes, values, looks)
        if _means(axes, table, a, b, classes, values, drawing):
            notes.append(f"with {100 * CONFIDENCE:.0f} % intervals")
        _limit(axes, values)
        room = characters(0.5 * options.width, options)
        for row, look, y, va in ((a, looks[0], 0.98, "top"), (b, looks[1], 0.02, "bottom")):
            axes.text(
                0.99, y, f"{drawn_text(row.name, room)} better", transform=axes.transAxes,
                ha="right", va=va, color=look.colour, zorder=6,
                bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1.0},
            )  # fmt: skip
        quantity = "average precision" if table.task == "multi" else "accuracy"
        axes.set_ylabel(f"difference of\n{quantity} (points)")
        below = paragraphs([" ".join(notes)], options)
        axes.set_xlabel("\n".join([title, *below]))
        if not classes.few:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=3))
        taken = line_height(options) * (3.5 + len(below)) + _STRIP + (0.6 if classes.names else 0)
        figure.set_size_inches(options.width, height + taken)
    return figure


def write_difference(
    comparisons: Sequence[Comparison], read: Read, file: Path, options: FigureOptions
) -> None:
    """Write the figure of a comparison.

    Args:
        comparisons: one.
        read: returns the predictions of a record.
        file: whose ending is the only format of the options.
        options: of the figure.

    Raises:
        UserError: there are several comparisons, or the file cannot be written.
    """
    if len(comparisons) > 1:
        raise UserError(
            f"{file}: a figure shows one pair of variants on one data set: name them with --a, --b "
            "and --datasets."
        )
    (one,) = comparisons
    rows = {row.label: row for row in one.table.rows}
    drawing = Drawing.of([one.table], options, Outcomes(read))
    a, b = (rows[label] for label in one.labels)
    figure = difference(one.table, a, b, drawing)
    if figure is None:
        raise UserError(f"{file}: '{one.a}' and '{one.b}' have no values by class to compare.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save(figure, file.with_suffix(""), options)
    except OSError as error:
        raise UserError(f"Cannot write {file}: {error.strerror or error}.") from error


def class_differences(a: Row, b: Row) -> Array | None:
    """(C,) A - B by rank, the mean over pairs of runs; None without pairs of the same classes."""
    pairs = [pair for unit in paired_units(a, b) for pair in unit]
    if not pairs or any(len(by_class(one)) != len(by_class(other)) for one, other in pairs):
        return None
    return mean_of([(by_class(one) - by_class(other))[head_first(one)] for one, other in pairs])


def _bars(axes: Axes, classes: ClassAxis, values: Array, looks: Sequence[Look]) -> None:
    for look, part in zip(looks, (np.maximum(values, 0), np.minimum(values, 0)), strict=True):
        classes.columns(axes, np.nan_to_num(part), color=look.colour, alpha=0.75, zorder=2)
    axes.axhline(0, color="black", linewidth=0.7, zorder=3)


def _means(
    axes: Axes,
    table: Table,
    a: Row,
    b: Row,
    classes: ClassAxis,
    values: Array,
    drawing: Drawing,
) -> bool:
    """Draw the mean of each group, and its interval; return True if there is one."""
    found = False
    for name, first, end in classes.runs:
        own = values[first:end]
        if np.isnan(own).all():
            continue
        mean = float(np.nanmean(own))
        interval = None
        if drawing.outcomes is not None:
            interval = drawing.outcomes.difference(table, a, b, name)
        if interval is not None:
            mean, found = interval.difference, True
        for colour, thick in (("white", 2.8), ("black", 1.3)):  # black on white shows on any bar
            if interval is not None:
                axes.errorbar(
                    [(first + end + 1) / 2], [mean],
                    yerr=[[mean - interval.low], [interval.high - mean]], linestyle="none",
                    ecolor=colour, elinewidth=thick, capsize=3, capthick=thick, zorder=5,
                )  # fmt: skip
            ends = [first + 0.5, end + 0.5]
            axes.plot(ends, [mean, mean], color=colour, linewidth=thick, zorder=5)
    return found


def _limit(axes: Axes, values: Array) -> None:
    present = values[~np.isnan(values)]
    high = max(float(np.abs(present).max(initial=0.0)), 1.0)
    # Room for the names of the rows above and below the bars.
    axes.set_ylim(min(float(present.min(initial=0.0)), 0.0) - 0.3 * high,
                  max(float(present.max(initial=0.0)), 0.0) + 0.3 * high)  # fmt: skip
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
