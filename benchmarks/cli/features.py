"""The verb `features`: write the frozen features of data sets for other tools."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.parts.flags import add_input_flags, add_machine_flags, add_plugin, sweep_from

if TYPE_CHECKING:
    from rich.console import Console

HELP = "write frozen features for use in other tools"
EXAMPLES = {"features export --datasets D --to F.parquet": "for other tools"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take data sets, a backbone and where to write."""
    add = parser.add_argument
    add("action", choices=("export",), metavar="export", help="the only action")
    add("--datasets", required=True, metavar="D[,D2]", help="data sets, see `list`")
    add(
        "--to",
        type=Path,
        required=True,
        metavar="FILE.parquet|FILE.safetensors|DIR",
        help="file to write, or a folder for one Parquet file for each data set",
    )
    add("--overwrite", action="store_true", help="replace files that exist")
    add_machine_flags(parser)
    add(
        "--set",
        action="append",
        metavar="NAME.FIELD=VALUE",
        help="set a field of a data set; may be given several times",
    )
    add(
        "--split-seed",
        dest="split_seeds",
        metavar="S",
        help="seed of the long-tailed split (default 0)",
    )
    add(
        "--select",
        metavar="last|val",
        help="val: with validation images, carved from the training images if there are no others",
    )
    add_input_flags(parser)
    add_plugin(parser)


def execute(options: argparse.Namespace, console: Console) -> int:
    """Compute the features that are missing and write all of them.

    Raises:
        UserError: a file exists or cannot be written, or a data set cannot be used.
    """
    from benchmarks.cli.parts.feature_export import export

    return export(sweep_from(options), options.to, console, overwrite=options.overwrite)
