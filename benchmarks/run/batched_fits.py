"""Cells that are fitted together as one batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal

from benchmarks.run.border import checked
from benchmarks.sweep.cell import Cell
from methods.base import FitResult, Method, Predictor, Task
from methods.parts.training import learning
from methods.parts.training.learning import Learner
from methods.registry import METHODS, dotted

Batching = Literal["alone", "seeds", "learner"]
"""Cells that may be fitted together: none; those that differ in the seed; also in their fields."""
LARGEST = 16
"""Most cells of a `Learner` in a batch: so many modules are in memory at once."""


def batches(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """Split cells of one bench, in order, into batches whose fits share work.

    Cells of a `Learner` may differ in seed and fields; those of another method that overrides
    `fit_many` in the seed only.
    """
    for name, group in groupby(cells, key=lambda c: c.method):
        together = batching_of(name)
        if together == "learner":
            same = list(group)
            yield from (same[i : i + LARGEST] for i in range(0, len(same), LARGEST))
        elif together == "seeds":
            yield from (list(seeds) for _, seeds in groupby(group, key=lambda c: repr(c.config)))
        else:
            yield from ([cell] for cell in group)


def batching_of(name: str) -> Batching:
    """Return which cells of a method may be fitted together; imports no plug-in.

    Raises:
        UserError: as `METHODS.get`.
    """
    if METHODS.described(name):
        learns = dotted(Learner) in METHODS.attribute(name, "bases")
        overrides = METHODS.attribute(name, "fit_many") != dotted(Method)
    else:
        method: type[Method] = METHODS.get(name)
        learns, overrides = issubclass(method, Learner), method.fit_many is not Method.fit_many
    return "learner" if learns else "seeds" if overrides else "alone"


def fit_batch(pairs: list[tuple[Method, Task]]) -> list[FitResult]:
    """Fit methods on their tasks, a batch as `batches` makes them.

    Raises:
        TypeError: a method's `fit_many` returned something other than predictors.
        ValueError: it returned too few or too many.
    """
    learners = [(method, task) for method, task in pairs if isinstance(method, Learner)]
    if len(learners) == len(pairs):
        return learning.fit_learners(learners)
    try:
        found = pairs[0][0].fit_many([task for _, task in pairs])
    except Exception as error:
        if len(pairs) > 1:
            raise
        return [error]
    if not isinstance(found, Sequence):
        raise TypeError(
            f"fit_many must return a Predictor for each task, not {type(found).__name__}"
        )
    if len(found) != len(pairs):
        raise ValueError(f"fit_many returned {len(found)} predictors for {len(pairs)} tasks")
    for one in found:
        if not isinstance(one, Predictor | Exception):
            raise TypeError(f"every fit must return a Predictor, not {type(one).__name__}")
    return list(found)


def shares(results: Sequence[FitResult], images: int) -> list[float]:
    """Return the fraction of a batch's time that each of its fits counts, which sum to 1.

    A fit counts by the training images that it saw, so that one of 60 epochs counts twelve times
    as much as one of 5. One that trains nothing or has failed counts as one pass over the images.

    Args:
        results: of the batch, one or more.
        images: training images.
    """
    seen = [max(images, _images_seen(result)) for result in results]
    return [one / sum(seen) for one in seen]


def _images_seen(result: FitResult) -> int:
    try:
        return int(checked(result).images_seen)
    except Exception:  # a failed fit, or one whose cost is refused when it is recorded
        return 0
