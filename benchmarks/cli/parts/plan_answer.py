"""The answer of `plan` for programs: the cells with their state and time, unrounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.cli.parts.plan_table import expected_seconds, places_used
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.estimate import Estimator, serves
from benchmarks.sweep.plan import Planned
from benchmarks.sweep.settings import Sweep


def plan_answer(
    planned: Sequence[Planned],
    todo: Sequence[Cell],
    estimator: Estimator,
    places: int,
    sweep: Sweep,
) -> dict[str, Any]:
    """Return the plan of a sweep.

    Args:
        planned: all cells.
        todo: the cells to run.
        estimator: estimates the time of each.
        places: number of cells that could run at a time.
        sweep: the request.
    """
    running = {cell.key for cell in todo}
    seconds, unknown = expected_seconds(todo, estimator, places)
    return {
        "out": str(sweep.out),
        "cells": [_cell(p, p.cell.key in running, estimator) for p in planned],
        "features": [
            {
                "name": name,
                "dataset": cell.dataset,
                "backbone": cell.backbone.name,
                "split_seed": cell.split_seed,
                "seconds": guess.seconds,
                "basis": guess.basis,
            }
            for name, (cell, guess) in estimator.passes(todo).items()
        ],
        "to_run": len(todo),
        "places": places_used(todo, places),
        "seconds": seconds,
        "without_estimate": unknown,
    }


def _cell(planned: Planned, to_run: bool, estimator: Estimator) -> dict[str, Any]:
    """Return a cell; its time is that of a run, whether it is to run or not."""
    cell = planned.cell
    guess = estimator.cell(cell)
    return {
        "key": cell.key,
        "identity": cell.identity,
        "method": cell.method,
        "label": cell.label,
        "dataset": cell.dataset,
        "backbone": cell.backbone.name,
        "seed": cell.seed,
        "split_seed": cell.split_seed,
        "protocol": cell.protocol,
        "deterministic": cell.deterministic,
        "config": cell.config,
        "dataset_config": cell.dataset_config,
        "tuning": None if cell.tuning is None else vars(cell.tuning),
        "applies": serves(cell),
        "state": planned.state,
        "to_run": to_run,
        "seconds": guess.seconds,
        "basis": guess.basis,
    }
