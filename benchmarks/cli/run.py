"""The verb `run`: compute the missing cells of a sweep, then write its report."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.parts.flags import (
    add_allow_mixed,
    add_figure_flags,
    add_latex_width,
    add_sweep_flags,
    add_view_flags,
)

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.run.data_sets import DataSets
    from benchmarks.run.display import Display
    from benchmarks.run.slots import Slot
    from benchmarks.sweep.baselines import Baselines
    from benchmarks.sweep.cell import Cell
    from benchmarks.sweep.estimate import Estimator
    from benchmarks.sweep.plan import Planned
    from benchmarks.sweep.settings import Sweep
    from reports.settings import Settings
    from results.schema import Record
    from results.store import Store

HELP = "run a sweep (the default verb)"
EXAMPLES = {
    "": "the embedded quick start",
    "--methods lift,sage --datasets cifar100_lt": "a sweep of your own",
    "run --help": "every flag",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the flags of a sweep."""
    add_sweep_flags(parser)
    add_view_flags(parser)
    add_latex_width(parser)
    add_figure_flags(parser)
    add_allow_mixed(parser)
    parser.add_argument(
        "--task",
        metavar="FILE:I",
        help="run one task of a sweep, as the jobs of `submit` do, and write no report",
    )


def execute(options: argparse.Namespace, console: Console) -> int:
    """Run what is not done yet, then print the tables and write the report."""
    from benchmarks.cli.parts.messages import warn
    from benchmarks.cli.parts.plan_table import outlook
    from benchmarks.cli.parts.recipes import renew_recipe_state
    from benchmarks.cli.parts.records import read_records
    from benchmarks.cli.parts.sweeps import (
        estimator_for,
        print_bf16,
        print_empty_part,
        refuse_unfit_places,
        requested_sweep,
        require_inputs,
        warn_of_changed_data,
    )
    from benchmarks.errors import UserError, counted
    from benchmarks.run.run_plan import taking_part
    from benchmarks.run.slots import slots_of
    from benchmarks.run.tasks import part_named
    from benchmarks.run.tracking.packages import require_trackers
    from benchmarks.starting import warm_up
    from benchmarks.sweep import plan
    from benchmarks.sweep.settings import Sweep
    from reports.settings import read_settings
    from results.store import Store

    sweep = requested_sweep(options, console)
    flags = vars(options) | {"groups": sweep.groups}
    settings = read_settings(flags, dict(sweep.report), options.config)
    part = part_named(options.task) if options.task is not None else None
    reports = part is not None and part.reports
    if reports:  # by a job that has no GPU
        sweep = replace(sweep, device="cpu", gpus="", per_gpu=1)
    refuse_unfit_places(sweep, debug=options.debug)
    slots = slots_of(sweep)  # a GPU that is not there is said before anything begins
    require_trackers(sweep.track)
    store = Store(sweep.out)
    if sweep.backbone.startswith("hf-hub:"):
        from benchmarks import backbones

        backbones.fetch(sweep.backbone, offline=sweep.offline)
    expansion = plan.expand(sweep, partial(warn, console), elsewhere=reports)
    settings.view.names.refuse_unfit(expansion.of_all_parts)
    cells = expansion.cells if part is None else part.of(expansion.cells)
    if not cells:
        return print_empty_part(sweep, console)
    if sweep.data_root != Sweep().data_root and not os.path.isdir(sweep.data_root):
        raise UserError(f"--data-root {sweep.data_root}: no such folder.")
    store.check_writable()
    told: set[str] = set()
    records = read_records(store, console, told)
    whole = plan.look_up(expansion.of_all_parts, records, repeatable=not sweep.no_deterministic)
    here = {cell.key for cell in cells}
    planned = [p for p in whole if p.cell.key in here]
    todo = [p.cell for p in planned if p.to_run(sweep.rerun, sweep.accept_stale)]
    if part is not None and reports:
        todo = []
        part.forget()
    require_inputs(todo, sweep, console)
    estimator = estimator_for(records, sweep)
    with taking_part(sweep, whole, estimator):
        if todo and not options.debug:
            warm_up(fitting=True)
        if todo:
            warn_of_changed_data(planned, records, sweep, console)
            estimated = outlook(todo, estimator, len(slots))
            console.print(f"{counted(len(planned), 'cell')}, {estimated}.")
            print_bf16(todo, estimator, sweep, console, tried=True)
        if todo or sweep.save_model or sweep.check_data:  # otherwise nothing needs torch
            if not _run_cells(
                planned, todo, records, estimator, sweep, slots, console, debug=options.debug
            ):
                return 130
            # From the disk, not from memory: what is not there is not done.
            records = read_records(store, console, told)
            planned = plan.look_up(cells, records, repeatable=not sweep.no_deterministic)
    planned = renew_recipe_state(planned, store)
    if part is not None and not reports:
        status = _print_done(planned, console)
    else:
        status = _report(
            planned, expansion.baselines, sweep, settings, console, allow_mixed=options.allow_mixed
        )
    return max(status, _check_predictions(planned, todo, store, console))


