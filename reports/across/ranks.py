"""Ranks of variants over data sets, and tests of them.

Demšar (2006, Statistical comparisons of classifiers over multiple data sets, JMLR 7): Friedman's
test whether all are equal, then a signed-rank test of each pair with Holm's correction, which
Benavoli, Corani and Mangili (2016, JMLR 17) prefer to differences of mean ranks because it depends
on no other variant. SciPy and statsmodels compute both. They are imported when a test is made,
which few reports do, because that takes a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from reports.compare.intervals import LEVEL

Array = NDArray[np.float64]
FEWEST = 5
"""Data sets below which no test is made: a signed-rank test of four cannot go below p = 0.125."""
_DECIMALS = 9
"""Values that differ by rounding alone are ties."""
_EXACT = 13
"""Data sets up to which all signs are enumerated, which also holds with ties and zeros."""


@dataclass(frozen=True)
class Pair:
    """Two variants, by index, and the signed-rank test of their difference."""

    a: int
    b: int
    p: float
    """Two-sided p value of this pair alone."""
    holm: float
    """The same with Holm's correction over all pairs."""


@dataclass(frozen=True)
class RankTests:
    """The tests over data sets."""

    friedman: float
    """P value of Friedman's test (chi-squared approximation); NaN for fewer than three variants."""
    pairs: tuple[Pair, ...]
    smallest: float
    """The smallest p value that a pair can have with Holm's correction on so many data sets."""

    def differ(self, a: int, b: int) -> bool:
        """True if a difference of two variants is shown at LEVEL, all pairs considered."""
        return any({pair.a, pair.b} == {a, b} and pair.holm <= LEVEL for pair in self.pairs)


def mean_ranks(values: Array, *, higher_is_better: bool) -> Array:
    """(M,) mean rank of each variant over the data sets; 1 is best, ties share the mean.

    Args:
        values: (M, B) value of each variant on each data set, without NaN.
        higher_is_better: direction of the metric.
    """
    signed = np.round(-values if higher_is_better else values, _DECIMALS)
    others = signed[None, :]
    below, up_to = (others < signed[:, None]).sum(1), (others <= signed[:, None]).sum(1)
    return np.asarray(((below + up_to + 1) / 2).mean(1))


def rank_tests(values: Array) -> RankTests:
    """Friedman's test of all variants and signed-rank tests of all pairs.

    Zero differences are split between the signs, as Demšar does.

    Args:
        values: (M, B) with M >= 2 variants and B >= FEWEST data sets, without NaN.
    """
    from scipy.stats import friedmanchisquare
    from statsmodels.stats.multitest import multipletests

    values = np.round(values, _DECIMALS)
    number, sets = values.shape
    friedman = float("nan")
    if number > 2 and (values != values[0]).any():
        friedman = float(friedmanchisquare(*values).pvalue)
    indices = list(combinations(range(number), 2))
    single = [_signed_rank(np.round(values[a] - values[b], _DECIMALS)) for a, b in indices]
    corrected = multipletests(single, method="holm")[1]
    pairs = (
        Pair(a, b, p, float(holm))
        for (a, b), p, holm in zip(indices, single, corrected, strict=True)
    )
    smallest = min(1.0, 2.0 ** (1 - sets) * len(indices))
    return RankTests(friedman, tuple(pairs), smallest)


def sets_needed(variants: int) -> int:
    """Number of data sets from which a pair can differ at LEVEL with Holm's correction."""
    pairs = variants * (variants - 1) / 2
    return int(np.ceil(np.log2(2 * pairs / LEVEL)))


def groups_alike(ranks: Array, tests: RankTests) -> list[tuple[int, ...]]:
    """The largest groups of neighbours by rank in which no pair is shown to differ.

    Args:
        ranks: (M,) mean ranks.
        tests: of the same variants.

    Returns:
        Indices of each group of two or more, from the best rank on. A group within another is left
        out.
    """
    order = [int(i) for i in np.argsort(ranks, kind="stable")]
    found: list[tuple[int, ...]] = []
    end = 0
    for start in range(len(order)):
        stop = start + 1
        while stop < len(order) and not any(
            tests.differ(order[stop], other) for other in order[start:stop]
        ):
            stop += 1
        if stop > max(end, start + 1):
            found.append(tuple(order[start:stop]))
            end = stop
    return found


def _signed_rank(differences: Array) -> float:
    """Two-sided p value of Wilcoxon's signed-rank test, exact up to _EXACT differences.

    SciPy's exact method has no ties, and its enumeration of signs takes seconds a pair.
    """
    from scipy.stats import rankdata, wilcoxon

    if len(differences) > _EXACT:
        return float(wilcoxon(differences, zero_method="zsplit").pvalue)
    sizes = rankdata(np.abs(differences)) * np.sign(differences)
    signs = np.array(list(product((-1.0, 1.0), repeat=len(sizes))))
    # Sums of ranks are multiples of a half: no rounding.
    return float(np.mean(np.abs(signs @ sizes) >= abs(sizes.sum())))
