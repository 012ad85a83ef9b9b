"""Bar chart of the metrics that are declared as drawn."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from benchmarks.metrics import metrics_of
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
from reports.layout import NONE, column
from reports.outputs import table_output
from reports.table import Table


@table_output("__groups")
def group_bars(table: Table) -> Figure | None:
    """Groups of bars, one for each drawn metric, with a bar for each row and ± as error bars.

    Returns:
        None if no row has values.
    """
    rows, note = shown([row for row in table.rows if row.done])
    if not rows:
        return None
    metrics = [metric for metric in metrics_of(table.task) if metric.drawn]
    names = [metric.key for metric in metrics]
    ticks = [column(table, metric).head for metric in metrics]
    width = 0.84 / max(len(rows), 3)
    with style():
        labels = [drawn_text(row.label) for row in rows]
        ncols = legend_columns(labels)
        height = 2.7 + 0.17 * -(-len(rows) // ncols)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        top = 0.0
        spreads: list[tuple[float, float, float]] = []
        for i, row in enumerate(rows):
            drawn = look(i)
            values = [(place, row.values[name]) for place, name in enumerate(names)]
            offset = (i - (len(rows) - 1) / 2) * width
            bars = [(place + offset, v.mean, v.std) for place, v in values if v.mean is not None]
            if bars:
                axes.bar(
                    [x for x, _, _ in bars], [mean for _, mean, _ in bars], width * 0.92,
                    facecolor=drawn.colour, hatch=drawn.hatch,
                    edgecolor="white" if drawn.hatch else drawn.colour, linewidth=0, zorder=2,
                )  # fmt: skip
            spreads += [(x, mean, std) for x, mean, std in bars if std is not None]
            top = max([top, *(mean + (std or 0.0) for _, mean, std in bars)])
        if spreads:
            # Black on white, because black alone is invisible on a dark bar.
            for colour, thick in (("white", 2.4), ("black", 0.9)):
                axes.errorbar(
                    *np.transpose(spreads), color=colour, linestyle="none",
                    elinewidth=thick, capthick=thick, capsize=min(2.5, 25 * width), zorder=4,
                )  # fmt: skip
        for place, name in enumerate(names):
            if all(row.values[name].mean is None for row in rows):
                axes.text(place, 0.01 * max(top, 1.0), NONE, ha="center", va="bottom", fontsize=11)
        axes.set_xticks(range(len(names)), ticks)
        axes.tick_params(axis="x", length=0)
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_ylim(0, max(1.04 * top, 1.0))
        axes.set_ylabel(axis_title(table.task))
        axes.set_xlabel(note)
        axes.yaxis.grid(True, color="#dddddd", lw=0.6, zorder=0)
        axes.set_axisbelow(True)
        handles = [
            Patch(facecolor=look(i).colour, hatch=2 * look(i).hatch, edgecolor="white", linewidth=0,
                  label=label)
            for i, label in enumerate(labels)
        ]  # fmt: skip
        legend(figure, handles, ncols, handlelength=1.8)
    return figure
