"""Steps that `run` and `plan` share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from rich.console import Console

from benchmarks import device as devices
from benchmarks.backbone import presence
from benchmarks.cli.parts.flags import sweep_from
from benchmarks.cli.parts.messages import warn
from benchmarks.cli.parts.plan_table import duration
from benchmarks.errors import DataMissing, UserError, counted
from benchmarks.inputs.feature_index import FeatureIndex, user_folder
from benchmarks.run import ray_cluster
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.estimate import Estimator
from benchmarks.sweep.half_precision import seconds_saved
from benchmarks.sweep.plan import Planned
from benchmarks.sweep.settings import QUICK_START, Sweep, shard_of
from results.schema import Record


def requested_sweep(options: argparse.Namespace, console: Console) -> Sweep:
    """The sweep of a command line: the quick start if it names no methods, data sets or file.

    Raises:
        UserError: an unusable value, or a file that cannot be read.
    """
    file = options.config
    if file is None and options.methods is None and options.datasets is None:
        file = QUICK_START
        console.print("Quick start: the embedded world, nothing is downloaded (see --help).")
    return sweep_from(options, file)


def refuse_unfit_places(sweep: Sweep, *, debug: bool) -> None:
    """Refuse places that a debugger cannot follow, and a cluster that does not answer.

    Raises:
        UserError: the line.
    """
    if debug and (sweep.jobs not in ("", "1") or sweep.gpus or sweep.ray):
        raise UserError("--debug fits in a single process: leave --jobs, --gpus and --ray out.")
    if sweep.ray:
        ray_cluster.require(sweep)


def estimator_for(records: Sequence[Record], sweep: Sweep) -> Estimator:
    """An estimator of the sweep's time, from earlier records and the features already stored."""
    return Estimator(records, devices.kind(sweep.device), FeatureIndex(user_folder()))


def missing_inputs(todo: Sequence[Cell], sweep: Sweep) -> tuple[list[str], bool]:
    """Find the data sets and weights that are not here.

    Returns:
        A line for each, and True if one of them cannot be downloaded by a run.
    """
    found, fatal = [], False
    for dataset, family in dict.fromkeys((cell.dataset, cell.family) for cell in todo):
        if missing := family.absent(sweep.data_root):
            found.append(f"{dataset}: {missing} (`show {family.name}` says where it goes)")
            fatal |= sweep.offline or not family.published
    for line in _missing_weights(todo, sweep):
        found.append(line)
        fatal = True
    return found, fatal


def require_inputs(todo: Sequence[Cell], sweep: Sweep, console: Console) -> None:
    """Download the data sets that are not here, and look for the weights.

    Raises:
        DataMissing: some cannot be had.
        DataError: a data set that was downloaded cannot be used.
    """
    from benchmarks.run.data_sets import load_or_download  # slow to import

    missing = []
    for family, cell in {cell.family: cell for cell in todo}.items():
        if family.absent(sweep.data_root):
            try:
                load_or_download(cell, sweep.data_root, sweep.offline, console.print)
            except DataMissing as error:
                missing.append(str(error))
    if missing := [*missing, *_missing_weights(todo, sweep)]:
        raise DataMissing(" And: ".join(missing))


def _missing_weights(todo: Sequence[Cell], sweep: Sweep) -> Iterator[str]:
    for backbone in dict.fromkeys(cell.backbone for cell in todo):
        try:
            presence.require(backbone, offline=sweep.offline)
        except DataMissing as error:
            yield str(error)


def warn_of_changed_data(
    planned: Sequence[Planned], records: Sequence[Record], sweep: Sweep, console: Console
) -> None:
    """Name the data sets whose files have changed since records in the folder were made."""
    for dataset, count in plan.of_other_data(planned, records).items():
        made = f"{counted(count, 'record')} in {sweep.out} made before its files changed"
        warn(console, f"note: {dataset}: {made}; not used")


def print_bf16(
    todo: Sequence[Cell], estimator: Estimator, sweep: Sweep, console: Console, *, tried: bool
) -> None:
    """Say what bf16 would save on a CPU, if it is a minute or more.

    Args:
        todo: the cells to run.
        estimator: estimates the time of each.
        sweep: the request.
        console: where to print.
        tried: first try whether the processor really has it, which takes seconds.
    """
    seconds = seconds_saved(todo, estimator, sweep)
    if seconds < 60 or (tried and not devices.has_bf16(devices.pick("cpu"))):
        return
    console.print(
        f"--precision bf16 would save about {duration(seconds)} of computing on this processor; "
        "auto stays fp32 on CPUs, so that records repeat on other machines.",
        soft_wrap=True,
    )


def print_empty_part(sweep: Sweep, console: Console) -> int:
    """Report a part without cells, which is no error: a small sweep may have fewer than parts.

    Returns:
        The exit status.
    """
    part, parts = shard_of(sweep.shard)
    console.print(f"Part {part + 1} of {parts} holds no cells.")
    return 0
