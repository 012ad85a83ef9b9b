"""The head-tail figure: accuracy by class against training frequency."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from benchmarks.protocol import GROUPS
from reports.figures.style import WIDTH, axis_title, look, shown, style, wrap
from reports.outputs import table_output
from reports.table import Row, Table
from results.schema import Record

Array = NDArray[np.float64]

_LEADING = 0.3  # lines of text between two labels


@table_output("__head_tail")
def head_tail(table: Table) -> Figure | None:
    """Accuracy by class against training frequency, one line for each row of the table.

    Lines are running means over neighbouring ranks; dots are the classes themselves; both averaged
    over a row's runs. A strip at the top shows the training images of each class, shades show the
    groups.

    Returns:
        None if no row has values.
    """
    rows, note = shown([row for row in table.rows if row.done])
    if not rows:
        return None
    first = rows[0].done[0]
    order = _head_first(first)
    assert first.groups is not None
    counts = np.asarray(first.groups.train_counts)[order]
    groups = [first.groups.membership[i] for i in order]
    curves = [_curve(row) for row in rows]
    window = smoothing_window(max(map(len, curves)))

    with style():
        # Inches, like the line of text of 0.15 and the strip of 0.45: many rows need height.
        lines = sum(wrap(row.label).count("\n") + 1 + _LEADING for row in rows)
        height = max(2.4, 0.15 * lines)
        figure = Figure(figsize=(WIDTH, height + 0.95), layout="constrained")
        grid = figure.add_gridspec(2, 1, height_ratios=(0.45, height), hspace=0.02)
        axes = figure.add_subplot(grid[1])
        strip = figure.add_subplot(grid[0], sharex=axes)
        longest = max(map(len, curves))
        axes.set_xlim(0.5, longest + 0.5)
        _strip(strip, counts, groups)
        _shade(axes, groups)
        ends = []
        for i, values in enumerate(curves):
            drawn = look(i)
            x = np.arange(1, len(values) + 1)
            smooth = running_mean(values, window)
            if window > 1:
                axes.plot(
                    x, values, linestyle="none", marker=".", markersize=_dot_size(len(values)),
                    markeredgewidth=0, color=drawn.colour, alpha=_dot_alpha(len(rows), len(values)),
                    rasterized=True, zorder=2,
                )  # fmt: skip
            step = max(len(values) // 8, 1)
            axes.plot(
                x, smooth, color=drawn.colour, linestyle=drawn.dashes, linewidth=1.5,
                marker=drawn.marker, markersize=4.2, markeredgecolor="white", markeredgewidth=0.5,
                markevery=(step * i // len(curves) if step > 1 else 0, step), zorder=4,
            )  # fmt: skip
            ends.append(float(smooth[~np.isnan(smooth)][-1]) if not np.isnan(smooth).all() else 0.0)
        axes.set_ylabel(axis_title(table.task))
        how = f" (dots: classes; lines: mean over {window} neighbours)" if window > 1 else ""
        more = f"\n{note}" if note else ""
        axes.set_xlabel(f"Class, by falling number of training images{how}{more}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=3))
        axes.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
        _limit(axes, curves)
        last = [(len(values) - 0.5) / longest for values in curves]
        _label_ends(
            axes, [row.label for row in rows], list(zip(last, ends, strict=True)), 0.15 / height
        )
    return figure


def smoothing_window(classes: int) -> int:
    """Ranks averaged into a point of a line: a tenth of the classes, odd; 1 below 20 classes."""
    return 1 if classes < 20 else classes // 10 // 2 * 2 + 1


def running_mean(values: Array, window: int) -> Array:
    """Centred mean of (C,) `values` over `window` ranks, fewer at the ends; NaN is ignored."""
    kernel = np.ones(window)
    present = ~np.isnan(values)
    total = np.convolve(np.where(present, values, 0.0), kernel, mode="full")
    number = np.convolve(present.astype(float), kernel, mode="full")
    half = window // 2
    total, number = (array[half : half + len(values)] for array in (total, number))
    return np.where(number > 0.5, total / np.maximum(number, 1.0), np.nan)


def _head_first(record: Record) -> list[int]:
    """Class indices from the most training images to the fewest, groups kept together."""
    groups = record.groups
    assert groups is not None
    return sorted(
        range(len(groups.train_counts)),
        key=lambda i: (GROUPS.index(groups.membership[i]), -groups.train_counts[i], i),
    )


def _curve(row: Row) -> Array:
    """(C,) values by rank, averaged over the runs; NaN if no run has a value.

    The average is by rank and not by class, because the largest class differs between splits.
    """
    curves = []
    for record in row.done:
        assert record.metrics is not None
        by_class = np.array([np.nan if v is None else v for v in record.metrics.per_class], float)
        curves.append(by_class[_head_first(record)])
    shortest = min(map(len, curves))
    stack = np.stack([curve[:shortest] for curve in curves])
    number = (~np.isnan(stack)).sum(axis=0)
    return np.where(number > 0, np.nansum(stack, axis=0) / np.maximum(number, 1), np.nan)


def _dot_size(classes: int) -> float:
    return float(np.interp(classes, (20, 1000), (5.0, 2.5)))


def _dot_alpha(rows: int, classes: int) -> float:
    """Opacity of the dots; lower for more dots, because they are the background of the lines."""
    return float(np.clip(9.0 / np.sqrt(rows * classes), 0.1, 0.45))


def _runs(groups: Sequence[str]) -> list[tuple[str, int, int]]:
    """Each non-empty group with its first and last rank."""
    present = [name for name in GROUPS if name in groups]
    return [(g, groups.index(g) + 1, groups.index(g) + groups.count(g)) for g in present]


def _shade(axes: Axes, groups: Sequence[str]) -> None:
    for i, (_, first, last) in enumerate(_runs(groups)):
        if i % 2:
            axes.axvspan(first - 0.5, last + 0.5, color="#000000", alpha=0.055, lw=0, zorder=0)
        if i:
            axes.axvline(first - 0.5, color="#888888", lw=0.6, zorder=1)


def _strip(strip: Axes, counts: Array, groups: Sequence[str]) -> None:
    """Draw the training images of each class on a logarithmic axis, with the groups above."""
    _shade(strip, groups)
    shown = np.maximum(counts, 0.5)  # a class without images has no logarithm
    edges = np.arange(len(counts) + 1) + 0.5
    strip.stairs(shown, edges, baseline=0.5, fill=True, color="#bbbbbb", lw=0, zorder=2)
    strip.set_yscale("log")
    strip.set_ylim(max(shown.min() / 2, 0.5), shown.max() * 1.6)
    strip.set_ylabel("images")
    strip.tick_params(axis="x", labelbottom=False, length=0)
    strip.minorticks_off()
    runs = _runs(groups)
    centres = [((first + last) / 2 - 0.5) / len(groups) for _, first, last in runs]
    # A group of few classes may be narrower than its name.
    places = spread_out(centres, [0.0125 * (len(name) + 5) for name, _, _ in runs])
    for (name, first, last), place in zip(runs, places, strict=True):
        strip.annotate(
            f"{name} ({last - first + 1})", (place, 1.0), xycoords="axes fraction",
            xytext=(0, 2), textcoords="offset points", ha="center", va="bottom",
        )  # fmt: skip


def _limit(axes: Axes, curves: Sequence[Array]) -> None:
    values = np.concatenate(curves)
    values = values[~np.isnan(values)]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 100.0)
    room = max(0.04 * (high - low), 5.0 - (high - low) / 2, 1.0)
    # Percentages end at 0 and 100; the margin keeps markers there from being cut.
    axes.set_ylim(max(low - room, -2.0), min(high + room, 102.0))


def _label_ends(
    axes: Axes, labels: Sequence[str], ends: Sequence[tuple[float, float]], line: float
) -> None:
    """Write each label, with a sample of its line, to the right of the line without overlaps.

    `ends` are the ends of the lines, x as a fraction of the axes' width and y in percent; `line`
    is the height of a line of text as a fraction of the axes' height.
    """
    low, high = axes.get_ylim()
    texts = [wrap(label) for label in labels]
    starts = [(end - low) / (high - low) for _, end in ends]
    lines = [text.count("\n") + 1 for text in texts]
    sizes = [(number + _LEADING) * line for number in lines]
    heights = spread_out(starts, [size / max(sum(sizes), 1.0) for size in sizes])
    for i, (text, start, height) in enumerate(zip(texts, starts, heights, strict=True)):
        drawn = look(i)
        axes.add_line(
            Line2D([ends[i][0], 1.03], [start, height], transform=axes.transAxes, clip_on=False,
                   color=drawn.colour, lw=0.6)
        )  # fmt: skip
        axes.add_line(
            Line2D([1.03, 1.06, 1.09], [height] * 3, transform=axes.transAxes, clip_on=False,
                   color=drawn.colour, linestyle=drawn.dashes, lw=1.5, marker=drawn.marker,
                   markevery=[1], markersize=4.2, markeredgecolor="white", markeredgewidth=0.5)
        )  # fmt: skip
        axes.text(1.1, height, text, transform=axes.transAxes, va="center", linespacing=0.95)


def spread_out(wanted: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Centres as close as possible to `wanted` such that intervals of `sizes` do not overlap.

    A least-squares fit that merges neighbours that would overlap (isotonic regression), then
    shifted into [0, 1] if possible.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    offsets, total = [], 0.0
    for i in order:
        offsets.append(total + sizes[i] / 2)
        total += sizes[i]
    blocks: list[list[float]] = []  # [mean of wanted minus offset, members]
    for i, offset in zip(order, offsets, strict=True):
        blocks.append([wanted[i] - offset, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            value, members = blocks.pop()
            before, number = blocks.pop()
            both = number + members
            blocks.append([(before * number + value * members) / both, both])
    starts = [value for value, members in blocks for _ in range(int(members))]
    result = [0.0] * len(wanted)
    for i, offset, start in zip(order, offsets, starts, strict=True):
        result[i] = offset + min(max(start, 0.0), max(1.0 - total, 0.0))
    return result
