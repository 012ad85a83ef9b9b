"""The verb `predict`: classify images with a model that a run saved."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.parts.flags import OFFLINE, add_plugin

if TYPE_CHECKING:
    from rich.console import Console

HELP = "classify your own images with a saved model"
EXAMPLES = {"predict OUT/records/KEY.json --images DIR": "with a saved model"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a record, a folder of images and a file to write."""
    add = parser.add_argument
    add(
        "record",
        type=Path,
        metavar="RECORD",
        help="OUT/records/KEY.json of a run with --save-model",
    )
    add("--images", type=Path, required=True, metavar="DIR", help="folder of images")
    add(
        "--out",
        type=Path,
        default=Path("predictions.csv"),
        metavar="FILE",
        help="CSV file to write (default predictions.csv)",
    )
    add(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="folder of the data sets (default: that of the run)",
    )
    add(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda", "mps"),
        help="auto uses a GPU if there is one",
    )
    add("--offline", action="store_true", help=OFFLINE)
    add_plugin(parser)


def execute(options: argparse.Namespace, console: Console) -> int:
    """Write the predictions for every image under a folder."""
    from benchmarks.cli.parts.prediction import predict
    from benchmarks.processes import staying_here

    flags = {name: getattr(options, name) for name in ("data_root", "device", "offline", "plugin")}
    with staying_here():  # it has no labels to keep, and writes no record
        return predict(options.record, options.images, options.out, console, flags)
