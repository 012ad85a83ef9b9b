"""Shares of worlds in which verdicts are false or a true difference is shown."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from benchmarks.tools.statistics.worlds import World
from reports.compare.families import verdicts_of
from reports.compare.intervals import Component, Interval, paired_interval
from reports.compare.power import smallest_difference

GROUPS = ("overall", "many", "medium", "few")


@dataclass(frozen=True)
class FalseTables:
    """Tables of variants that are equal by construction, with any verdict."""

    one_by_one: float
    """Share if every interval is read by itself."""
    together: float
    """Share by the family's rule."""


def false_tables(world: World, rows: int, worlds: int, seed: int) -> FalseTables:
    """Compare `rows` variants with a baseline in four groups, where no difference is true."""
    rng = np.random.default_rng(seed)
    steps = {group: world.steps(group) for group in GROUPS}
    alone = together = 0
    gc.freeze()  # statsmodels collects garbage in each call, which takes longer than all else
    for _ in range(worlds):
        right = world.right(rng, world.worth(rng, rows + 1))
        family = [
            paired_interval(right[k] * own, right[0] * own, world.labels, own)
            for k in range(1, rows + 1)
            for own in steps.values()
        ]
        if any(not interval.low <= 0 <= interval.high for interval in family):
            alone += 1  # a family never shows what no interval shows by itself
            together += any(verdict.better for verdict in verdicts_of(family))
    gc.unfreeze()
    return FalseTables(alone / worlds, together / worlds)


def looking_again(world: World, first: int, worlds: int, seed: int) -> tuple[float, float]:
    """Shares of false verdicts after the first runs, and if more follow where nothing shows.

    Args:
        world: a world with all runs.
        first: number of runs before the first look.
        worlds: number of worlds.
        seed: of all random choices.
    """
    rng = np.random.default_rng(seed)
    steps = world.steps("balanced")
    at_once = at_last = 0
    for _ in range(worlds):
        a, b = world.right(rng, world.worth(rng, 2)) * steps
        shown = [
            not interval.low <= 0 <= interval.high
            for interval in (
                paired_interval(a[:first], b[:first], world.labels, steps),
                paired_interval(a, b, world.labels, steps),
            )
        ]
        at_once += shown[0]
        at_last += any(shown)
    return at_once / worlds, at_last / worlds


@dataclass(frozen=True)
class Planned:
    """The power of a design at the difference that it is said to show."""

    difference: float
    """The smallest difference with power 80 %, from variances that are means over worlds."""
    shown: float
    """Share of worlds with this true difference in which it is shown."""
    single: tuple[float, float]
    """10th and 90th percentile of the smallest difference from the records of a single world."""


def planned(world: World, worlds: int, seed: int) -> Planned:
    """Check `smallest_difference` by worlds that have this true difference."""
    worth = replace(world, gap=0.0).worth(np.random.default_rng(seed), 2)
    steps = world.steps("balanced")

    def intervals(gap: float, seed: int) -> list[Interval]:
        rng = np.random.default_rng(seed)
        moved = worth + np.array([[gap], [0.0]])
        found = []
        for _ in range(worlds):
            a, b = world.right(rng, moved) * steps
            found.append(paired_interval(a, b, world.labels, steps))
        return found

    def true(gap: float) -> float:
        one, other = world.value(world.accuracies(worth + np.array([[gap], [0.0]])), "balanced")
        return float(one - other)

    pilot = intervals(0.0, seed)
    difference = smallest_difference(_mean(pilot))
    gap = brentq(lambda g: true(g) - difference, 0.0, 20.0)
    shown = [interval.low > 0 for interval in intervals(gap, seed + 1)]
    low, high = np.quantile([smallest_difference(i) for i in pilot], [0.1, 0.9])
    return Planned(difference, float(np.mean(shown)), (float(low), float(high)))


def _mean(pilot: list[Interval]) -> Interval:
    """An interval with the mean variances of many."""

    def mean(of: Callable[[Interval], float]) -> float:
        return float(np.mean([of(interval) for interval in pilot]))

    first = pilot[0]
    assert first.runs is not None
    return replace(
        first,
        images=Component(mean(lambda i: i.images.variance), mean(lambda i: i.images.freedom)),
        runs=Component(mean(lambda i: i.runs.variance if i.runs else 0.0), first.runs.freedom),
        noise=mean(lambda i: i.noise),
    )