def _print_done(planned: Sequence[Planned], console: Console) -> int:
    """Say how many cells of a task are done; return the exit status."""
    from benchmarks.errors import counted

    console.print(f"{counted(sum(p.state == 'done' for p in planned), 'cell')} done.")
    return 0 if all(p.state in ("done", "not applicable", "stale") for p in planned) else 1


def _check_predictions(
    planned: Sequence[Planned], todo: Sequence[Cell], store: Store, console: Console
) -> int:
    """Say which of the new cells have no readable predictions; return the exit status."""
    from benchmarks.cli.parts.messages import warn
    from benchmarks.errors import UserError

    new, status = {cell.key for cell in todo}, 0
    for cell in (p.cell for p in planned if p.state == "done" and p.cell.key in new):
        try:
            store.predictions(cell.key, only=())
        except UserError as error:
            warn(console, f"{cell.title}: {error}")
            status = 1
    return status


def _run_cells(
    planned: Sequence[Planned],
    todo: Sequence[Cell],
    records: Sequence[Record],
    estimator: Estimator,
    sweep: Sweep,
    slots: Sequence[Slot],
    console: Console,
    *,
    debug: bool,
) -> bool:
    """Run cells of a plan; return False after an interruption."""
    import torch

    from benchmarks import processes
    from benchmarks.cli.parts.messages import warn
    from benchmarks.cli.parts.progress import ProgressDisplay
    from benchmarks.run import runner
    from benchmarks.run.data_sets import DataSets
    from benchmarks.run.options import RunOptions
    from benchmarks.run.tracking.base import Settings
    from benchmarks.run.tracking.tracked_display import TrackedDisplay
    from benchmarks.run.tracking.trackers import Trackers
    from benchmarks.run.units import Units
    from benchmarks.sweep.memory_needs import MemoryNeeds
    from methods.registry import METHODS

    for name in dict.fromkeys(cell.method for cell in todo):
        if not METHODS.described(name):  # otherwise a child has imported it already
            METHODS.get(name)  # a module that does not import is reported before anything slow
    if sweep.save_model:
        _warn_of_missing_models(planned, todo, sweep.out, console)
    options = RunOptions.of(sweep, slots, debug=debug)
    if not processes.in_this_process():
        # Workers fit. Threads that score a small cell here would then wait for the next one at
        # full speed, and take a core from a worker.
        torch.set_num_threads(1)
    expected = {cell.key: estimator.cell(cell).seconds for cell in todo}
    running = {cell.key for cell in todo}
    finished = [(p.cell, p.record) for p in planned if p.record and p.cell.key not in running]
    display = ProgressDisplay(console, len(todo), len(planned) - len(todo), expected, finished)
    data_sets = DataSets(options, display)
    if sweep.check_data:
        with display:
            _check_data([p.cell for p in planned], data_sets, sweep.out, display, console)
    trackers = Trackers(
        sweep.track if todo else (), Settings(options.out, sweep.offline), partial(warn, console)
    )
    try:
        with trackers, display:
            data_sets.load_all(todo)
            known = {p.cell.key: p.record for p in planned}
            memory = MemoryNeeds(records, gpu=options.device.type == "cuda")
            shown = TrackedDisplay(display, trackers) if sweep.track else display
            runner.run(todo, options, shown, data_sets, known, Units(estimator, memory))
    except runner.TooManyFailures as error:
        warn(console, str(error))
    except KeyboardInterrupt:
        _print_interruption(display.done, len(planned), sweep, console)
        return False
    return True


