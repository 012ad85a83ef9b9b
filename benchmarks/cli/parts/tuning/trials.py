"""The trials of a search: random draws from the space that a method declares.

Trial 0 is the configuration of a run without a recipe. Draws are keyed by trial and field alone.
Therefore every method gets the same draws of a field with the same name and range, a search with
more trials starts with the same ones, and an interrupted search continues where it stopped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import randomness
from benchmarks.cli.parts.tuning.on_validation import OnValidation
from benchmarks.cli.parts.tuning.scores import Score
from benchmarks.errors import UserError, did_you_mean
from benchmarks.plugins.values import apply_fields
from benchmarks.protocol import budget
from benchmarks.sweep.cell import Cell
from methods.registry import METHODS, info_of
from methods.space import Distribution, drawn
from results.identity import ON_VALIDATION
from results.schema import Record


@dataclass(frozen=True)
class Trial:
    """One configuration, with a run for each seed."""

    number: int
    values: dict[str, Any]
    """Values of the tuned fields."""
    runs: tuple[tuple[Cell, ...], ...]
    """For each seed its cells: one, or one for each fold."""
    records: tuple[tuple[Record, ...], ...] = ()
    """The records of `runs`, once they are there."""
    score: Score | None = None
    """None unless all cells finished."""

    @property
    def cells(self) -> list[Cell]:
        """The cells of all runs."""
        return [cell for run in self.runs for cell in run]

    @property
    def done(self) -> bool:
        """True if all cells finished."""
        found = [record for run in self.records for record in run]
        return bool(found) and all(record.status == "done" for record in found)

    @property
    def error(self) -> str:
        """The first error of its cells, or nothing."""
        found = (record.error for run in self.records for record in run if record.error)
        return next(found, "")


def trials_of(
    cells: Sequence[Cell],
    number: int,
    wanted: Sequence[str],
    by_flag: Iterable[str],
    folds: int,
) -> list[Trial]:
    """The trials on one data set, not run yet.

    Args:
        cells: the method with its defaults on the data set, one for each seed.
        number: number of trials, including the default configuration.
        wanted: fields to tune; empty takes all that are not fixed.
        by_flag: fields that `--set` fixes.
        folds: folds of the training images that score a trial; 0 for the validation images.

    Raises:
        UserError: the method is not for such data, or there is nothing to tune.
    """
    first = cells[0]
    tasks = info_of(first.method).tasks
    if first.family.task not in tasks:
        raise UserError(
            f"{first.method} is for {' and '.join(tasks)}-label data, but {first.dataset} is "
            f"{first.family.task}-label data."
        )
    of_protocol = budget(first.protocol, METHODS.fields(first.method))
    given = dict.fromkeys(of_protocol, f"protocol {first.protocol}")
    fixed = given | dict.fromkeys(by_flag, "--set")
    fields = tuned_fields(first.method, wanted, fixed)
    found = []
    for i, values in enumerate(draw(fields, first.method, first.config, number)):
        shown = ", ".join(f"{name}={value}" for name, value in values.items())
        label = f"trial {i} ({shown})"
        runs = tuple(_held_out(cell, label, values, folds) for cell in cells)
        found.append(Trial(i, values, runs))
    return found


def _held_out(cell: Cell, label: str, values: Mapping[str, Any], folds: int) -> tuple[Cell, ...]:
    """The cells of a run with some values: one on validation images, or one for each fold."""
    whole = dataclasses.replace(
        cell,
        label=label,
        config={**cell.config, **values},
        family=OnValidation(cell.family),
        dataset=f"{cell.dataset}{ON_VALIDATION}",
        select="last",
    )
    if not folds:
        return (whole,)
    return tuple(
        dataclasses.replace(
            whole,
            label=f"{label}, fold {fold + 1} of {folds}",
            family=OnValidation(cell.family, folds, fold),
        )
        for fold in range(folds)
    )


def tuned_fields(
    method: str, wanted: Sequence[str], fixed: Mapping[str, str]
) -> dict[str, Distribution]:
    """The fields to tune, with their ranges.

    Args:
        method: name of the method that declares the space.
        wanted: fields to tune; empty takes all that are not fixed.
        fixed: fields that are not tuned, and what fixes each.

    Raises:
        UserError: the method declares no space, or all of it is fixed.
    """
    space: Mapping[str, Distribution] = METHODS.attribute(method, "space")
    if not space:
        raise UserError(f"{method} declares no search space (`space` in its class).")
    for name in wanted:
        if name not in space:
            raise did_you_mean(f"field in the space of {method}", name, space)
        if name in fixed:
            raise UserError(f"--fields: {name} is fixed by {fixed[name]}.")
    fields = {
        name: reach
        for name, reach in space.items()
        if name not in fixed and (not wanted or name in wanted)
    }
    if not fields:
        raise UserError(
            f"Every field in the space of {method} is fixed, so there is nothing to tune."
        )
    return fields


def draw(
    space: Mapping[str, Distribution],
    method: str,
    default: Mapping[str, Any],
    trials: int,
) -> list[dict[str, Any]]:
    """The values of each trial: first the defaults, then draws keyed by trial and field.

    Args:
        space: the fields to draw, with the range of each.
        method: name of the method.
        default: the method's default configuration.
        trials: number of trials.

    Returns:
        One dictionary for each trial, with the values of the fields in `space`.
    """
    fields = METHODS.fields(method)
    whole = {name: fields[name].hint is int for name in space}
    found = [{name: default[name] for name in space}]
    for number in range(1, trials):
        shares = {name: randomness.key("tune", number, name) / 2**63 for name in space}
        values = {n: drawn(reach, shares[n], whole=whole[n]) for n, reach in space.items()}
        checked = apply_fields(f"method {method}", fields, {**default, **values})
        found.append({name: checked[name] for name in space})
    return found
