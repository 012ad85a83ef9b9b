"""The verb `calibrate`: zero-shot accuracies of a backbone against their known values."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from benchmarks.cli.parts.flags import add_machine_flags, sweep_from

if TYPE_CHECKING:
    from rich.console import Console

HELP = "compare zero-shot accuracies with published ones"
EXAMPLES = {"calibrate --data-root data": "checks weights and transform"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a backbone, a data folder and a device."""
    add_machine_flags(parser)


def execute(options: argparse.Namespace, console: Console) -> int:
    """Compare the values and print them."""
    from benchmarks.cli.parts.calibration import calibrate

    return calibrate(sweep_from(options), console)
