"""`tune`: random search over the space a method declares, on validation images only.

Test images are out of reach: what the runner is given is a data set in which the validation images
stand in the place of the test images (`OnValidation`), and the test split is let go of before
anything else sees it. A trial is scored at its last epoch, because that is what a run reports; the
training itself sees no validation images, so no epoch is chosen on those that score it. Trial 0 is
the configuration that a run without a recipe has. Draws are keyed by trial and field alone: every
method gets the same draw of a field of the same name and range, more trials begin with the same
ones, and an interrupted search goes on where it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, get_type_hints

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import backbones, randomness
from benchmarks.cli.console import ProgressDisplay
from benchmarks.cli.gathering import records_in
from benchmarks.datasets.base import DataSet, Family
from benchmarks.datasets.carving import with_validation
from benchmarks.errors import UserError, counted, did_you_mean
from benchmarks.file_names import safe
from benchmarks.plugins.values import apply_fields
from benchmarks.protocol import budget
from benchmarks.run import runner
from benchmarks.run.options import RunOptions
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.recipe_files import Recipe, default_file, refuse_to_lose, write_recipe
from benchmarks.sweep.settings import Sweep
from methods.registry import METHODS, info_of
from methods.space import Distribution, drawn
from results.schema import Record
from results.store import Store

OBJECTIVES = {"single": "balanced accuracy (%)", "multi": "mAP (%)"}


@dataclass(frozen=True)
class Request:
    """What is asked for beside the sweep."""

    trials: int
    """How many, the default configuration among them."""
    fields: tuple[str, ...] = ()
    """Which fields of the space; empty takes all."""
    write: Path | None = None
    """Where the recipe goes; None is `recipe_files.default_file`."""


@dataclass(frozen=True)
class OnValidation(Family):
    """A data set whose validation images stand in the place of its test images."""

    inner: Family

    @property
    def name(self) -> str:  # type: ignore[override]
        """Unlike the data set's own: nobody takes these records for its results."""
        return f"{self.inner.name}, validation images"

    @property
    def version(self) -> str:  # type: ignore[override]
        """The data set's."""
        return self.inner.version

    def pinned(self) -> dict[str, Any]:
        """The data set's knobs as its own records have them."""
        return {"inner": self.inner.pinned()}

    def load(self, root: Path, split_seed: int) -> DataSet:
        """The data set without its test images.

        Raises:
            UserError: it has no validation images.
        """
        data = with_validation(self.inner.load(root, split_seed), split_seed)
        if data.validation is None:
            raise UserError(
                f"{data.name} has no validation images, and nothing is tuned on test images."
            )
        return dataclasses.replace(
            data, name=self.name, test=data.validation(), validation=None, validation_source=""
        )

    def download(self, root: Path) -> str:
        """Fetch the data set."""
        return self.inner.download(root)

    def card(self) -> dict[str, str]:
        """The data set's."""
        return self.inner.card()


@dataclass(frozen=True)
class Trial:
    """A configuration that is tried, a cell for each seed."""

    number: int
    values: dict[str, Any]
    """Of the tuned fields."""
    cells: tuple[Cell, ...]
    records: tuple[Record, ...] = ()

    @property
    def scores(self) -> tuple[float, ...]:
        """The objective of every seed that finished, in percent."""
        metrics = [r.metrics for r in self.records if r.status == "done"]
        found = [m.overall if m.balanced is None else m.balanced for m in metrics if m is not None]
        return tuple(value for value in found if value is not None)

    @property
    def score(self) -> float | None:
        """Their mean; None unless all seeds finished."""
        complete = self.scores and len(self.scores) == len(self.cells)
        return sum(self.scores) / len(self.scores) if complete else None

    @property
    def error(self) -> str:
        """Why it has no score."""
        return next((record.error or "" for record in self.records if record.error), "")


def tune(sweep: Sweep, request: Request, console: Console, *, debug: bool) -> int:
    """Search on every data set of a sweep of one method and write a recipe for each.

    Args:
        sweep: the method, data sets, seeds, backbone and fixed fields.
        request: how much and what.
        console: where progress and trials are shown.
        debug: stop at the first failing trial.

    Returns:
        The exit status: 1 where no trial of a data set finished.

    Raises:
        UserError: unknown names, nothing to tune, data without validation images.
    """
    if request.trials < 1:
        raise UserError(f"--trials: {request.trials} is less than 1.")
    if len(sweep.methods) != 1 or not sweep.datasets:
        raise UserError("tune takes one method, and with --datasets what to tune it on.")
    if request.write is not None and len(sweep.datasets) > 1:
        raise UserError("--write names one file: tune on one data set at a time.")
    if sweep.data_root != Sweep().data_root and not sweep.data_root.is_dir():
        raise UserError(f"--data-root {sweep.data_root}: no such folder.")
    backbones.fetch(sweep.backbone, offline=sweep.offline)
    studies = [
        list(cells) for _, cells in groupby(plan.expand(sweep).cells, key=lambda c: c.dataset)
    ]
    by_flag = [field for owner, field, _ in sweep.set if owner == sweep.methods[0].name]
    prepared = [_trials(cells, request, by_flag) for cells in studies]
    pairs = zip(studies, prepared, strict=True)
    drafts = [_draft(cells[0], trials, by_flag, request) for cells, trials in pairs]
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
    """The fields to try values of, with their ranges.

    Args:
        method: whose space.
        wanted: which of them; empty takes all that are not fixed.
        fixed: fields that are not tried, and what fixes them.

    Raises:
        UserError: there is no space, or nothing of it is left.
    """
    space: Mapping[str, Distribution] = METHODS.get(method).space  # type: ignore[attr-defined]
    if not space:
        raise UserError(f"{method} declares no space to tune in (`space` in its class).")
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
        raise UserError(f"Every field in the space of {method} is fixed: nothing to tune.")
    return fields


