"""Runs far outside of the other runs of their variant, such as runs that collapse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reports.compare.robust import FEWEST_RUNS

_NUMBERS, _DISTANCES = (5, 7, 10, 20), (19.0, 11.0, 7.0, 5.5)
"""Numbers of runs, and the distances beyond which a run counts as far outside.

Distances are in standard deviations, estimated by 1.4826 times the median absolute deviation, which
a collapsed run does not move. With few runs the estimate is rough: 3 of them flag one in four sets
of five normal runs. These flag at most one in a hundred; a collapse is much further off.
"""
_LEAST = 1.0
"""Points from the median below which no run is far outside, however close the others are."""


def far_runs(values: Sequence[float]) -> list[int]:
    """Indices of the runs far outside; none of fewer than FEWEST_RUNS runs.

    Args:
        values: a metric of each run in percent.
    """
    if len(values) < FEWEST_RUNS:
        return []
    distances = np.abs(np.asarray(values) - np.median(values))
    deviation = 1.4826 * float(np.median(distances))
    limit = max(float(np.interp(len(values), _NUMBERS, _DISTANCES)) * deviation, _LEAST)
    return [int(i) for i in np.flatnonzero(distances > limit)]


def note_on_far_runs(label: str, names: Sequence[str], values: Sequence[float]) -> list[str]:
    """A note on the runs far outside, if there are any.

    Args:
        label: the variant.
        names: of its runs.
        values: their overall values in percent.
    """
    far = far_runs(values)
    if not far:
        return []
    which = ", ".join(f"{names[i]} ({values[i]:.1f})" for i in far)
    return [
        f"{label}: far from the other runs, whose median is {np.median(values):.1f}: {which}. "
        "Where runs collapse, the interval of the mean misses more often than it says; --robust "
        "compares typical runs."
    ]
