#!/usr/bin/env python3
"""The command line. Verbs are the files of benchmarks/cli/; `--help` lists them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from benchmarks.cli.parts.verbs import parse
from benchmarks.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console


def main(arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit status; an error is one line unless --debug."""
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    try:
        verb, options = parse(words)
        return verb.execute(options, _console())
    except UserError as error:
        if debug:
            raise
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return _fail("interrupted.", 130)
    except BrokenPipeError:
        _discard_output()
        return 0
    except Exception as error:
        if debug:
            raise
        if isinstance(error, ModuleNotFoundError) and (package := _not_ours(error)):
            return _fail(
                f"the Python package '{package}' is not installed for {sys.executable}: run "
                "`make demo`, which installs everything, or `pip install -e .` with that Python.",
                2,
            )
        line = f"{type(error).__name__}: {error}"
        return _fail(f"unexpected {line} (--debug shows where; please report it).", 1)


def _not_ours(error: ModuleNotFoundError) -> str:
    """Name of the missing package, or nothing if it is a module of this project."""
    package = (error.name or "").partition(".")[0]
    return "" if package in ("benchmarks", "methods", "reports", "results") else package


def _console() -> Console:
    from rich.console import Console

    class Tolerant(Console):
        def on_broken_pipe(self) -> None:  # rich would end the program, even in mid-sweep
            self.quiet = True
            _discard_output()

    return Tolerant(highlight=False, emoji=False)


def _discard_output() -> None:
    """Send further output nowhere: `… | head` closed the pipe, which is no error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(text: str, status: int) -> int:
    """Print an error as one line and return the exit status."""
    line = " ".join(text.splitlines())
    try:
        from rich.console import Console
        from rich.markup import escape
    except ModuleNotFoundError:  # the error may be that nothing is installed
        print(f"error: {line}", file=sys.stderr)
        return status
    console = Console(stderr=True, highlight=False, emoji=False)
    console.print(f"[red]error:[/red] {escape(line)}", soft_wrap=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
