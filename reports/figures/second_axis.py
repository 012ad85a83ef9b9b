"""Groups or frequencies that the user names, drawn over the classes from head to tail."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from benchmarks.datasets.partitions import Partition
from reports.figures.class_axis import ClassAxis

_COLOUR = "#7a93ad"
_OF_FREQUENCY, _OF_GROUP = 0.45, 0.14
"""Inches of a strip of frequencies, and of a line of a group."""


def height_of(partition: Partition | None) -> float:
    """Inches that the strip of a partition takes; 0 without one."""
    if partition is None:
        return 0.0
    return _OF_FREQUENCY if partition.frequency else _OF_GROUP * (len(partition.groups) + 0.6)


def second_axis(axes: Axes, partition: Partition, order: Sequence[int], classes: ClassAxis) -> None:
    """Draw a partition over the ranks of the classes.

    A partition by frequency has a dot for each class on a logarithmic axis; any other has a line
    for each group with a tick for each of its classes.

    Args:
        axes: shares its horizontal axis with the ranks of `classes`.
        partition: of the same classes.
        order: (C,) class at each rank.
        classes: the axis of ranks.
    """
    classes.shade(axes)
    axes.tick_params(axis="x", length=0, labelbottom=False)
    if not partition.frequency:
        members = np.array(partition.membership)[order]
        for place, group in enumerate(partition.groups):
            ranks = np.flatnonzero(members == group) + 1
            axes.plot(
                ranks, np.full(len(ranks), -place), linestyle="none", marker="|", markersize=4,
                color=_COLOUR, gid=f"group {group}",
            )  # fmt: skip
        axes.set_ylim(-len(partition.groups) + 0.2, 0.8)
        axes.set_yticks(range(0, -len(partition.groups), -1), list(partition.groups))
        axes.tick_params(axis="y", length=0)
        return
    shown = np.maximum(np.array(partition.frequency)[order], 0.5)  # 0 has no logarithm
    axes.set_yscale("log")
    axes.plot(
        np.arange(1, len(shown) + 1), shown, linestyle="none", marker=".", markeredgewidth=0,
        markersize=float(np.interp(len(shown), (20, 1000), (6.0, 2.5))), color=_COLOUR,
        gid="frequency",
    )  # fmt: skip
    # Room for the name above the dots.
    low, high = max(shown.min() / 1.5, 0.4), shown.max() * (shown.max() / shown.min()) ** 0.6 * 1.5
    axes.set_ylim(low, high)
    decades = [10.0**n for n in range(12) if low <= 10.0**n <= high]
    axes.yaxis.set_major_locator(FixedLocator(decades[:: max(len(decades) - 1, 1)]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.annotate(
        f"frequency in {partition.title}", (0.995, 0.94), xycoords="axes fraction", ha="right",
        va="top",
    )  # fmt: skip
