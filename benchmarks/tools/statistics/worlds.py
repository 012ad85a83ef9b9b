"""Worlds with known truth: which images several variants get right in several runs.

An image is right where a normal variable is positive. It is the sum of what the class and the image
are worth to all variants and to each variant, of a shift by run, one by run and class and one by
run and image. Splits of the training images add a shift of their own and one by class. The true
accuracy of a class is then a normal probability.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from reports.compare.parts import part_steps

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]


SHAKEN = {"small": (0.02, 0.05, 0.3), "middle": (0.1, 0.2, 0.5), "large": (0.4, 0.3, 0.5)}
"""Shifts by run, by run and class, by run and image: the variance between runs is less than that
between images, about as much, and many times as much."""


@dataclass(frozen=True)
class World:
    """One way in which images and runs vary. Shifts are in units of a normal variable."""

    classes: int
    images: int
    """Test images of each class."""
    runs: int
    level: float = 0.4
    """Mean worth of a class; 0 is an accuracy of 50 %."""
    gap: float = 0.0
    """Worth of all classes to the first variant, minus that to each other variant."""
    spread: float = 0.8
    """Standard deviation of the worth between classes, which all variants share."""
    alone: float = 0.5
    """Standard deviation of an image's worth to one variant. The shared worth has 1."""
    run: float = 0.1
    run_class: float = 0.2
    noise: float = 0.5
    """Standard deviations of the shifts by run, by run and class, by run and image."""
    fixed: tuple[int, ...] = ()
    """Variants without randomness: all their runs on a split are equal."""
    collapse: float = 0.0
    """Probability with which a run of the first variant collapses."""
    depth: float = 1.5
    """Shift of a run that collapses."""
    splits: int = 1
    """Splits of the training images, each with `runs` runs."""
    split: float = 0.0
    split_class: float = 0.0
    """Standard deviations of the shifts by split, and by split and class."""

    def shaken(self, name: str) -> World:
        """The world with one of the shifts of SHAKEN."""
        run, run_class, noise = SHAKEN[name]
        return replace(self, run=run, run_class=run_class, noise=noise)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) class of each image."""
        return np.repeat(np.arange(self.classes), self.images)

    @property
    def membership(self) -> NDArray[np.str_]:
        """(C,) groups of equal size; a single class is few."""
        names = np.array(["few", "medium", "many"])
        return names[np.arange(self.classes) * 3 // self.classes]

    def worth(self, rng: np.random.Generator, variants: int) -> Array:
        """(K, C) worth of each class to K variants."""
        shared = rng.normal(self.level, self.spread, self.classes)
        found = np.tile(shared, (variants, 1))
        found[0] += self.gap
        return found

    def right(self, rng: np.random.Generator, worth: Array) -> Bools:
        """(K, R, N) True where a run of a variant predicts the label of new images.

        The runs of a split follow each other.
        """
        variants, labels = len(worth), self.labels
        image = rng.normal(size=len(labels))
        found = np.empty((variants, self.splits * self.runs, len(labels)), dtype=bool)
        for k in range(variants):
            x = worth[k, labels] + image + rng.normal(0, self.alone, len(labels))
            found[k] = x + self._shifts(rng, k)[:, labels] + self._noise(rng, k) > 0
        return found

    def _shifts(self, rng: np.random.Generator, variant: int) -> Array:
        """(R, C) shifts of a variant's runs."""
        split = _by_row_and_class(rng, self.splits, self.classes, self.split, self.split_class)
        shifts = np.repeat(split, self.runs, axis=0)
        if variant not in self.fixed:
            shifts += _by_row_and_class(rng, len(shifts), self.classes, self.run, self.run_class)
        if variant == 0 and self.collapse:
            shifts -= self.depth * (rng.random((len(shifts), 1)) < self.collapse)
        return shifts

    def _noise(self, rng: np.random.Generator, variant: int) -> Array:
        """(R, N) shifts of a variant's runs on single images."""
        shape = (self.splits * self.runs, len(self.labels))
        return rng.normal(0, self.noise, shape) if variant not in self.fixed else np.zeros(shape)

    def accuracies(self, worth: Array) -> Array:
        """(K, C) true accuracies in percent, over all images, splits and runs."""
        found = np.empty(worth.shape)
        for k, own in enumerate(worth):
            square = 1 + self.alone**2 + self.split**2 + self.split_class**2
            if k not in self.fixed:
                square += self.run**2 + self.run_class**2 + self.noise**2
            sane, fallen = (ndtr((own - d) / np.sqrt(square)) for d in (0.0, self.depth))
            share = self.collapse if k == 0 else 0.0
            found[k] = 100 * ((1 - share) * sane + share * fallen)
        return found

    def typical(self, rng: np.random.Generator, worth: Array, metric: str) -> float:
        """The median over runs of the true difference of the first two variants, in points."""
        deviation = np.sqrt(1 + self.alone**2 + self.noise**2)
        many = replace(self, runs=10_000)
        one, other = (
            self.value(100 * ndtr((worth[k] + many._shifts(rng, k)) / deviation), metric)
            for k in (0, 1)
        )
        return float(np.median(one - other))

    def parts(self, right: Bools, metric: str) -> Array:
        """(..., N) parts of a metric that is a weighted mean of class values."""
        return np.asarray(right * self.steps(metric))

    def steps(self, metric: str) -> Array:
        """(N,) change of each part when its image turns."""
        return part_steps(self.labels, self.membership)[metric]

    def value(self, accuracies: Array, metric: str) -> Array:
        """(...,) metric of (..., C) accuracies of classes."""
        of = (
            accuracies
            if metric in ("overall", "balanced")
            else (accuracies[..., self.membership == metric])
        )
        return np.asarray(of.mean(-1))


def _by_row_and_class(
    rng: np.random.Generator, rows: int, classes: int, row: float, row_class: float
) -> Array:
    """(R, C) sums of a shift by row and one by row and class."""
    return rng.normal(0, row, (rows, 1)) + rng.normal(0, row_class, (rows, classes))
