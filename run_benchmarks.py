#!/usr/bin/env python3
"""Benchmarks of long-tailed recognition with CLIP-like models: the command line.

python run_benchmarks.py                                      the embedded quick start
python run_benchmarks.py --methods lift,sage --datasets cifar100_lt
python run_benchmarks.py plan --methods lift --datasets cifar100_lt_ir50
python run_benchmarks.py list | show lift | check lift | report DIR
python run_benchmarks.py tune lift --datasets glyphs100_lt     on validation images; writes a recipe
python run_benchmarks.py compare DIR --a sage --b lift         paired differences with intervals
python run_benchmarks.py calibrate --data-root DIR            zero-shot values against known ones
python run_benchmarks.py predict RECORD --images DIR           with the model that --save-model kept
python run_benchmarks.py download cifar100_lt ViT-B-16-quickgelu/openai
python run_benchmarks.py run --help                           every flag
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.errors import UserError, did_you_mean

VERBS = (
    "run", "plan", "list", "show", "report", "compare", "check", "calibrate", "tune", "predict",
    "download",
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Parse, do, and turn what a user can put right into one line and exit status 2."""
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    try:
        options = _parse(words)
        return _dispatch(options, _console())
    except UserError as error:
        if debug:
            raise
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return _fail("interrupted.", 130)
    except BrokenPipeError:
        _nobody_listens()
        return 0
    except Exception as error:
        if debug:
            raise
        line = f"{type(error).__name__}: {error}"
        return _fail(f"unexpected {line} (--debug shows where; please report it).", 1)


def _console() -> Any:
    from rich.console import Console

    class Tolerant(Console):
        def on_broken_pipe(self) -> None:  # rich would end the program, a sweep in its middle too
            self.quiet = True
            _nobody_listens()

    return Tolerant(highlight=False, emoji=False)


