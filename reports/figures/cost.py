"""Cost against accuracy: trainable parameters, time of the fit and training images seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from benchmarks.metrics import METRICS
from reports.figures.drawing import PLAIN, Drawing, error_bars, score_of
from reports.figures.registry import table_figure
from reports.figures.style import GRID, style
from reports.figures.texts import axis_title, legend, line_height, paragraphs
from reports.layout import column, cost
from reports.table import Row, Summary, Table

COSTS = {
    "trainable_params": "trainable parameters",
    "fit_s": "time of the fit",
    "images_seen": "training images seen",
}


@table_figure("__cost")
def costs(table: Table, drawing: Drawing = PLAIN) -> Figure | None:
    """A panel for each cost that differs between rows, on a logarithmic axis that also has 0.

    Returns:
        None if fewer than two rows have values, or no cost differs.
    """
    options = drawing.options
    rows = [row for row in table.rows if row.values[table.main].mean is not None]
    differing = [key for key in COSTS if len({row.values[key].mean for row in rows}) > 1]
    if len(rows) < 2 or not differing:
        return None
    shown = drawing.shown(rows, score_of(table))
    with style(options):
        below = paragraphs([shown.note, *_notes(rows, differing)], options)
        figure = Figure(layout="constrained")
        panels = figure.subplots(1, len(differing), sharey=True, squeeze=False)[0]
        for axes, key in zip(panels, differing, strict=True):
            scale = _Scale([_amount(row, key) for row in shown.rows])
            for row, look in shown:
                value = row.values[table.main]
                assert value.mean is not None
                error_bars(axes, look, scale.place(_amount(row, key)), value.mean, dy=value.std)
            most = max(int(0.8 * options.width / len(differing) / (0.06 * options.font_size)), 2)
            scale.label(axes, key, most)
            axes.set_xlabel(COSTS[key].replace(" ", "\n", 1) if options.narrow else COSTS[key])
            axes.grid(True, axis="y", **GRID)
            axes.set_axisbelow(True)
        main = METRICS[table.main]
        quantity = f": {axis_title(table.task).lower()}" if main.unit == "%" else ""
        panels[0].set_ylabel(f"{column(table, main).head}{quantity}")
        panels[0].yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        if below:
            figure.supxlabel("\n".join(below), fontsize="medium")
        height = 2.1 + line_height(options) * (2 + options.narrow + len(below))
        height += legend(figure, shown.handles(linestyle="none"), options)
        figure.set_size_inches(options.width, height)
    return figure


_NUMBERS = [
    (10.0 ** (3 * i + j), f"{10**j}{unit}") for i, unit in enumerate(("", "k", "M", "G", "T"))
    for j in range(3)
]  # fmt: skip
_TIMES = [
    (0.001, "1 ms"), (0.01, "10 ms"), (0.1, "0.1 s"), (1.0, "1 s"), (10.0, "10 s"), (60.0, "1 min"),
    (600.0, "10 min"), (3600.0, "1 h"), (36_000.0, "10 h"), (360_000.0, "100 h"),
]  # fmt: skip
"""Amounts that axes name."""


class _Scale:
    """A logarithmic axis of amounts that has a place for 0, left of all others."""

    def __init__(self, amounts: Sequence[float]) -> None:
        present = [math.log10(amount) for amount in amounts if amount > 0]
        self._low, self._high = min(present), max(present)
        self._zero = len(present) < len(amounts)

    def place(self, amount: float) -> float:
        """The place of an amount: its logarithm, or that of 0."""
        return math.log10(amount) if amount > 0 else self._place_of_zero

    @property
    def _place_of_zero(self) -> float:
        return self._low - max(0.25 * (self._high - self._low), 0.5)

    def label(self, axes: Axes, key: str, most: int) -> None:
        """Set the ticks: round amounts, no more than `most`, and 0."""
        margin = max(0.08 * (self._high - self._low), 0.15)
        low = self._place_of_zero if self._zero else self._low
        axes.set_xlim(low - margin, self._high + margin)
        ticks = [
            (math.log10(amount), name)
            for amount, name in (_TIMES if key.endswith("_s") else _NUMBERS)
            if self._low - margin <= math.log10(amount) <= self._high + margin
        ]
        room = max(most - self._zero, 1)
        ticks = ticks[:: -max(math.ceil(len(ticks) / room), 1)][::-1]
        if not ticks:  # all amounts are between two of them
            ticks = [(self._high, cost(key, Summary(10**self._high, None, 1)))]
        places, names = map(list, zip(*ticks, strict=True))
        if self._zero:
            places, names = [self._place_of_zero, *places], ["0", *names]
            middle = (self._place_of_zero + self._low) / 2
            axes.axvline(middle, color="#888888", lw=0.6, linestyle=(0, (1, 2)), zorder=1)
        axes.set_xticks(places, names)
        axes.xaxis.set_minor_locator(NullLocator())


def _amount(row: Row, key: str) -> float:
    return row.values[key].mean or 0.0


def _notes(rows: Sequence[Row], keys: Sequence[str]) -> list[str]:
    """Reasons why times of two rows cannot be compared."""
    runs = [run for row in rows for run in row.done]
    notes = []
    if "fit_s" in keys:
        machines = {run.provenance.hardware for run in runs if run.provenance is not None}
        if len(machines) > 1:
            notes.append(f"times were measured on {len(machines)} kinds of machines")
        if any(run.cost is not None and run.cost.fitted_together > 1 for run in runs):
            notes.append("times of fits made together are shares")
    return ["; ".join(notes)]
