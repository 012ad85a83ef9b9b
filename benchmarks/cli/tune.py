"""The verb `tune`: search hyper-parameters on validation images and write a recipe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.parts.flags import add_cell_flags, sweep_from

if TYPE_CHECKING:
    from rich.console import Console

HELP = "search hyper-parameters on validation images; write a recipe"
EXAMPLES = {"tune lift --datasets glyphs100_lt": "writes a recipe"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a method, data sets and the size of the search."""
    add = parser.add_argument
    add("method", metavar="METHOD", help="the method to tune, see `list`")
    add(
        "--datasets",
        metavar="D[,D2]",
        help="required: data sets to tune on; each gets its own recipe",
    )
    add("--trials", type=int, default=16, metavar="N", help="number of trials (default 16)")
    add(
        "--folds",
        type=int,
        default=0,
        metavar="K",
        help="score a trial on its training images in K folds, with K fits, so that every class "
        "with 2 or more images counts (default: on validation images)",
    )
    add("--fields", metavar="A,B", help="fields of the method's space to tune (default all)")
    add("--seeds", default="0", metavar="0,1", help="run seeds of each trial (default 0)")
    add(
        "--write",
        type=Path,
        metavar="FILE",
        help="recipe file (default configs/recipes/METHOD__DATASET__BACKBONE.yaml)",
    )
    add_cell_flags(parser)


def execute(options: argparse.Namespace, console: Console) -> int:
    """Search on each data set."""
    from benchmarks.cli.parts.sweeps import refuse_unfit_places
    from benchmarks.cli.parts.tuning.search import SearchOptions, tune

    sweep = sweep_from(options, methods=options.method)
    refuse_unfit_places(sweep, debug=options.debug)
    fields = tuple(name for name in (options.fields or "").split(",") if name)
    search = SearchOptions(options.trials, fields, options.folds, options.write)
    return tune(sweep, search, console, debug=options.debug)