def _nobody_listens() -> None:
    """`… | head` closed the pipe: nothing is wrong, but what is printed now goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(text: str, status: int) -> int:
    """Say in one line what went wrong."""
    from rich.console import Console
    from rich.markup import escape

    line = " ".join(text.splitlines())
    console = Console(stderr=True, highlight=False, emoji=False)
    console.print(f"[red]error:[/red] {escape(line)}", soft_wrap=True)
    return status


def _parse(words: list[str]) -> argparse.Namespace:
    """The arguments of a verb, which is `run` where none is named.

    Raises:
        UserError: arguments that no verb has.
    """
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words = ["run", *words]
    elif words[0] not in (*VERBS, "-h", "--help"):
        raise UserError(
            f"Unknown verb '{words[0]}'. Known: {', '.join(VERBS)}; methods go behind --methods."
        )
    parser, verbs = _parser()
    options, unknown = parser.parse_known_args(words)
    if unknown and not unknown[0].startswith("-"):
        raise UserError(
            f"What is '{unknown[0]}'? Lists go behind their flag, with commas and no spaces."
        )
    if unknown:
        flags = verbs[words[0]]._option_string_actions
        raise did_you_mean(f"argument of {words[0]}", unknown[0], flags)
    return options


def _dispatch(options: argparse.Namespace, console: Any) -> int:
    from benchmarks.cli import commands, reading
    from benchmarks.sweep.settings import QUICK_START, Sweep, read_sweep

    if options.verb in ("run", "plan"):
        names = Sweep.__dataclass_fields__
        flags = {name: value for name, value in vars(options).items() if name in names}
        file = options.config
        if file is None and options.methods is None and options.datasets is None:
            file = QUICK_START
            console.print("Quick start: the embedded world, nothing is downloaded (see --help).")
        sweep = read_sweep(file, flags)
        if options.verb == "plan":
            return commands.plan_only(sweep, console)
        return commands.run(sweep, console, allow_mixed=options.allow_mixed, debug=options.debug)
    if options.verb == "list":
        return commands.list_all(options.what, console)
    if options.verb == "show":
        return commands.show(options.name, console, options.data_root, options.plugin)
    if options.verb == "report":
        choice = reading.Choice(options.config, options.methods, options.datasets)
        return reading.report(
            options.folders, console, options.out, options.plugin, choice,
            allow_mixed=options.allow_mixed,
        )  # fmt: skip
    if options.verb == "compare":
        wanted = {name: getattr(options, name) for name in reading.Request.__dataclass_fields__}
        return reading.compare(options.folders, console, reading.Request(**wanted), options.plugin)
    if options.verb == "check":
        from benchmarks.cli.check import check

        return check(options.names, options.plugin, console, debug=options.debug)
    if options.verb == "calibrate":
        from benchmarks.cli.calibrate import calibrate

        flags = {n: getattr(options, n, None) for n in Sweep.__dataclass_fields__}
        return calibrate(read_sweep(None, flags), console)
    if options.verb == "tune":
        from benchmarks.cli.tune import Request, tune

        flags = {name: getattr(options, name, None) for name in Sweep.__dataclass_fields__}
        sweep = read_sweep(None, {**flags, "methods": options.method})
        fields = tuple(name for name in (options.fields or "").split(",") if name)
        request = Request(options.trials, fields, options.write)
        return tune(sweep, request, console, debug=options.debug)
    if options.verb == "predict":
        from benchmarks.cli.predict import predict

        flags = {n: getattr(options, n) for n in ("data_root", "device", "offline", "plugin")}
        return predict(options.record, options.images, options.out, console, flags)
    return commands.download(options.names, console, options.data_root)


class _Parser(argparse.ArgumentParser):
    """Takes flags by their full names only, and complains in one line as the rest does."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False} | options)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = _Parser(
        prog="run_benchmarks.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    run = verbs.add_parser("run", help="run a sweep (the default verb)")
    plan = verbs.add_parser("plan", help="print the cells of a sweep and their state; run nothing")
    for verb in (run, plan):
        _sweep_flags(verb)

    listing = verbs.add_parser("list", help="what there is")
    listing.add_argument(
        "what", nargs="?", choices=("methods", "datasets", "backbones"), help="of these alone"
    )

    show = verbs.add_parser("show", help="the card of a method or data set")
    show.add_argument("name", metavar="METHOD|DATASET", help="a name of `list`, or NAME_irR")
    _data_root(show)

    report = verbs.add_parser("report", help="tables and plots from records")
    report.add_argument("folders", nargs="+", type=Path, metavar="DIR", help=_FOLDERS)
    report.add_argument(
        "--out", type=Path, metavar="DIR", help="where to write (default reports/out)"
    )

    report.add_argument("--config", type=Path, metavar="FILE", help=_CONFIG)
    report.add_argument("--methods", metavar="A,B", help="rows of these methods (default all)")
    report.add_argument("--datasets", metavar="D[,D2]", help=_AS_TABLES)

    compare = verbs.add_parser("compare", help="paired differences between variants, from records")
    compare.add_argument("folders", nargs="+", type=Path, metavar="DIR", help=_FOLDERS)
    compare.add_argument(
        "--a", metavar="VARIANT", help="as the tables label it, or a method's name"
    )
    compare.add_argument("--b", metavar="VARIANT[,V2]", help="what A is compared with")
    compare.add_argument(
        "--against", metavar="VARIANT[,V2]", help="compare every other row with it, in place of --a"
    )
    compare.add_argument("--datasets", metavar="D[,D2]", help=_AS_TABLES)
    compare.add_argument("--config", type=Path, metavar="FILE", help=_CONFIG)
    compare.add_argument("--out", type=Path, metavar="FILE", help="also write this .md or .csv")

    check = verbs.add_parser("check", help="what every method must do, tried on a tiny world")
    check.add_argument(
        "names", nargs="*", metavar="METHOD", help="see `list` (default those of --plugin)"
    )

    calibrate = verbs.add_parser("calibrate", help="zero-shot values against their known ones")
    _machine_flags(calibrate)

    tune = verbs.add_parser("tune", help="random search on validation images; writes a recipe")
    tune.add_argument("method", metavar="METHOD", help="what to tune, see `list`")
    tune.add_argument(
        "--datasets", metavar="D[,D2]", help="required: data sets to tune on, a recipe for each"
    )
    tune.add_argument("--trials", type=int, default=16, metavar="N", help="default 16")
    tune.add_argument("--fields", metavar="A,B", help="of the method's space (default all)")
    tune.add_argument("--seeds", default="0", metavar="0,1", help="run seeds (default 0)")
    tune.add_argument(
        "--write", type=Path, metavar="FILE",
        help="where the recipe goes (default configs/recipes/METHOD__DATASET__BACKBONE.yaml)",
    )  # fmt: skip
    _cell_flags(tune)

    download = verbs.add_parser("download", help="fetch data sets and weights")
    download.add_argument("names", nargs="+", metavar="NAME", help="data set or backbone")
    _data_root(download)

    predict = verbs.add_parser("predict", help="a saved model's classes for images of your own")
    predict.add_argument(
        "record", type=Path, metavar="RECORD", help="OUT/records/KEY.json of a --save-model run"
    )
    predict.add_argument("--images", type=Path, required=True, metavar="DIR", help="the images")
    predict.add_argument(
        "--out", type=Path, default=Path("predictions.csv"), metavar="FILE",
        help="where to write (default predictions.csv)",
    )  # fmt: skip
    predict.add_argument(
        "--data-root", type=Path, metavar="DIR", help="where data sets are (default as in the run)"
    )
    predict.add_argument(
        "--device", default="auto", choices=("auto", "cpu", "cuda", "mps"),
        help="auto takes a GPU where there is one",
    )  # fmt: skip
    predict.add_argument("--offline", action="store_true", help="never touch the network")

    for verb in (show, report, compare, check, predict):
        verb.add_argument(
            "--plugin", type=Path, action="append", default=[], metavar="FILE", help=_PLUGIN
        )
    for verb in (run, plan, report):
        verb.add_argument(
            "--allow-mixed", action="store_true", help="one table for what should not share one"
        )
    for verb in verbs.choices.values():
        verb.add_argument(
            "--debug", action="store_true", help="show tracebacks and stop at the first failure"
        )
    return parser, dict(verbs.choices)


