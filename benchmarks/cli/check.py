"""The verb `check`: a table of checks for each method and each task it serves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.conformance.checks import CHECKS
from benchmarks.conformance.running import Outcome, run_checks
from benchmarks.errors import UserError
from methods.registry import METHODS, info_of

_STYLES = {"failed": "bold red", "exempt": "yellow", "not run": "yellow"}


def check(names: Sequence[str], plugins: Sequence[Path], console: Console, *, debug: bool) -> int:
    """Check methods and print a table for each; the exit status.

    Args:
        names: methods; empty takes those of the plug-in files.
        plugins: files to load first.
        console: where to.
        debug: raise what the first failing check finds.

    Raises:
        UserError: nothing to check, or an unknown name.
    """
    found = [name for file in plugins for name in METHODS.load_file(file)]
    subjects = list(dict.fromkeys(names or (name for name in found if name in METHODS.entries())))
    if not subjects:
        raise UserError("Nothing to check: name a method (see `list`) or a --plugin FILE with one.")
    for name in subjects:  # every name is looked up before anything slow
        METHODS.get(name)
    failed = 0
    for name in subjects:
        for kind in info_of(name).tasks:
            with console.status(f"checking {escape(name)}, {kind}-label"):
                outcomes = list(run_checks(name, kind, CHECKS, debug=debug))
            console.print(_table(f"{name}, {kind}-label", outcomes))
            count = Counter(outcome.status for outcome in outcomes)
            console.print(", ".join(f"{n} {status}" for status, n in count.items()) + ".\n")
            failed += sum(outcome.bad for outcome in outcomes)
    return 1 if failed else 0


def _table(title: str, outcomes: Sequence[Outcome]) -> Table:
    """One line a check: what it demands, or why it did not simply pass."""
    table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False)
    for head in ("check", "outcome", ""):
        table.add_column(head, no_wrap=bool(head))
    for outcome in outcomes:
        status = "FAILED" if outcome.status == "failed" else outcome.status
        text = outcome.line or outcome.check.demand
        style = _STYLES.get(outcome.status)
        table.add_row(outcome.check.name, status, escape(text), style=style)
    return table
