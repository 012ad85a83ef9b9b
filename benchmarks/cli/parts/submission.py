"""Submission of a sweep: the cells that are left are put into tasks and sent as an array of jobs.

Each task is the ordinary command with `--task FILE:I`, so records, claims and checkpoints are those
of any run. A last job, which starts when no task is left, writes the report: the user may log
out.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks import backbones
from benchmarks.cli.parts import slurm
from benchmarks.cli.parts.console import SafeConsole
from benchmarks.cli.parts.messages import warn
from benchmarks.cli.parts.plan_table import duration
from benchmarks.cli.parts.records import read_records
from benchmarks.cli.parts.submitit_jobs import job_id, require, send
from benchmarks.cli.parts.sweeps import missing_inputs, print_empty_part, requested_sweep
from benchmarks.errors import DataMissing, UserError, counted
from benchmarks.inputs.feature_index import FeatureIndex, user_folder
from benchmarks.run.tasks import REPORT, Task, tasks_of, write_tasks
from benchmarks.run.tracking.packages import require_trackers
from benchmarks.run.units import Units
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.estimate import Estimator
from benchmarks.sweep.memory_needs import MemoryNeeds
from benchmarks.sweep.settings import QUICK_START, Sweep
from results.store import Store

SCRIPT = Path(__file__).resolve().parents[3] / "run_benchmarks.py"
NAME = "longtail-vlm"
SLACK, LEAST_MIN = 3.0, 60
"""Estimates may be wrong by a factor of a few, and a time-out costs a place in the queue."""
GB = 2**30


def submit(options: argparse.Namespace, console: Console) -> int:
    """Send what a sweep has left as an array of jobs, or print a script that does.

    Args:
        options: flags of a sweep and of `submit`.
        console: where to print.

    Returns:
        The exit status.

    Raises:
        UserError: nothing was sent.
    """
    said = SafeConsole(sys.stderr) if options.dry_run else console
    settings = slurm.settings_of(options.slurm)
    for flag, number in (("--at-most", options.at_most), ("--max-array", options.max_array)):
        if number is not None and number < 1:
            raise UserError(f"{flag} {number}: write a number of tasks, 1 or more.")
    if not options.dry_run:
        require()
    sweep = requested_sweep(options, said)
    require_trackers(sweep.track)
    if sweep.rerun == "always":
        raise UserError(
            "--rerun always: a task that is queued again would start over; choose another folder "
            "with --out, or remove the records."
        )
    if sweep.ray:
        raise UserError("--ray: `run` uses a Ray cluster; `submit` sends the cells to Slurm.")
    if sweep.check_data:
        raise UserError("--check-data: every task would read all images; check them with `run`.")
    sweep, settings = _on_nodes(sweep, settings)
    backbones.fetch(sweep.backbone, offline=sweep.offline)
    cells = plan.expand(sweep, partial(warn, said), elsewhere=True).cells
    if not cells:
        return print_empty_part(sweep, said)
    store = Store(sweep.out)
    store.check_writable()
    records = read_records(store, said)
    planned = plan.look_up(cells, records, repeatable=not sweep.no_deterministic)
    todo = [p.cell for p in planned if p.to_run(sweep.rerun, sweep.accept_stale)]
    if not todo:
        said.print(
            f"Nothing left to run: {counted(len(planned), 'cell')} in {sweep.out}; "
            "`run` with the same flags writes the report.",
            soft_wrap=True,
        )
        return 0
    _refuse_missing(todo, sweep)
    gpu = sweep.device == "cuda"
    estimator = Estimator(records, sweep.device, FeatureIndex(user_folder()))
    units = Units(estimator, MemoryNeeds(records, gpu=gpu)).of(todo, options.at_most)
    tasks = tasks_of(units, partial(_seconds, estimator))
    settings = _with_needs(settings, tasks, sweep)
    file = write_tasks(sweep.out, tasks)
    words = _words(options, sweep)
    array = slurm.Job(NAME, settings, [*words, f"--task={file}:"])
    report = slurm.Job(
        f"{NAME}-report", slurm.for_report(settings), [*words, f"--task={file}:{REPORT}"]
    )
    size = options.max_array or slurm.max_array_size()
    chunks = [min(size, len(tasks) - start) for start in range(0, len(tasks), size)]
    if options.dry_run:
        print(slurm.script(array, chunks, report, options.at_most, file), end="")  # noqa: T201
        return 0
    jobs = list(map(job_id, send(array, chunks, report, options.at_most, file.parent)))
    console.print(
        f"{counted(len(todo), 'cell')} in {counted(len(tasks), 'task')}, at most {options.at_most} "
        f"at a time, each up to {duration(60.0 * slurm.minutes(str(settings['time'])))}: "
        f"{counted(len(jobs) - 1, 'job')} ({', '.join(jobs[:-1])}). Job {jobs[-1]} writes the "
        f"report. Logs: {file.parent}; `status {sweep.out}` tells how far they are.",
        soft_wrap=True,
    )
    return 0


# ---- the plan ------------------------------------------------------------------------------------


def _on_nodes(sweep: Sweep, settings: slurm.Settings) -> tuple[Sweep, dict[str, str | bool]]:
    """Return the sweep with the device and the precision that the nodes will use.

    They are part of every record, and this machine may have other devices than the nodes.

    Raises:
        UserError: this machine cannot find them out.
    """
    found = dict(settings)
    asked = any(key == "gres" or key.startswith("gpus") for key in found)
    gpu = sweep.device == "cuda" or bool(sweep.gpus) or (sweep.device == "auto" and asked)
    if sweep.device == "mps":
        raise UserError("--device mps: nodes of a cluster have cpu or cuda.")
    if gpu and sweep.precision == "auto":
        raise UserError(
            "--precision auto: this machine cannot tell what the GPUs of the nodes support; give "
            "--precision bf16 or fp32."
        )
    if gpu and not asked:
        numbers = sweep.gpus.count(",") + 1 if sweep.gpus not in ("", "auto") else 1
        found["gpus_per_node"] = str(numbers)
    precision = "fp32" if sweep.precision == "auto" else sweep.precision
    return dataclasses.replace(sweep, device="cuda" if gpu else "cpu", precision=precision), found


def _refuse_missing(cells: Sequence[Cell], sweep: Sweep) -> None:
    """Refuse data and weights that all tasks would download at the same time.

    Raises:
        DataMissing: some are not here.
    """
    missing, _ = missing_inputs(cells, dataclasses.replace(sweep, offline=True))
    if missing:
        lines = " And: ".join(line.rstrip(".") for line in missing)
        raise DataMissing(f"Nodes do not download, and something is not here. {lines}.")


def _seconds(estimator: Estimator, cells: Sequence[Cell]) -> float | None:
    """Return the expected time of cells with the features that are not stored."""
    seconds, unknown = estimator.total(cells)
    return None if unknown else seconds


def _with_needs(
    settings: slurm.Settings, tasks: Sequence[Task], sweep: Sweep
) -> dict[str, str | bool]:
    """Return the settings with time and memory for the most demanding task, unless they are given.

    Raises:
        UserError: a time is not given and cannot be estimated.
    """
    found = dict(settings)
    if "time" not in found:
        unknown = next((task.cells[0] for task in tasks if task.seconds is None), None)
        if unknown is not None:
            raise UserError(
                f"No estimate of the time of {unknown.title}: give --slurm time=H:MM:SS for a task."
            )
        longest = max(task.seconds or 0.0 for task in tasks)
        found["time"] = str(max(LEAST_MIN, math.ceil(SLACK * longest / 60)))
    alone = sweep.jobs in ("", "1") and not sweep.gpus
    if alone and not any(key.startswith("mem") for key in found):
        most = max(task.memory for task in tasks)
        found["mem"] = f"{math.ceil(1.25 * most / GB) + 2}G"  # with the process that plans
    return found


def _words(options: argparse.Namespace, sweep: Sweep) -> list[str]:
    """Return the command of a run with the same sweep, without the part that it is to run."""
    words = [sys.executable, str(SCRIPT), "run"]
    flags = {name: getattr(options, name, None) for name in Sweep.__dataclass_fields__}
    flags["config"] = options.config
    if (options.config, options.methods, options.datasets) == (None, None, None):
        flags["config"] = QUICK_START
    flags |= {"device": sweep.device, "precision": sweep.precision}
    for name, value in flags.items():
        flag = "--recipe" if name == "recipes" else f"--{name.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif value is not None:
            words += [f"{flag}={one}" for one in (value if isinstance(value, list) else [value])]
    return words
