"""The verb `tune`: search hyper-parameters on held-out images and write a recipe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.parts.flags import add_cell_flags, sweep_from, whole_number

if TYPE_CHECKING:
    from rich.console import Console

HELP = "search hyper-parameters on validation images; write a recipe"
EXAMPLES = {
    "tune lift --datasets glyphs100_lt": "writes a recipe",
    "tune --again": "renews the stale recipes",
}
_OF_THE_SEARCH = (
    "method", "datasets", "trials", "folds", "fields", "seeds", "write", "backbone", "precision",
    "set", "protocol", "plugin",
)  # fmt: skip
"""Arguments that `--again` takes from the recipe."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a method, data sets and the size of the search, or recipes to renew."""
    add = parser.add_argument
    add("method", metavar="METHOD", nargs="?", help="the method to tune, see `list`")
    add(
        "--datasets",
        metavar="D[,D2]",
        help="required: data sets to tune on; each gets its own recipe",
    )
    add("--trials", type=whole_number, metavar="N", help="number of trials (default 16)")
    add(
        "--folds",
        type=whole_number,
        metavar="K",
        help="score a trial on its training images in K folds, with K fits, so that every class "
        "with 2 or more images counts (default: on validation images)",
    )
    add("--fields", metavar="A,B", help="fields of the method's space to tune (default all)")
    add("--seeds", metavar="0,1", help="run seeds of each trial (default 0)")
    add(
        "--write",
        type=Path,
        metavar="FILE",
        help="recipe file (default configs/recipes/METHOD__DATASET__BACKBONE.yaml)",
    )
    add(
        "--again",
        type=Path,
        nargs="*",
        metavar="RECIPE",
        help="tune recipes again with their own settings, by default the stale ones of "
        "configs/recipes, and say whether the winner changed",
    )
    add_cell_flags(parser)


def execute(options: argparse.Namespace, console: Console) -> int:
    """Search on each data set, or renew recipes.

    Raises:
        UserError: no method, or a flag of a search beside recipes to renew.
    """
    from benchmarks.cli.parts.sweeps import refuse_unfit_places
    from benchmarks.cli.parts.tuning.renewal import renew
    from benchmarks.cli.parts.tuning.search import SearchOptions, tune
    from benchmarks.errors import UserError

    if options.again is not None:
        for name in _OF_THE_SEARCH:
            if getattr(options, name) is not None:
                flag = "METHOD" if name == "method" else f"--{name}"
                raise UserError(f"--again: each recipe says its own {flag}; leave {flag} out.")
        return renew(options.again, options, console)
    if options.method is None:
        raise UserError("tune needs a METHOD (see `list methods`), or --again.")
    sweep = sweep_from(options, methods=options.method, seeds=options.seeds or "0")
    refuse_unfit_places(sweep, debug=options.debug)
    search = SearchOptions(
        trials=SearchOptions.trials if options.trials is None else options.trials,
        fields=tuple(name for name in (options.fields or "").split(",") if name),
        folds=options.folds or 0,
        write=options.write,
    )
    return tune(sweep, search, console, debug=options.debug)
