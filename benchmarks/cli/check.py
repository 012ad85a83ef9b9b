"""The verb `check`: try on a tiny world what every method must do."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.parts.flags import add_plugin
from benchmarks.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from benchmarks.conformance.outcomes import Outcome

HELP = "check that a method does what every method must do"
EXAMPLES = {"check lift": "or your own: --plugin FILE"}

_STYLES = {"failed": "bold red", "exempt": "yellow", "not run": "yellow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take names of methods."""
    parser.add_argument(
        "names", nargs="*", metavar="METHOD", help="see `list` (default: those of --plugin)"
    )
    add_plugin(parser)


def execute(options: argparse.Namespace, console: Console) -> int:
    """Check the methods named."""
    return check(options.names, options.plugin, console, debug=options.debug)


def check(names: Sequence[str], plugins: Sequence[Path], console: Console, *, debug: bool) -> int:
    """Check methods, print a table for each of their tasks, and return the exit status.

    Args:
        names: methods; empty takes those of the plug-in files.
        plugins: files to load first.
        console: where to print.
        debug: raise the first error that a check finds.

    Raises:
        UserError: nothing to check, or an unknown name.
    """
    from collections import Counter

    from rich.text import Text

    from benchmarks.conformance.checks import CHECKS
    from benchmarks.conformance.outcomes import run_checks
    from methods.registry import METHODS, info_of

    found = [name for file in plugins for name in METHODS.load_file(file)]
    subjects = list(dict.fromkeys(names or (name for name in found if name in METHODS.entries())))
    if not subjects:
        raise UserError("Nothing to check: name a method (see `list`) or a --plugin FILE with one.")
    for name in subjects:  # every name is looked up before anything slow
        METHODS.get(name)
    failed = 0
    for name in subjects:
        for kind in info_of(name).tasks:
            with console.status(Text(f"checking {name}, {kind}-label")):
                outcomes = list(run_checks(name, kind, CHECKS, debug=debug))
            console.print(_table(f"{name}, {kind}-label", outcomes))
            count = Counter(outcome.status for outcome in outcomes)
            console.print(", ".join(f"{n} {status}" for status, n in count.items()) + ".\n")
            failed += sum(outcome.bad for outcome in outcomes)
    return 1 if failed else 0


def _table(title: str, outcomes: Sequence[Outcome]) -> Table:
    """One line for each check: what it demands, or why it did not simply pass."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    for head in ("check", "outcome", ""):
        table.add_column(head, no_wrap=bool(head))
    for outcome in outcomes:
        status = "FAILED" if outcome.status == "failed" else outcome.status
        text = outcome.line or outcome.check.demand
        style = _STYLES.get(outcome.status)
        table.add_row(outcome.check.name, status, Text(text), style=style)
    return table
