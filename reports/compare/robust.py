"""Intervals that a run or two far outside do not move.

The mean over runs follows a run that collapses, and too few runs show how often runs collapse:
where one in ten does, the usual interval for the mean covers it in 77 to 95 % of the worlds. The
trimmed mean leaves the highest and the lowest runs out. So its question is another one: the
difference of typical runs (the median over runs), not the average over all runs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import UserError
from reports.compare.intervals import Component, Interval
from reports.compare.strata import Array, Strata

FEWEST_RUNS = 5
TRIMMED = 0.2
"""Share of the runs left out at either end, rounded down."""
COVERAGE = "94 to 99 %"
"""Simulated coverage of the median over runs, where no, one or two of ten runs of A collapse."""


def robust_interval(
    a: Array, b: Array, strata: NDArray[np.int64], steps: Array | None = None
) -> Interval:
    """The difference of two variants in typical runs: a trimmed mean over runs.

    The variance over runs is that of Yuen (1974, Biometrika 61:165), from winsorized differences,
    with as many degrees of freedom as runs are kept, less one. It is combined with that of the test
    images as in `paired_interval`, whose arguments these are. Means and the images' variance are
    those of the kept runs.

    Raises:
        UserError: fewer than FEWEST_RUNS runs, of which nothing can be left out.
    """
    runs = len(a)
    if runs < FEWEST_RUNS:
        raise UserError(f"A robust interval needs {FEWEST_RUNS} runs or more; there are {runs}.")
    sample = Strata(strata)
    totals = sample.total(a - b)
    cut = int(TRIMMED * runs)
    order = np.argsort(totals, kind="stable")
    kept = order[cut : runs - cut]
    a, b = a[kept], b[kept]
    difference = a - b
    mean = difference.mean(0)
    left = len(kept)
    winsorized = np.clip(totals, totals[kept[0]], totals[kept[-1]])
    between = float(winsorized.var(ddof=1)) * (runs - 1) / (left * (left - 1))
    noise = float(sample.variances(difference - mean).sum()) / (left * (left - 1))
    return Interval(
        a=float(sample.total(a).mean()),
        b=float(sample.total(b).mean()),
        difference=float(sample.total(mean)),
        images=Component(*sample.variance(mean, steps)),
        runs=Component(between, left - 1.0),
        noise=noise,
    )