def _warn_of_missing_models(
    planned: Sequence[Planned], todo: Sequence[Cell], out: Path, console: Console
) -> None:
    """Say how many finished cells have no saved model and would not be run for it."""
    from benchmarks.cli.parts.messages import warn
    from benchmarks.errors import counted
    from benchmarks.run.model_files import model_file

    running = {cell.key for cell in todo}
    kept = [p.cell for p in planned if p.state == "done" and p.cell.key not in running]
    missing = sum(not model_file(out, cell.key).is_file() for cell in kept)
    if missing:
        warn(
            console,
            f"{counted(missing, 'finished cell')} without a saved model: --rerun always computes "
            "all cells of the command again and saves their models.",
        )


def _check_data(
    cells: Sequence[Cell], data_sets: DataSets, out: Path, display: Display, console: Console
) -> None:
    """Read every image of the cells' data sets and report what is wrong with any of them.

    Raises:
        DataError: some images are damaged; all data sets have been read.
    """
    from benchmarks.datasets import checking
    from benchmarks.errors import DataError

    problems = []
    for cell in {(cell.dataset, cell.split_seed): cell for cell in cells}.values():
        data = data_sets.get(cell)
        progress = partial(display.preparing, f"reading {cell.dataset}")
        found = checking.examine(data, progress, validation=cell.select == "val")
        # Another seed may draw other images, so it has its own file.
        name = f"{cell.dataset}, split seed {cell.split_seed}" if cell.split_seed else cell.dataset
        try:
            line = checking.report(name, found, out / "data_check")
            console.print(line, markup=False, soft_wrap=True)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError(" And: ".join(problems))


def _print_interruption(done: int, cells: int, sweep: Sweep, console: Console) -> None:
    """Say what an interrupted run has kept and how to continue it."""
    from benchmarks.errors import counted

    console.print(
        f"\nInterrupted: {done} of {counted(cells, 'cell')} {'is' if cells == 1 else 'are'} done "
        f"and kept in {sweep.out}. "
        + (
            "The same command starts over; without --rerun always it keeps them."
            if sweep.rerun == "always"
            else "The same command continues from here."
        ),
        markup=False,
    )


def _report(
    planned: Sequence[Planned],
    baselines: Baselines,
    sweep: Sweep,
    settings: Settings,
    console: Console,
    *,
    allow_mixed: bool,
) -> int:
    """Print and write the tables, figures and comparisons of a sweep; return the exit status."""
    from benchmarks.cli.parts.comparisons import write_comparisons
    from benchmarks.cli.parts.messages import print_report_files, warn
    from benchmarks.cli.report import DEFAULT_FOLDER
    from benchmarks.errors import counted
    from benchmarks.sweep.settings import Sweep
    from reports.compare.runs import NEEDED
    from reports.report import write_report
    from results.store import Store

    records = [p.record for p in planned if p.record is not None]
    stale = {p.record.key for p in planned if p.record is not None and p.state == "stale"}
    failed = [p for p in planned if p.state == "failed"]
    missing = [p for p in planned if p.state == "missing"]
    folder = DEFAULT_FOLDER if sweep.out == Sweep().out else sweep.out / "report"
    console.print()
    store = Store(sweep.out)
    files = write_report(
        records,
        folder,
        stale=stale,
        allow_mixed=allow_mixed,
        read=lambda record: store.predictions(record.key, NEEDED),
        console=console,
        settings=settings,
    )
    if sweep.compare:
        files += write_comparisons(
            baselines, records, stale, sweep.out, folder, console, sweep.margin, settings
        )
    print_report_files(console, files, sweep.out / "records")
    if sweep.shard:
        warn(
            console,
            f"This table has the cells of part {sweep.shard} alone. Once all parts are done, "
            f"run_benchmarks.py report {sweep.out} puts them into one table.",
        )
    if failed:
        console.print(
            f"{len(failed)} of {counted(len(planned), 'cell')} failed; --rerun failed runs "
            f"{'it' if len(failed) == 1 else 'them'} again.",
            style="red",
        )
    if missing:
        console.print(
            f"{len(missing)} of {counted(len(planned), 'cell')} left no record in {sweep.out}: "
            "the same command runs what is missing.",
            style="red",
            markup=False,
        )
    return 1 if failed or missing else 0