_FOLDERS = "folders of records, such as results/runs"
_CONFIG = "only the cells of this sweep"
_AS_TABLES = "as the tables call them (default all)"
_PLUGIN = "a file with methods of your own; may be given several times"

_TRANSFORM = "evaluation transform: the checkpoint's own (default), or that of a paper's code"


def _data_root(verb: argparse.ArgumentParser) -> None:
    """The folder of the data, for verbs that run nothing."""
    verb.add_argument(
        "--data-root",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="where data sets are (default data)",
    )


def _machine_flags(verb: argparse.ArgumentParser) -> None:
    """On what backbone, data and device."""
    add = verb.add_argument
    add("--backbone", metavar="B", help="ARCH/WEIGHTS, glyph, hf-hub:NAME or local-dir:PATH")
    add("--data-root", metavar="DIR", help="where data sets are (default data)")
    add("--device", metavar="auto|cpu|cuda|mps", help="auto takes a GPU where there is one")
    add("--precision", metavar="auto|fp32|bf16", help="auto is bf16 on a GPU that has it")
    add("--offline", action="store_const", const=True, help="never touch the network")


def _cell_flags(verb: argparse.ArgumentParser) -> None:
    """The flags that every verb has that runs cells."""
    add = verb.add_argument
    _machine_flags(verb)
    add(
        "--set",
        action="append",
        metavar="NAME.FIELD=VALUE",
        help="a field of a method or data set; may be given several times",
    )
    add("--out", metavar="DIR", help="where records go (default results/runs)")
    add("--protocol", metavar="paper|equal", help="each method's own recipe, or one budget for all")
    add("--plugin", action="append", metavar="FILE", help=_PLUGIN)


def _sweep_flags(verb: argparse.ArgumentParser) -> None:
    """The flags of a sweep; `sweep.settings` checks the values, as it does those of YAML."""
    add = verb.add_argument
    add("--methods", metavar="A,B", help="methods, see `list`")
    add("--datasets", metavar="D[,D2]", help="data sets; cifar100_lt_ir50 is ratio 50")
    _cell_flags(verb)
    add("--seeds", metavar="0,1,2", help="run seeds (default 0,1,2)")
    add("--split-seeds", metavar="0", help="seeds of the long-tailed draw (default 0)")
    add("--config", type=Path, metavar="FILE", help="a sweep in YAML; flags override it")
    add(
        "--recipe",
        dest="recipes",
        action="append",
        metavar="FILE",
        help="tuned hyper-parameters of a method on a data set (configs/recipes); may be given "
        "several times, and --set wins over it",
    )
    add("--select", metavar="last|val", help="which epoch is reported (default last)")
    add("--transform", metavar="checkpoint|lift|lmpt", help=_TRANSFORM)
    add("--remark", metavar="TEXT", help="a caveat for the tables' captions")
    add("--rerun", metavar="missing|failed|always", help="which cells to compute (default missing)")
    add(
        "--accept-stale",
        action="store_const",
        const=True,
        help="keep records of older method sources",
    )
    add("--groups", metavar="lift|oltr|lmpt|thirds", help="rule for many, medium and few")
    add("--group-counts", metavar="own|ir100", help="counts that decide the groups of CIFAR-LT")
    add("--save-logits", action="store_const", const=True, help="keep all logits, not the top 5")
    add(
        "--save-model",
        action="store_const",
        const=True,
        help="keep each cell's trained part, for predict",
    )
    add(
        "--no-deterministic",
        action="store_const",
        const=True,
        help="fastest algorithms, also those that need not repeat their numbers",
    )
    add(
        "--check-data",
        action="store_const",
        const=True,
        help="read every image first and list all that are damaged or stand in train and test",
    )
    add("--shard", metavar="I/N", help="run the I-th of N parts of the sweep")


if __name__ == "__main__":
    sys.exit(main())
