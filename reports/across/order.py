"""The order of rows by their mean rank over data sets, the same in all tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from reports.across.matrix import matrices
from reports.across.ranks import mean_ranks
from reports.table import Table

_NO_RANK = "not sorted by rank: no row has results on two data sets of this task."


def by_rank(tables: Sequence[Table]) -> list[Table]:
    """The tables with their rows from the worst mean rank to the best, others behind them.

    The tables of a backbone and task with a single data set keep their order, with a warning.
    """
    places: dict[int, int] = {}
    for matrix in matrices(tables, tables[0].view.metric):
        complete = [line for line in matrix.lines if line.complete]
        if complete:
            values = matrix.block_values(complete)
            ranks = mean_ranks(values, higher_is_better=matrix.higher_is_better)
            for place, index in enumerate(np.argsort(-ranks, kind="stable")):
                places |= {id(row): place for row in complete[index].rows}
    return [_sorted(table, places) for table in tables]


def _sorted(table: Table, places: Mapping[int, int]) -> Table:
    if not any(id(row) in places for row in table.rows):
        return dataclasses.replace(table, warnings=(*table.warnings, _NO_RANK))
    last = len(places)
    rows = sorted(table.rows, key=lambda row: places.get(id(row), last))
    return dataclasses.replace(table, rows=tuple(rows))
