"""The verb `check`: try on a tiny world what every method must do."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.parts.checked import LIMIT_S, Result, in_children
from benchmarks.cli.parts.flags import add_plugin
from benchmarks.errors import UserError
from benchmarks.processes import in_this_process, staying_here
from benchmarks.starting import warm_up

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from benchmarks.datasets.base import TaskKind

HELP = "check that a method does what every method must do"
EXAMPLES = {"check lift": "or your own: --plugin FILE"}

_STYLES = {"failed": "bold red", "exempt": "yellow", "not run": "yellow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take names of methods."""
    parser.add_argument(
        "names", nargs="*", metavar="METHOD", help="see `list` (default: those of --plugin)"
    )
    add_plugin(parser)
    parser.add_argument(
        "--timeout",
        type=float,
        default=LIMIT_S,
        metavar="SECONDS",
        help=f"longest time of a check (default {LIMIT_S:g})",
    )


def execute(options: argparse.Namespace, console: Console) -> int:
    """Check the methods named.

    Raises:
        UserError: as `check`, or a time that is none.
    """
    if not options.timeout > 0:
        raise UserError(f"--timeout {options.timeout:g}: must be a number of seconds above 0.")
    return check(
        options.names, options.plugin, console, debug=options.debug, limit_s=options.timeout
    )


def check(
    names: Sequence[str],
    plugins: Sequence[Path],
    console: Console,
    *,
    debug: bool,
    limit_s: float = LIMIT_S,
) -> int:
    """Check methods, print a table for each of their tasks, and return the exit status.

    Args:
        names: methods; empty takes those of the plug-in files.
        plugins: files to load first.
        console: where to print.
        debug: check in this process, and raise the first error that a check finds.
        limit_s: longest time of a check, in seconds.

    Raises:
        UserError: nothing to check, or an unknown name.
    """
    from collections import Counter

    from rich.markup import escape

    from methods.registry import METHODS, info_of

    here = debug or in_this_process()
    if not here:
        warm_up(fitting=True)
    with staying_here(here):
        found = [name for file in plugins for name in METHODS.load_file(file)]
        mine = [name for name in found if name in METHODS.entries()]
        subjects = list(dict.fromkeys(names or mine))
        if not subjects:
            raise UserError(
                "Nothing to check: name a method (see `list`) or a --plugin FILE with one."
            )
        for name in subjects:
            if name.endswith(".py"):
                raise UserError(f"'{name}' is a file: name it with --plugin {name}.")
        kinds = {name: info_of(name).tasks for name in subjects}  # refuses unknown names
        failed = 0
        for name in subjects:
            for kind in kinds[name]:
                with console.status(f"checking {escape(name)}, {kind}-label"):
                    if here:
                        results = _checked_here(name, kind, debug=debug)
                    else:
                        results = list(in_children(name, kind, plugins, limit_s))
                console.print(_table(f"{name}, {kind}-label", results))
                count = Counter(result.status for result in results)
                console.print(", ".join(f"{n} {status}" for status, n in count.items()) + ".\n")
                failed += sum(result.bad for result in results)
    return 1 if failed else 0


def _checked_here(name: str, kind: TaskKind, *, debug: bool) -> list[Result]:
    from benchmarks.conformance.checks import CHECKS
    from benchmarks.conformance.outcomes import run_checks

    return [Result.of(outcome) for outcome in run_checks(name, kind, CHECKS, debug=debug)]


def _table(title: str, results: Sequence[Result]) -> Table:
    """A row for each check: its demand and, if it failed, the reason and what to do."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False)
    for head in ("check", "outcome", ""):
        table.add_column(head, no_wrap=bool(head))
    for result in results:
        status = "FAILED" if result.status == "failed" else result.status
        style = _STYLES.get(result.status)
        lines = [result.line]
        lines += [f"rule: {result.demand}"] if result.demand else []
        lines += [f"hint: {result.hint}"] if result.hint else []
        table.add_row(result.check, status, escape("\n".join(lines)), style=style)
    return table
