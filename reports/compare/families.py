"""Verdicts that hold together, for all comparisons that are printed together.

A table of nine rows and four groups makes 36 comparisons. If each had its own test at 5 %, half of
all tables without any true difference would show one. So the tests of a family follow Holm's rule
(Holm 1979, Scandinavian Journal of Statistics 6:65), which holds whatever the dependence between
them: the chance of any false verdict in a family is at most 5 %. A family is a printed table: all
rows and metrics against one baseline, or all pairs of one variant, on a data set and backbone.

Equivalence within a margin is shown by two one-sided tests (Schuirmann 1987, Journal of
Pharmacokinetics and Biopharmaceutics 15:657). With a margin, the family has both tests of each
comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.metrics import METRICS
from reports.compare.comparison import Comparison
from reports.compare.intervals import LEVEL, Interval

LOWEST_RUNS, SENSIBLE_RUNS = 2, 3
"""Runs of a variant that a verdict needs, and from which its interval is not very wide."""


@dataclass(frozen=True)
class Verdict:
    """The result of one comparison of one metric, with the whole family taken into account."""

    better: Literal["A", "B", ""]
    """The better variant; empty if no difference is shown, which does not show equality."""
    equivalent: bool
    """True if the difference is shown to be smaller than the margin."""
    margin: float | None
    """In points; None if equivalence was not tested."""
    p: float
    """Two-sided p-value of the comparison by itself."""
    p_adjusted: float
    """Lowest level of the family at which Holm's rule shows the difference."""
    p_equivalent: float | None
    """p-value of equivalence by itself; None without a margin."""
    p_equivalent_adjusted: float | None

    @property
    def text(self) -> str:
        """The verdict in words."""
        within = f"equivalent within {points(self.margin)}" if self.margin is not None else ""
        if not self.better:
            return within if self.equivalent else "no difference shown"
        return f"{self.better} better" + (f", {within}" if self.equivalent else "")


@dataclass(frozen=True)
class Judged:
    """A comparison and its verdicts."""

    comparison: Comparison
    verdicts: Mapping[str, Verdict | None]
    """By the metric's key; None for an empty group and for one run."""

    def words(self, metric: str) -> str:
        """The verdict in words; empty for an empty group."""
        if self.comparison.intervals[metric] is None:
            return ""
        verdict = self.verdicts[metric]
        return "no verdict: one run" if verdict is None else verdict.text


@dataclass(frozen=True)
class Asked:
    """Questions about a family beside which variant is better."""

    margin: float | None = None
    """Differences below these points count as equivalent; None makes no such test."""
    difference: float | None = None
    """A difference in points, of which the number of runs is asked that show it; None: not."""


NOTHING_ELSE = Asked()


@dataclass(frozen=True)
class Family:
    """Comparisons that are printed together and share the level of their verdicts."""

    members: tuple[Judged, ...]
    tests: int
    """Number of tests that share the level."""
    asked: Asked

    @property
    def strictest(self) -> float:
        """The level of the strictest step of Holm's rule, that of a single true difference."""
        return LEVEL / max(self.tests, 1)


def judge(comparisons: Sequence[Comparison], asked: Asked = NOTHING_ELSE) -> Family:
    """The verdicts of comparisons that are printed together.

    One run of a variant that draws random numbers is not judged: it says nothing about other runs.
    Balanced accuracy is judged with overall accuracy where they are equal.

    Args:
        comparisons: those of one table.
        asked: further questions.
    """
    margin = asked.margin
    judged = {
        (index, metric): interval
        for index, comparison in enumerate(comparisons)
        for metric, interval in comparison.intervals.items()
        if interval is not None
        and not comparison.one_run
        and not (metric == "balanced" and balanced_is_overall(comparison))
    }
    higher = [METRICS[metric].higher_is_better for _, metric in judged]
    verdicts = dict(zip(judged, verdicts_of(list(judged.values()), higher, margin), strict=True))
    members = []
    for index, comparison in enumerate(comparisons):
        own = {metric: verdicts.get((index, metric)) for metric in comparison.intervals}
        if balanced_is_overall(comparison):
            own["balanced"] = own["overall"]
        members.append(Judged(comparison, own))
    return Family(tuple(members), len(judged) * (1 if margin is None else 2), asked)


def verdicts_of(
    intervals: Sequence[Interval],
    higher_is_better: Sequence[bool] | None = None,
    margin: float | None = None,
) -> list[Verdict]:
    """The verdicts of one family.

    Args:
        intervals: all comparisons of the family.
        higher_is_better: of each comparison's metric; None for all.
        margin: differences below these points count as equivalent; None makes no such test.
    """
    if not intervals:
        return []
    # The import takes a second, and most commands compare nothing.
    from statsmodels.stats.multitest import multipletests

    p = [interval.p_value() for interval in intervals]
    alike = [] if margin is None else [_p_equivalent(i, margin) for i in intervals]
    adjusted = multipletests([*p, *alike], method="holm")[1].tolist()
    higher = [True] * len(p) if higher_is_better is None else higher_is_better
    found = []
    for i, interval in enumerate(intervals):
        p_alike = adjusted[len(p) + i] if alike else None
        shown = adjusted[i] < LEVEL
        a_better = (interval.difference > 0) == higher[i]
        found.append(
            Verdict(
                better="" if not shown else "A" if a_better else "B",
                equivalent=p_alike is not None and p_alike < LEVEL,
                margin=margin,
                p=p[i],
                p_adjusted=adjusted[i],
                p_equivalent=alike[i] if alike else None,
                p_equivalent_adjusted=p_alike,
            )
        )
    return found


def _p_equivalent(interval: Interval, margin: float) -> float:
    """The p-value of two one-sided tests that the difference is within the margin."""
    return max(interval.p_greater(-margin), interval.p_less(margin))


def balanced_is_overall(comparison: Comparison) -> bool:
    """True if overall and balanced accuracy are equal, as on a balanced test set."""
    overall, balanced = (comparison.intervals.get(name) for name in ("overall", "balanced"))
    if overall is None or balanced is None:
        return False
    a, b = ((i.a, i.b, i.low, i.high) for i in (overall, balanced))
    return bool(np.allclose(a, b, rtol=0, atol=1e-9))


def points(margin: float) -> str:
    """`1 point`, `0.5 points`."""
    return f"{margin:g} point" if margin == 1 else f"{margin:g} points"
