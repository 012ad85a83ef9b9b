"""All statistics of one matrix, and the lines that tell a reader what they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from benchmarks.errors import counted
from reports.across.bayes import Posterior, signed_rank
from reports.across.matrix import Line, Matrix
from reports.across.ranks import (
    FEWEST,
    Pair,
    RankTests,
    groups_alike,
    mean_ranks,
    rank_tests,
    sets_needed,
)
from reports.across.runs import FEWEST as FEWEST_RUNS
from reports.across.runs import Estimate, improvement, interquartile_mean
from reports.compare.intervals import CONFIDENCE, LEVEL


@dataclass(frozen=True)
class Ranked:
    """A variant with a value on every data set."""

    line: Line
    mean: float
    """Mean over the independent data sets."""
    rank: float
    """Mean rank over them, 1 is best."""
    middle: Estimate
    """Interquartile mean over runs and data sets."""


@dataclass(frozen=True)
class Versus:
    """Two ranked variants."""

    a: Ranked
    b: Ranked
    improvement: Estimate
    """Probability that a run of A is better than a run of B."""
    test: Pair | None
    """The signed-rank test; None without tests."""
    posterior: Posterior | None
    """None without tests or without a region of equivalence."""


@dataclass(frozen=True)
class Study:
    """A matrix with its statistics."""

    matrix: Matrix
    ranked: tuple[Ranked, ...]
    """The best mean rank first."""
    unranked: tuple[Line, ...]
    """Variants without a value on some data set."""
    tests: RankTests | None
    """None for fewer than FEWEST independent data sets or two variants. Indices are of `ranked`."""
    alike: tuple[tuple[int, ...], ...]
    """Groups of `ranked` in which no difference is shown."""
    pairs: tuple[Versus, ...]
    best: frozenset[int]
    """The best of `ranked` and those not shown to differ from it; empty if nothing differs."""
    rope: float | None
    """Half-width of the region of equivalence, in the unit of the metric."""
    notes: tuple[str, ...]


def study(matrix: Matrix, rope: float | None = None) -> Study:
    """The statistics of a matrix.

    Args:
        matrix: two data sets or more.
        rope: half-width of the region of practical equivalence, in the unit of the metric.
    """
    complete = [line for line in matrix.lines if line.complete]
    values = matrix.block_values(complete) if complete else np.zeros((0, len(matrix.blocks)))
    higher, weights = matrix.higher_is_better, matrix.weights()
    ranks = mean_ranks(values, higher_is_better=higher) if complete else np.zeros(0)
    order = np.argsort(ranks, kind="stable")
    ranks, values = ranks[order], values[order]
    ranked = [
        Ranked(line, float(own.mean()), float(rank), interquartile_mean(line.cells, weights))
        for line, own, rank in zip([complete[i] for i in order], values, ranks, strict=True)
    ]
    tests = None
    if len(ranked) > 1 and len(matrix.blocks) >= FEWEST:
        tests = rank_tests(values)
    found = {(pair.a, pair.b): pair for pair in tests.pairs} if tests else {}
    pairs = [
        Versus(
            ranked[i],
            ranked[j],
            improvement(
                ranked[i].line.cells, ranked[j].line.cells, weights, higher_is_better=higher
            ),
            found.get((i, j)),
            signed_rank(values[i], values[j], rope, higher_is_better=higher)
            if tests and rope is not None
            else None,
        )
        for i, j in combinations(range(len(ranked)), 2)
    ]
    unranked = tuple(line for line in matrix.lines if not line.complete)
    return Study(
        matrix=matrix,
        ranked=tuple(ranked),
        unranked=unranked,
        tests=tests,
        alike=tuple(groups_alike(ranks, tests)) if tests else (),
        pairs=tuple(pairs),
        best=_best(len(ranked), tests),
        rope=rope,
        notes=tuple(_notes(matrix, ranked, unranked, tests, rope)),
    )


def _best(variants: int, tests: RankTests | None) -> frozenset[int]:
    if tests is None:
        return frozenset()
    found = frozenset(i for i in range(variants) if not tests.differ(0, i))
    return found if len(found) < variants else frozenset()


def _notes(
    matrix: Matrix,
    ranked: Sequence[Ranked],
    unranked: Sequence[Line],
    tests: RankTests | None,
    rope: float | None,
) -> list[str]:
    blocks = matrix.blocks
    direction = "" if matrix.higher_is_better else ", lower is better"
    lines = [
        f"{matrix.title}{direction}: mean over runs. Mean rank: 1 is best, ties share a rank. IQM: "
        "mean of the middle half of all runs, with its "
        f"{100 * CONFIDENCE:.0f} % interval over runs."
    ]
    if len(blocks) < len(matrix.data_sets):
        lines.append(
            f"{len(matrix.data_sets)} columns are {counted(len(blocks), 'independent data set')} "
            f"({'; '.join(blocks)}): columns with the same images count as one, with their mean."
        )
    gaps: dict[str, list[str]] = {}
    for line in unranked:
        own: dict[str, list[str]] = {}
        for cell, data_set in zip(line.cells, matrix.data_sets, strict=True):
            if not cell.runs:
                own.setdefault(cell.missing, []).append(data_set.name)
        text = "; ".join(f"{why} on {', '.join(names)}" for why, names in own.items())
        gaps.setdefault(text, []).append(line.name)
    lines += [f"Not ranked ({text}): {', '.join(labels)}." for text, labels in gaps.items()]
    random = {len(c.runs) for r in ranked for c in r.line.cells if not c.fixed}
    if len(random) > 1:
        lines.append(f"Cells have {min(random)} to {max(random)} runs.")
    if random and min(random) < FEWEST_RUNS:
        lines.append(
            f"No interval for variants that draw at random with fewer than {FEWEST_RUNS} runs."
        )
    lines.append(_tests_note(len(ranked), len(blocks), tests))
    if rope is not None:
        lines.append(
            f"Equivalent: within {rope:g} points (Bayesian signed-rank test)."
            if tests
            else f"There is no test that could use the region of {rope:g} points."
        )
    return lines


def _tests_note(variants: int, sets: int, tests: RankTests | None) -> str:
    if variants < 2:
        return "No test: fewer than two variants have a value on every data set."
    if tests is None:
        return (
            f"No test over data sets: {counted(sets, 'independent data set')}, fewer than {FEWEST}."
        )
    text = (
        f"Signed-rank tests of all pairs, Holm's correction, level {100 * LEVEL:.0f} %. Bold: the "
        "best mean rank and those not shown to differ from it, if any differs."
    )
    if not np.isnan(tests.friedman):
        text = f"Friedman's test that all are equal: p = {tests.friedman:.2g}. {text}"
    if tests.smallest > LEVEL:
        text += (
            f" With {sets} data sets and {variants} variants no pair can be shown to differ: p is "
            f"at least {tests.smallest:.2g}. {sets_needed(variants)} data sets would be enough, or "
            "fewer variants."
        )
    return text
