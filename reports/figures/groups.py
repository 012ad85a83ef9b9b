"""Dots of the metrics that are declared as drawn, one panel each and one line for each row."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.metrics import metrics_of
from reports.figures.drawing import PLAIN, Drawing, error_bars, score_of
from reports.figures.registry import table_figure
from reports.figures.row_axis import RowAxis
from reports.figures.style import style
from reports.figures.texts import axis_title, line_height, paragraphs
from reports.layout import NONE, column
from reports.table import Table


@table_figure("__groups")
def groups(table: Table, drawing: Drawing = PLAIN) -> Figure | None:
    """A panel for each drawn metric, with a dot for each row and ± as a bar.

    Returns:
        None if no row has values.
    """
    done = [row for row in table.rows if row.done]
    if not done:
        return None
    options = drawing.options
    shown = drawing.shown(done, score_of(table), named=True)
    rows = RowAxis.of(shown.rows, options)
    metrics = [metric for metric in metrics_of(table.task) if metric.drawn]
    with style(options):
        below = paragraphs([shown.note], options)
        height = rows.inches(options) + line_height(options) * (5 + len(below))
        figure = Figure(figsize=(options.width, height), layout="constrained")
        panels = figure.subplots(1, len(metrics), sharex=True, sharey=True, squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            head = column(table, metric)
            axes.set_title(f"{head.title}\n({head.size})" if head.size else head.title)
            values = [row.values[metric.key] for row in shown.rows]
            for place, look, value in zip(rows.places, shown.looks, values, strict=True):
                if value.mean is not None:
                    error_bars(axes, look, value.mean, place, dx=value.std)
            if all(value.mean is None for value in values):
                axes.text(
                    0.5, rows.lines / 2, NONE, transform=axes.get_yaxis_transform(), ha="center"
                )
        rows.label(panels)
        panels[0].xaxis.set_major_locator(MaxNLocator(2 if options.narrow else 4))
        figure.supxlabel("\n".join([axis_title(table.task), *below]), fontsize="medium")
    return figure