def draw(
    fields: Mapping[str, Distribution], cls: type, default: Mapping[str, Any], trials: int
) -> Any:
    """The values of every trial: the defaults, then draws keyed by trial and field.

    Args:
        fields: what is drawn, and from which range.
        cls: the method.
        default: its configuration.
        trials: how many.

    Returns:
        One dictionary a trial, of the values of `fields`.
    """
    hints = get_type_hints(cls)
    found = [{name: default[name] for name in fields}]
    for number in range(1, trials):
        shares = {name: randomness.key("tune", number, name) / 2**63 for name in fields}
        values = {n: drawn(reach, shares[n], whole=hints[n] is int) for n, reach in fields.items()}
        checked = apply_fields(f"method {cls.__name__}", cls, {**default, **values})
        found.append({name: checked[name] for name in fields})
    return found


def _trials(cells: Sequence[Cell], request: Request, by_flag: Iterable[str]) -> list[Trial]:
    """The trials on one data set, nothing of them run."""
    first = cells[0]
    tasks = info_of(first.method).tasks
    if first.family.task not in tasks:
        raise UserError(
            f"{first.method} serves {' and '.join(tasks)}-label data, {first.dataset} is "
            f"{first.family.task}-label data."
        )
    cls = METHODS.get(first.method)
    of_protocol = budget(first.protocol, METHODS.fields(first.method))
    given = dict.fromkeys(of_protocol, f"protocol {first.protocol}")
    fixed = given | dict.fromkeys(by_flag, "--set")
    fields = tuned_fields(first.method, request.fields, fixed)
    found = []
    for number, values in enumerate(draw(fields, cls, first.config, request.trials)):
        shown = ", ".join(f"{name}={value}" for name, value in values.items())
        tried = tuple(
            dataclasses.replace(
                cell,
                label=f"trial {number} ({shown})",
                config={**cell.config, **values},
                family=OnValidation(cell.family),
                dataset=f"{cell.dataset}, validation images",
                select="last",
            )
            for cell in cells
        )
        found.append(Trial(number, values, tried))
    return found


def _run(
    first: Cell, trials: Sequence[Trial], sweep: Sweep, console: Console, debug: bool
) -> list[Trial] | None:
    """The trials with their records, or None after an interruption."""
    names = (first.method, first.dataset, first.backbone.name)
    out = sweep.out / "tune" / "__".join(map(safe, names))
    store = Store(out)
    store.check_writable()
    cells = list({cell.key: cell for trial in trials for cell in trial.cells}.values())
    records = records_in(store, console)
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
            records += runner.run(todo, options, display)
    except KeyboardInterrupt:
        console.print(
            f"\nInterrupted: {display.done} of {len(cells)} runs are done and kept in {out}. "
            "The same command goes on from here.",
            markup=False,
        )
        return None
    by_key = {record.key: record for record in records}
    return [dataclasses.replace(t, records=tuple(by_key[c.key] for c in t.cells)) for t in trials]


def _draft(
    first: Cell, trials: Sequence[Trial], by_flag: Iterable[str], request: Request
) -> Recipe:
    """What will be written, with the values of trial 0."""
    return Recipe(
        file=request.write or default_file(first.method, first.dataset, first.backbone.name),
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
            f"No trial of {first.method} on {first.dataset} finished, so there is no recipe: "
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
        "trials": [_told(trial) for trial in trials],
    }
    write_recipe(dataclasses.replace(draft, fields=best.values), tuning)
    said = f"Trial {best.number} is best. Recipe: {draft.file}\nA sweep uses it with --recipe"
    console.print(f"{said} {draft.file}", markup=False, soft_wrap=True)
    return 0


def _told(trial: Trial) -> dict[str, Any]:
    """A trial for who reads the recipe's file."""
    ending = {"failed": trial.error} if trial.score is None else {"score": round(trial.score, 3)}
    return {"trial": trial.number, **trial.values, **ending}


def _table(trials: Sequence[Trial], best: Trial | None, objective: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("trial", justify="right")
    for name in trials[0].values:
        table.add_column(escape(name), justify="right")
    table.add_column(objective, justify="right")
    table.add_column("")
    for trial in trials:
        notes = ["default"] if trial.number == 0 else []
        notes += ["best"] if trial is best else []
        table.add_row(
            str(trial.number),
            *(escape(str(value)) for value in trial.values.values()),
            "–" if trial.score is None else f"{trial.score:.2f}",
            escape(", ".join([*notes, *([trial.error] if trial.score is None else [])])),
            style="bold" if trial is best else None,
        )
    return table
