"""Bayesian signed-rank test of two variants over data sets, with a region of equivalence.

Benavoli, Corani, Demšar and Zaffalon (2017, Time for a change, JMLR 18), section 4.2.1: the
differences on the data sets and one pseudo-observation at 0 get weights from a Dirichlet
distribution. Each draw of weights gives the probabilities that the mean of two differences is
below, within or above the region. The result is how often each of the three is the largest. As in
the authors' baycomp, the pseudo-observation has weight 0.5, and a mean on the border counts by
halves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
DRAWS = 20_000
PRIOR = 0.5
"""Weight of the pseudo-observation, in data sets."""


@dataclass(frozen=True)
class Posterior:
    """Probabilities of three statements on a data set to come; they sum to 1."""

    a_better: float
    equivalent: float
    b_better: float


def signed_rank(a: Array, b: Array, rope: float, *, higher_is_better: bool) -> Posterior:
    """The posterior of A against B.

    Args:
        a: (B,) value of A on each data set.
        b: those of B.
        rope: half-width of the region of practical equivalence, in the unit of the values, above 0.
        higher_is_better: direction of the metric.
    """
    differences = np.append(0.0, a - b if higher_is_better else b - a)
    sums = differences[:, None] + differences
    above = 0.5 + 0.5 * np.sign(np.round(sums - 2 * rope, 9))
    below = 0.5 + 0.5 * np.sign(np.round(-sums - 2 * rope, 9))
    alpha = np.append(PRIOR, np.ones(len(a)))
    draws = np.random.default_rng(0).dirichlet(alpha, DRAWS)
    shares = [np.einsum("si,ij,sj->s", draws, part, draws) for part in (above, below)]
    three = np.stack([shares[0], 1 - shares[0] - shares[1], shares[1]])
    better, equal, worse = np.bincount(three.argmax(0), minlength=3) / DRAWS
    return Posterior(float(better), float(equal), float(worse))
