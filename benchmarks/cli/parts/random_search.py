"""Random search over the space that a method declares, on validation images only.

The test images are out of reach: the runner gets a data set whose validation images take the place
of its test images (`OnValidation`). A trial is scored at its last epoch, because that is what a run
reports; training does not see the validation images, so no epoch is chosen on the images that score
it. Trial 0 is the configuration of a run without a recipe. Draws are keyed by trial and field
alone. Therefore every method gets the same draws of a field with the same name and range, a search
with more trials starts with the same ones, and an interrupted search continues where it stopped.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks import backbones, randomness
from benchmarks.cli.parts.on_validation import OnValidation
from benchmarks.cli.parts.progress import ProgressDisplay
from benchmarks.cli.parts.records import read_records
from benchmarks.cli.parts.sweeps import estimator_for
from benchmarks.errors import UserError, counted, did_you_mean
from benchmarks.file_names import safe
from benchmarks.plugins.ranges import Range
from benchmarks.plugins.values import apply_fields
from benchmarks.protocol import budget
from benchmarks.run import runner
from benchmarks.run.options import RunOptions
from benchmarks.run.units import Units
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.memory_needs import MemoryNeeds
from benchmarks.sweep.recipe_files import TRIALS, Recipe, default_file, refuse_to_lose, write_recipe
from benchmarks.sweep.settings import Sweep
from methods.registry import METHODS, info_of
from methods.space import Distribution, drawn
from results.identity import ON_VALIDATION
from results.schema import Record
from results.store import Store

OBJECTIVES = {"single": "balanced accuracy (%)", "multi": "mAP (%)"}


@dataclass(frozen=True)
class SearchOptions:
    """Size of a search, and where its result goes."""

    trials: int
    """Number of trials, including the default configuration."""
    fields: tuple[str, ...] = ()
    """Fields of the space to tune; empty takes all."""
    write: Path | None = None
    """Recipe file; None is `recipe_files.default_file`."""


@dataclass(frozen=True)
class Trial:
    """One configuration, with a cell for each seed."""

    number: int
    values: dict[str, Any]
    """Values of the tuned fields."""
    cells: tuple[Cell, ...]
    records: tuple[Record, ...] = ()

    @property
    def scores(self) -> tuple[float, ...]:
        """The objective for every seed that finished, in percent."""
        metrics = [r.metrics for r in self.records if r.status == "done"]
        found = [m.overall if m.balanced is None else m.balanced for m in metrics if m is not None]
        return tuple(value for value in found if value is not None)

    @property
    def score(self) -> float | None:
        """Mean of `scores`; None unless all seeds finished."""
        complete = self.scores and len(self.scores) == len(self.cells)
        return sum(self.scores) / len(self.scores) if complete else None

    @property
    def error(self) -> str:
        """The first error of its cells, or nothing."""
        return next((record.error or "" for record in self.records if record.error), "")


def tune(sweep: Sweep, options: SearchOptions, console: Console, *, debug: bool) -> int:
    """Search on every data set of a sweep of one method and write a recipe for each.

    Args:
        sweep: the method, data sets, seeds, backbone and fixed fields.
        options: size of the search and the recipe file.
        console: where to print progress and trials.
        debug: stop at the first failing trial.

    Returns:
        The exit status: 1 if no trial on a data set finished.

    Raises:
        UserError: unknown names, nothing to tune, or data without validation images.
    """
    if wrong := Range(1, TRIALS.high).complaint(options.trials):
        raise UserError(f"--trials: {options.trials} is {wrong}.")
    if len(sweep.methods) != 1 or not sweep.datasets:
        raise UserError("tune takes one method, and --datasets with the data sets to tune it on.")
    if options.write is not None and len(sweep.datasets) > 1:
        raise UserError("--write names one file: tune on one data set at a time.")
    if sweep.data_root != Sweep().data_root and not os.path.isdir(sweep.data_root):
        raise UserError(f"--data-root {sweep.data_root}: no such folder.")
    backbones.fetch(sweep.backbone, offline=sweep.offline)
    every = plan.expand(sweep).cells
    studies = [list(cells) for _, cells in groupby(every, key=lambda cell: cell.dataset)]
    by_flag = [field for owner, field, _ in sweep.set if owner == sweep.methods[0].name]
    prepared = [_trials(cells, options, by_flag) for cells in studies]
    pairs = zip(studies, prepared, strict=True)
    drafts = [_draft(cells[0], trials, by_flag, options) for cells, trials in pairs]
    for draft in drafts:
        refuse_to_lose(draft)
    status = 0
    for cells, trials, draft in zip(studies, prepared, drafts, strict=True):
        done = _run(cells[0], trials, sweep, console, debug)
        if done is None:
            return 130
        status = max(status, _finish(cells[0], done, draft, console))
    return status


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


def _trials(cells: Sequence[Cell], options: SearchOptions, by_flag: Iterable[str]) -> list[Trial]:
    """The trials on one data set, not run yet."""
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
    fields = tuned_fields(first.method, options.fields, fixed)
    found = []
    for number, values in enumerate(draw(fields, first.method, first.config, options.trials)):
        shown = ", ".join(f"{name}={value}" for name, value in values.items())
        tried = tuple(
            dataclasses.replace(
                cell,
                label=f"trial {number} ({shown})",
                config={**cell.config, **values},
                family=OnValidation(cell.family),
                dataset=f"{cell.dataset}{ON_VALIDATION}",
                select="last",
            )
            for cell in cells
        )
        found.append(Trial(number, values, tried))
    return found


def _run(
    first: Cell, trials: Sequence[Trial], sweep: Sweep, console: Console, debug: bool
) -> list[Trial] | None:
    """Run the trials and return them with their records, or None after an interruption."""
    names = (first.method, first.dataset, first.backbone.name)
    out = sweep.out / "tune" / "__".join(map(safe, names))
    store = Store(out)
    store.check_writable()
    cells = list({cell.key: cell for trial in trials for cell in trial.cells}.values())
    records = read_records(store, console)
    planned = plan.look_up(cells, records)
    todo = [p.cell for p in planned if p.to_run("missing", accept_stale=False)]
    console.print(
        f"{first.method} on {first.dataset} with {first.backbone.name}: "
        f"{counted(len(trials), 'trial')}, measured on validation images.",
        markup=False,
    )
    options = RunOptions.of(dataclasses.replace(sweep, out=out), debug=debug)
    display = ProgressDisplay(console, len(todo), len(cells) - len(todo))
    try:
        with display:
            known = {p.cell.key: p.record for p in planned}
            memory = MemoryNeeds(records, gpu=options.device.type == "cuda")
            units = Units(estimator_for(records, sweep), memory)
            records += runner.run(todo, options, display, known=known, units=units)
    except KeyboardInterrupt:
        console.print(
            f"\nInterrupted: {display.done} of {len(cells)} runs are done and kept in {out}. "
            "The same command continues from here.",
            markup=False,
        )
        return None
    by_key = {record.key: record for record in records}
    return [dataclasses.replace(t, records=tuple(by_key[c.key] for c in t.cells)) for t in trials]


def _draft(
    first: Cell, trials: Sequence[Trial], by_flag: Iterable[str], options: SearchOptions
) -> Recipe:
    """The recipe to write, still with the values of trial 0."""
    return Recipe(
        file=options.write or default_file(first.method, first.dataset, first.backbone.name),
        method=first.method,
        dataset=first.dataset,
        backbone=first.backbone.name,
        protocol=first.protocol,
        origin=f"tuned-on-{first.dataset}, {counted(len(trials), 'trial')}",
        trials=len(trials),
        fields=trials[0].values,
        fixed={field: first.config[field] for field in by_flag},
    )


def _finish(first: Cell, trials: Sequence[Trial], draft: Recipe, console: Console) -> int:
    """Print the trials and write the best one's values as a recipe; the exit status."""
    best = max(
        (trial for trial in trials if trial.score is not None),
        key=lambda trial: (trial.score, -trial.number),
        default=None,
    )
    objective = OBJECTIVES[trials[0].records[0].task]
    console.print(_table(trials, best, objective))
    if best is None:
        console.print(
            f"No trial of {first.method} on {first.dataset} finished, so no recipe was written: "
            f"{trials[0].error}",
            style="red",
            markup=False,
        )
        return 1
    tuning = {
        "objective": f"{objective} on validation images at the last epoch, mean over seeds",
        "seeds": [cell.seed for cell in trials[0].cells],
        "source": first.fingerprint,
        "best": best.number,
        "trials": [_summary(trial) for trial in trials],
    }
    write_recipe(dataclasses.replace(draft, fields=best.values), tuning)
    console.print(
        f"Trial {best.number} is best. Recipe: {draft.file}\nTo use it in a sweep: --recipe "
        f"{draft.file}",
        markup=False,
        soft_wrap=True,
    )
    return 0


def _summary(trial: Trial) -> dict[str, Any]:
    """A trial as the recipe file lists it."""
    result = {"failed": trial.error} if trial.score is None else {"score": round(trial.score, 3)}
    return {"trial": trial.number, **trial.values, **result}


def _table(trials: Sequence[Trial], best: Trial | None, objective: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("trial", justify="right")
    for name in trials[0].values:
        table.add_column(Text(name, justify="right"), justify="right")
    table.add_column(objective, justify="right")
    table.add_column("")
    for trial in trials:
        notes = ["default"] if trial.number == 0 else []
        notes += ["best"] if trial is best else []
        table.add_row(
            str(trial.number),
            *(Text(str(value)) for value in trial.values.values()),
            "–" if trial.score is None else f"{trial.score:.2f}",
            Text(", ".join([*notes, *([trial.error or ""] if trial.score is None else [])])),
            style="bold" if trial is best else None,
        )
    return table
