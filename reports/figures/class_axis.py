"""Classes from head to tail: their order, their groups, and where a smoothed line must break."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray

from benchmarks.protocol import GROUPS
from reports.figures.options import FigureOptions
from reports.figures.texts import characters, drawn_text, spread_out
from results.schema import Record

Array = NDArray[np.float64]
NAMED = 12
"""Most classes that are named on the axis."""
STEP_RATIO, STEP_SHARE = 2.0, 0.25
"""A fall between neighbours is a step of the profile from this ratio on, if it is also this share
of the fall from the first class to the last (both on a logarithmic scale)."""
_LONGEST_NAME = 18


@dataclass(frozen=True)
class ClassAxis:
    """The classes of a table from the most training images to the fewest, groups kept together."""

    counts: Array
    """(C,) training images by rank."""
    groups: tuple[str, ...]
    """(C,) group by rank."""
    names: tuple[str, ...]
    """(C,) names by rank if there are few classes; otherwise empty."""

    @classmethod
    def of(cls, runs: Sequence[Record]) -> ClassAxis:
        """The axis of the classes that the first of some runs was tested on.

        Its ranks have names if the classes have the same ranks in all runs.
        """
        record = runs[0]
        assert record.groups is not None
        order = head_first(record)
        named = len(order) <= NAMED and len(record.class_names) == len(order)
        named = named and all(
            (run.class_names, head_first(run)) == (record.class_names, order) for run in runs
        )
        return cls(
            np.asarray(record.groups.train_counts, dtype=float)[order],
            tuple(record.groups.membership[i] for i in order),
            tuple(record.class_names[i] for i in order) if named else (),
        )

    @property
    def few(self) -> bool:
        """True if classes are points of their own, without lines between them."""
        return len(self.counts) <= NAMED

    @property
    def runs(self) -> list[tuple[str, int, int]]:
        """Each group that has classes, with its first rank and the one after its last."""
        present = [name for name in GROUPS if name in self.groups]
        start = self.groups.index
        return [(name, start(name), start(name) + self.groups.count(name)) for name in present]

    @property
    def pieces(self) -> list[slice]:
        """Ranges of ranks in which neighbours are alike: cut at groups and steps of the profile."""
        cuts = {end for _, _, end in self.runs}
        falls = np.log(np.maximum(self.counts[:-1], 0.5) / np.maximum(self.counts[1:], 0.5))
        whole = max(float(falls.sum()), 1e-9)
        steps = (falls >= np.log(STEP_RATIO)) & (falls >= STEP_SHARE * whole)
        cuts |= {int(i) + 1 for i in np.flatnonzero(steps)}
        ends = sorted(cuts)
        return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def shade(self, axes: Axes) -> None:
        """Shade every second group and draw the borders between them."""
        for i, (_, first, end) in enumerate(self.runs):
            if i % 2:
                axes.axvspan(first + 0.5, end + 0.5, color="#000000", alpha=0.055, lw=0, zorder=0)
            if i:
                axes.axvline(first + 0.5, color="#888888", lw=0.6, zorder=1)

    def label(self, axes: Axes, options: FigureOptions) -> str:
        """Set the ticks of an axis of ranks from 1; return its title."""
        if self.names:
            names = [drawn_text(name, _LONGEST_NAME) for name in self.names]
            # Across if they fit side by side in what the axis has of the width.
            room = characters(0.8 * options.width / len(names), options)
            upright = max(map(len, names)) > room - 1
            axes.set_xticks(range(1, len(names) + 1), names, rotation=90 if upright else 0)
        elif self.few:
            axes.set_xticks(range(1, len(self.counts) + 1))
        axes.set_xlim(0.5, len(self.counts) + 0.5)
        return "class, by falling number of training images"

    def columns(self, axes: Axes, values: Array, **appearance: Any) -> None:
        """Draw a column for each class; those of many classes touch, in a single shape."""
        if self.few:
            axes.bar(np.arange(1, len(values) + 1), values, 0.6, linewidth=0, **appearance)
        else:
            edges = np.arange(len(values) + 1) + 0.5
            axes.stairs(values, edges, fill=True, linewidth=0, **appearance)

    def strip(self, axes: Axes, options: FigureOptions) -> None:
        """Draw the training images of each class on a logarithmic axis, with the groups above."""
        self.shade(axes)
        shown = np.maximum(self.counts, 0.5)  # a class without images has no logarithm
        axes.set_yscale("log")
        self.columns(axes, shown, color="#b9b9b9", zorder=1)
        low, high = max(shown.min() / 1.5, 0.4), shown.max() * 1.5
        axes.set_ylim(low, high)
        axes.set_ylabel("images")
        decades = [10.0**n for n in range(12) if low <= 10.0**n <= high]
        axes.yaxis.set_major_locator(FixedLocator(decades[:: max(len(decades) - 1, 1)]))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.tick_params(axis="x", length=0, labelbottom=False)
        runs = [(f"{name} ({end - first})", first, end) for name, first, end in self.runs]
        centres = [(first + end) / 2 / len(self.counts) for _, first, end in runs]
        # A group of few classes may be narrower than its name.
        widths = [len(text) / characters(0.75 * options.width, options) for text, _, _ in runs]
        for (text, _, _), middle in zip(runs, spread_out(centres, widths), strict=True):
            axes.annotate(
                text, (middle, 1.0), xycoords="axes fraction", xytext=(0, 2),
                textcoords="offset points", ha="center", va="bottom",
            )  # fmt: skip


def head_first(record: Record) -> list[int]:
    """Class indices from the most training images to the fewest, groups kept together."""
    groups = record.groups
    assert groups is not None
    return sorted(
        range(len(groups.train_counts)),
        key=lambda i: (GROUPS.index(groups.membership[i]), -groups.train_counts[i], i),
    )


def mean_of(values: Sequence[Array]) -> Array:
    """(C,) mean over runs, NaN where no run has a value; runs of fewer classes cut the others."""
    shortest = min(map(len, values))
    stack = np.stack([own[:shortest] for own in values])
    number = (~np.isnan(stack)).sum(axis=0)
    return np.where(number > 0, np.nansum(stack, axis=0) / np.maximum(number, 1), np.nan)


def by_class(record: Record) -> Array:
    """(C,) values of a run in the order of the classes; NaN for a class without test images."""
    assert record.metrics is not None
    return np.array([np.nan if v is None else v for v in record.metrics.per_class], float)
