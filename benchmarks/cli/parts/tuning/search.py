"""Random search over the space that a method declares, on images held out from training.

The test images are out of reach: the runner gets a data set whose validation images, or a fold of
whose training images, take the place of its test images (`OnValidation`). A trial is scored at its
last epoch, because that is what a run reports; training does not see the images that score it, so
no epoch is chosen on them.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rich.console import Console

from benchmarks import backbones
from benchmarks.cli.parts.progress import ProgressDisplay
from benchmarks.cli.parts.records import read_records
from benchmarks.cli.parts.sweeps import estimator_for
from benchmarks.cli.parts.tuning.outcome import finish
from benchmarks.cli.parts.tuning.scores import score_of
from benchmarks.cli.parts.tuning.trials import Trial, trials_of
from benchmarks.errors import UserError, counted
from benchmarks.file_names import safe
from benchmarks.plugins.ranges import Range
from benchmarks.run import runner
from benchmarks.run.options import RunOptions
from benchmarks.run.units import Units
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.memory_needs import MemoryNeeds
from benchmarks.sweep.recipe_files import FOLDS, TRIALS, Recipe, default_file, refuse_to_lose
from benchmarks.sweep.settings import Sweep
from reports.compare.runs import NEEDED, Read
from results.predictions import Arrays
from results.schema import Record
from results.store import Store


@dataclass(frozen=True)
class SearchOptions:
    """Size of a search, and where its result goes."""

    trials: int = 16
    """Number of trials, including the default configuration."""
    fields: tuple[str, ...] = ()
    """Fields of the space to tune; empty takes all."""
    folds: int = 0
    """Folds of the training images that score a trial; 0 for the validation images."""
    write: Path | None = None
    """Recipe file; None is `recipe_files.default_file`."""


@dataclass(frozen=True)
class _Search:
    """A search on one data set, prepared."""

    first: Cell
    """The method with its defaults and the first seed."""
    trials: list[Trial]
    draft: Recipe
    """The recipe, still with the values of trial 0."""


def tune(sweep: Sweep, options: SearchOptions, console: Console, *, debug: bool) -> int:
    """Search on every data set of a sweep of one method and write a recipe for each.

    Args:
        sweep: the method, data sets, seeds, backbone and fixed fields.
        options: size of the search and the recipe file.
        console: where to print progress and trials.
        debug: stop at the first failing trial.

    Returns:
        The exit status: 1 if no trial on a data set finished, 130 after an interruption.

    Raises:
        UserError: unknown names, nothing to tune, or data without validation images.
    """
    if wrong := Range(1, TRIALS.high).complaint(options.trials):
        raise UserError(f"--trials: {options.trials} is {wrong}.")
    if options.folds and (wrong := Range(2, FOLDS.high).complaint(options.folds)):
        raise UserError(f"--folds: {options.folds} is {wrong}.")
    if len(sweep.methods) != 1 or not sweep.datasets:
        raise UserError("tune takes one method, and --datasets with the data sets to tune it on.")
    if options.write is not None and len(sweep.datasets) > 1:
        raise UserError("--write names one file: tune on one data set at a time.")
    if sweep.data_root != Sweep().data_root and not os.path.isdir(sweep.data_root):
        raise UserError(f"--data-root {sweep.data_root}: no such folder.")
    backbones.fetch(sweep.backbone, offline=sweep.offline)
    every = plan.expand(sweep).cells
    by_data = [list(cells) for _, cells in groupby(every, key=lambda cell: cell.dataset)]
    searches = [_prepared(cells, sweep, options) for cells in by_data]
    for search in searches:
        refuse_to_lose(search.draft)
    status = 0
    for search in searches:
        done = _run(search, sweep, console, debug)
        if done is None:
            return 130
        trials, read = done
        status = max(status, finish(search.first, trials, search.draft, read, console))
    return status


def _prepared(cells: Sequence[Cell], sweep: Sweep, options: SearchOptions) -> _Search:
    """The search on the data set of some cells, one for each seed."""
    first = cells[0]
    by_flag = [field for owner, field, _ in sweep.set if owner == first.method]
    trials = trials_of(cells, options.trials, options.fields, by_flag, options.folds)
    size = counted(len(trials), "trial")
    size += f" of {options.folds} folds" if options.folds else ""
    draft = Recipe(
        file=options.write or default_file(first.method, first.dataset, first.backbone.name),
        method=first.method,
        dataset=first.dataset,
        backbone=first.backbone.name,
        protocol=first.protocol,
        origin=f"tuned-on-{first.dataset}, {size}",
        trials=len(trials),
        fields=trials[0].values,
        tuning={
            "fixed": {field: first.config[field] for field in by_flag},
            **({"folds": options.folds} if options.folds else {}),
            "seeds": [cell.seed for cell in cells],
            "source": first.fingerprint,
            "flags": _flags(first, sweep),
        },
    )
    return _Search(first, trials, draft)


def _flags(first: Cell, sweep: Sweep) -> dict[str, object]:
    """The flags, besides those that a recipe states anyway, that lead to the same trials."""
    flags: dict[str, object] = {
        "datasets": first.dataset_as_typed,
        "backbone": first.backbone.typed,
        "precision": first.precision,
    }
    knobs: dict[str, dict[str, object]] = {}
    for owner, field, value in sweep.set:
        if owner in (first.dataset_as_typed, first.family.name):
            knobs.setdefault(owner, {})[field] = value
    if knobs:
        flags["set"] = knobs
    if sweep.plugin:
        flags["plugin"] = [str(file) for file in sweep.plugin]
    return flags


def _run(
    search: _Search, sweep: Sweep, console: Console, debug: bool
) -> tuple[list[Trial], Read] | None:
    """Run the trials.

    Returns:
        The trials with their records and scores, and what reads predictions; None after an
        interruption.
    """
    first, trials = search.first, search.trials
    names = (first.method, first.dataset, first.backbone.name)
    out = sweep.out / "tune" / "__".join(map(safe, names))
    store = Store(out)
    store.check_writable()
    cells = list({cell.key: cell for trial in trials for cell in trial.cells}.values())
    # By fold, so that one is in memory at a time.
    cells.sort(key=lambda cell: cell.family.pinned().get("fold", 0))
    records = read_records(store, console)
    planned = plan.look_up(cells, records)
    todo = [p.cell for p in planned if p.to_run("missing", accept_stale=False)]
    folds = search.draft.folds
    measured = f"{folds} folds of the training images" if folds else "validation images"
    console.print(
        f"{first.method} on {first.dataset} with {first.backbone.name}: "
        f"{counted(len(trials), 'trial')}, measured on {measured}.",
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

    def read(record: Record) -> Arrays:
        return store.predictions(record.key, NEEDED)

    return [_scored(trial, by_key, read) for trial in trials], read


def _scored(trial: Trial, by_key: dict[str, Record], read: Read) -> Trial:
    """The trial with its records and its score."""
    records = tuple(tuple(by_key[cell.key] for cell in run) for run in trial.runs)
    found = dataclasses.replace(trial, records=records)
    return dataclasses.replace(found, score=score_of(records, read)) if found.done else found
