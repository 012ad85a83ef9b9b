"""Which cells are fitted together, and how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from benchmarks.sweep.cell import Cell
from methods.base import FitResult, Method, Predictor, Task
from methods.parts.training import learning
from methods.parts.training.learning import Learner
from methods.registry import METHODS

TOGETHER = 16
"""Cells of a `Learner` at most."""


def handed_over(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """Parts of cells on one bench whose fits are shared work, in their order.

    Those of a `Learner` may differ by seed and by fields, `TOGETHER` at a time, because as many
    modules are held at once; those of another method that overrides `fit_many` by seed alone.
    """
    for name, group in groupby(cells, key=lambda c: c.method):
        method: type[Method] = METHODS.get(name)
        if issubclass(method, Learner):
            same = list(group)
            yield from (same[i : i + TOGETHER] for i in range(0, len(same), TOGETHER))
        elif method.fit_many is not Method.fit_many:
            yield from (list(seeds) for _, seeds in groupby(group, key=lambda c: repr(c.config)))
        else:
            yield from ([cell] for cell in group)


def fitted_together(pairs: list[tuple[Method, Task]]) -> list[FitResult]:
    """What becomes of methods on their tasks, which `handed_over` put together.

    Raises:
        TypeError: a method's `fit_many` gave something else than predictors.
        ValueError: it gave too few or too many.
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
        raise TypeError(f"fit_many must give a Predictor for each task, not {type(found).__name__}")
    if len(found) != len(pairs):
        raise ValueError(f"fit_many gave {len(found)} of {len(pairs)} predictors, one a task")
    for one in found:
        if not isinstance(one, Predictor | Exception):
            raise TypeError(f"every fit must give a Predictor, not {type(one).__name__}")
    return list(found)
