#!/usr/bin/env python3
"""Benchmarks of long-tailed recognition with CLIP-like models: the command line.

python run_benchmarks.py                                      the embedded quick start
python run_benchmarks.py --methods lift,sage --datasets cifar100_lt
python run_benchmarks.py plan --methods lift --datasets cifar100_lt_ir50
python run_benchmarks.py list | show lift | report DIR
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

VERBS = ("run", "plan", "list", "show", "report", "download")


def main(arguments: list[str] | None = None) -> int:
    """Parse, do, and turn what a user can put right into one line and exit status 2."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] not in (*VERBS, "-h", "--help"):
        words = ["run", *words]
    options = _parser().parse_args(words)

    from rich.console import Console

    from benchmarks.errors import UserError

    console = Console(highlight=False)
    try:
        return _dispatch(options, console)
    except UserError as error:
        if getattr(options, "debug", False):
            raise
        Console(stderr=True, highlight=False).print(
            f"[red]error:[/red] {_plain(error)}", soft_wrap=True
        )
        return 2
    except BrokenPipeError:  # `… | head` closed the pipe: nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(options: argparse.Namespace, console: Any) -> int:
    from benchmarks import commands
    from benchmarks.settings import Sweep, read_sweep

    if options.verb in ("run", "plan"):
        names = Sweep.__dataclass_fields__
        flags = {name: value for name, value in vars(options).items() if name in names}
        sweep = read_sweep(options.config, flags)
        if options.verb == "plan":
            return commands.plan_only(sweep, console)
        return commands.run(sweep, console, allow_mixed=options.allow_mixed, debug=options.debug)
    if options.verb == "list":
        return commands.list_all(options.what, console)
    if options.verb == "show":
        return commands.show(options.name, console, options.data_root, options.plugin)
    if options.verb == "report":
        return commands.report(
            options.folders, console, options.out, allow_mixed=options.allow_mixed
        )
    return commands.download(options.names, console, options.data_root)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run_benchmarks.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    run = verbs.add_parser("run", help="run a sweep (the default verb)")
    plan = verbs.add_parser("plan", help="print the cells of a sweep and their state; run nothing")
    for verb in (run, plan):
        _sweep_flags(verb)
    run.add_argument(
        "--allow-mixed", action="store_true", help="put into one table what should not share one"
    )
    run.add_argument(
        "--debug", action="store_true", help="show tracebacks and stop at the first failure"
    )

    listing = verbs.add_parser("list", help="what there is")
    listing.add_argument("what", nargs="?", choices=("methods", "datasets", "backbones"))

    show = verbs.add_parser("show", help="the card of a method or data set")
    show.add_argument("name", metavar="METHOD|DATASET")
    show.add_argument("--data-root", type=Path, default=Path("data"), metavar="DIR")
    show.add_argument("--plugin", type=Path, action="append", default=[], metavar="FILE")

    report = verbs.add_parser("report", help="tables and plots from records")
    report.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    report.add_argument(
        "--out", type=Path, metavar="DIR", help="where to write (default reports/out)"
    )
    report.add_argument(
        "--allow-mixed", action="store_true", help="put into one table what should not share one"
    )

    download = verbs.add_parser("download", help="fetch data sets and weights")
    download.add_argument("names", nargs="+", metavar="NAME")
    download.add_argument("--data-root", type=Path, default=Path("data"), metavar="DIR")
    return parser


def _sweep_flags(verb: argparse.ArgumentParser) -> None:
    """The flags of a sweep; `benchmarks.settings` checks the values, as it does those of YAML."""
    add = verb.add_argument
    add("--methods", metavar="A,B", help="methods, see `list`")
    add("--datasets", metavar="D[,D2]", help="data sets; cifar100_lt_ir50 is ratio 50")
    add("--seeds", metavar="0,1,2", help="run seeds (default 0,1,2)")
    add("--split-seeds", metavar="0", help="seeds of the long-tailed draw (default 0)")
    add("--backbone", metavar="B", help="ARCH/WEIGHTS, glyph, hf-hub:NAME or local-dir:PATH")
    add("--config", type=Path, metavar="FILE", help="a sweep in YAML; flags go before it")
    add(
        "--set", action="append", metavar="NAME.FIELD=VALUE", help="a field of a method or data set"
    )
    add("--data-root", metavar="DIR", help="where data sets are (default data)")
    add("--out", metavar="DIR", help="where records go (default results/runs)")
    add("--protocol", metavar="paper|equal", help="each method's own recipe, or one budget for all")
    add("--select", metavar="last|val", help="which epoch is reported (default last)")
    add("--rerun", metavar="missing|failed|always", help="which cells to compute (default missing)")
    add(
        "--accept-stale",
        action="store_const",
        const=True,
        help="keep records of older method sources",
    )
    add("--groups", metavar="lift|oltr|lmpt|thirds", help="rule for many, medium and few")
    add("--shard", metavar="I/N", help="run the I-th of N parts of the sweep")
    add("--device", metavar="auto|cpu|cuda|mps")
    add("--precision", metavar="auto|fp32|bf16")
    add("--offline", action="store_const", const=True, help="never touch the network")
    add("--plugin", action="append", metavar="FILE", help="a file with methods of your own")


def _plain(error: Exception) -> str:
    """The error's line with rich's markup characters escaped."""
    from rich.markup import escape

    return escape(str(error))


if __name__ == "__main__":
    sys.exit(main())
