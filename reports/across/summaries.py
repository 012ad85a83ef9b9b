"""Means and mean ranks of variants over the data sets of an overview."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.metrics import METRICS
from reports.across.ranks import mean_ranks
from reports.across.variants import Aligned, block_of
from reports.table import Row, Table


@dataclass(frozen=True)
class Summary:
    """Means of a variant over data sets."""

    mean: float | None
    """Mean of the main metric; None if data sets have several main metrics."""
    rank: float
    """Mean rank, 1 is best."""


def summaries(
    variants: Sequence[Aligned], tables: Sequence[Table], mains: Sequence[str]
) -> list[Summary | None]:
    """The summary of each variant; None if it lacks a data set, or if it is the only one.

    Data sets with the same images count as one, with their mean. A data set on which no variant has
    the metric does not count.

    Args:
        variants: rows of the tables.
        tables: two or more.
        mains: key of the metric of each table.
    """
    scored = [
        place
        for place, (table, key) in enumerate(zip(tables, mains, strict=True))
        if any(row.values[key].n for row in table.rows)
    ]
    complete = [
        place
        for place, variant in enumerate(variants)
        if all(value_of(variant.rows[p], mains[p]) is not None for p in scored)
    ]
    found: list[Summary | None] = [None] * len(variants)
    if len(scored) < 2 or len(complete) < 2:
        return found
    signs = [1.0 if METRICS[mains[p]].higher_is_better else -1.0 for p in scored]
    values = np.array(
        [[value_of(variants[place].rows[p], mains[p]) for p in scored] for place in complete], float
    )
    blocks = [(tables[p].task, block_of(tables[p])) for p in scored]
    of = np.array([list(dict.fromkeys(blocks)).index(block) for block in blocks])
    better = np.stack([(values * signs)[:, of == b].mean(1) for b in range(of.max() + 1)], axis=1)
    one_scale = len({(tables[p].task, mains[p]) for p in scored}) == 1
    ranks = mean_ranks(better, higher_is_better=True)
    for place, rank, own in zip(complete, ranks, better, strict=True):
        found[place] = Summary(float(own.mean()) * signs[0] if one_scale else None, float(rank))
    return found


def value_of(row: Row | None, key: str) -> float | None:
    """The mean of a metric or cost in a row that may not be there."""
    return None if row is None else row.values[key].mean
