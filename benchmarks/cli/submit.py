"""The verb `submit`: run a sweep as an array of jobs on a Slurm cluster."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from benchmarks.cli.parts.flags import add_sweep_flags, whole_number

if TYPE_CHECKING:
    from rich.console import Console

HELP = "run a sweep as a job array on a Slurm cluster"
EXAMPLES = {"submit --config FILE --slurm partition=gpu": "on a Slurm cluster"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take every flag of `run`, and the resources that Slurm provides."""
    add = parser.add_argument
    add_sweep_flags(parser)
    add(
        "--slurm",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a flag of sbatch, such as partition=gpu, gres=gpu:1, time=4:00:00, mem=32G or "
        "cpus_per_task=8; may be given several times",
    )
    add(
        "--at-most",
        type=whole_number,
        default=50,
        metavar="N",
        help="tasks that run at a time (default 50)",
    )
    add(
        "--max-array",
        type=whole_number,
        metavar="N",
        help="tasks in one array (default: the cluster's MaxArraySize)",
    )
    add(
        "--dry-run",
        action="store_true",
        help="print a script that does it with sbatch, and send nothing",
    )


def execute(options: argparse.Namespace, console: Console) -> int:
    """Send the array, or print the script.

    Raises:
        UserError: it cannot be sent, or could not run on the nodes.
    """
    from benchmarks.cli.parts.submission import submit

    return submit(options, console)
