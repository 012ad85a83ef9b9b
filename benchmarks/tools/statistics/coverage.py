"""Shares of worlds in which intervals hold the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.tools.statistics.worlds import Array, World
from reports.compare.intervals import Interval, paired_interval, row_interval
from reports.compare.parts import part_steps, precision_parts
from reports.compare.robust import robust_interval

Draw = Callable[[np.random.Generator], tuple[float, float, float]]
"""Draws a world and returns both ends of an interval, and the truth."""


@dataclass(frozen=True)
class Held:
    """Intervals of many worlds."""

    share: float
    """Share of the intervals that hold the truth."""
    width: float
    """Mean width in points of percent."""
    zero: float
    """Share of the intervals without a width."""


def coverage(draw: Draw, worlds: int, seed: int) -> Held:
    """Draw worlds and count the intervals that hold the truth.

    A truth that is not a number is replaced by the mean of the estimates over all worlds.
    """
    rng = np.random.default_rng(seed)
    low, high, truth = np.array([draw(rng) for _ in range(worlds)]).T
    if np.isnan(truth).all():
        truth = (low + high).mean() / 2
    held = (low - 1e-9 <= truth) & (truth <= high + 1e-9)
    return Held(float(held.mean()), float((high - low).mean()), float((high == low).mean()))


def of_pairs(
    world: World,
    metric: str = "balanced",
    interval: Callable[..., Interval] = paired_interval,
    steps: bool = True,
) -> Draw:
    """Draws of the interval between the first two variants.

    With several splits the runs of each are averaged, and the splits are the runs of the interval.

    Args:
        world: the world.
        metric: a metric of single-label data.
        interval: the function under test.
        steps: True if the interval knows what one image changes.
    """
    own = world.steps(metric) if steps else None

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        worth = world.worth(rng, 2)
        a, b = _units(world, world.parts(world.right(rng, worth), metric))
        found = interval(a, b, world.labels, own)
        truth = world.value(world.accuracies(worth), metric)
        return found.low, found.high, float(truth[0] - truth[1])

    return draw


def of_typical_runs(world: World, seed: int, metric: str = "balanced") -> Draw:
    """Draws of the robust interval; its truth is the median over runs in one fixed world."""
    rng = np.random.default_rng(seed)
    worth = world.worth(rng, 2)
    truth, steps = world.typical(rng, worth, metric), world.steps(metric)

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        a, b = world.parts(world.right(rng, worth), metric)
        found = robust_interval(a, b, world.labels, steps)
        return found.low, found.high, truth

    return draw


def of_rows(world: World, metric: str = "balanced") -> Draw:
    """Draws of the interval of one row."""
    steps = world.steps(metric)

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        worth = world.worth(rng, 1)
        (parts,) = _units(world, world.parts(world.right(rng, worth), metric))
        found = row_interval(parts[:1] if 0 in world.fixed else parts, world.labels, steps)
        return found.low, found.high, float(world.value(world.accuracies(worth), metric)[0])

    return draw


def of_one_way(expected: float, sizes: tuple[int, ...], steps: bool = True) -> Draw:
    """Draws of two deterministic variants: A is right everywhere, B not on a few images.

    Args:
        expected: number of images that B is expected to get wrong.
        sizes: test images of each class.
        steps: True if the interval knows what one image changes.
    """
    labels = np.repeat(np.arange(len(sizes)), sizes)
    own = 100.0 / len(sizes) * np.ones(len(labels))
    share = expected / len(labels)

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        b = own * (rng.random(len(labels)) >= share)
        found = paired_interval(own[None], b[None], labels, own if steps else None)
        return found.low, found.high, 100 * share

    return draw


def of_precisions(positives: int, classes: int, images: int = 1000) -> Draw:
    """Draws of the interval of mean average precision between two deterministic variants.

    The precision of a finite sample differs a little from that of an infinite one. Its expectation
    for a test set of this size is estimated, so the truth is the mean over the worlds.

    Args:
        positives: expected number of positive images of each class.
        classes: number of classes.
        images: number of test images.
    """
    membership = np.array(["few"] * classes)
    strata = np.zeros(images, dtype=np.int64)

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        y = (rng.random((images, classes)) < positives / images).astype(np.int64)
        y[0] = 1  # a class without positives has no precision
        common = np.sqrt(0.7) * rng.normal(size=y.shape)
        a, b = (
            precision_parts(
                mean * y + common + np.sqrt(0.3) * rng.normal(size=y.shape), y, membership
            )["overall"][None]
            for mean in (2.0, 1.5)
        )
        found = paired_interval(a, b, strata, part_steps(y, membership)["overall"])
        return found.low, found.high, float("nan")

    return draw


def _units(world: World, parts: Array) -> Array:
    """(K, U, N) parts of the units that vary: runs of one split, or means over those of splits."""
    if world.splits == 1:
        return parts
    return np.asarray(parts.reshape(len(parts), world.splits, world.runs, -1).mean(2))
