"""The verb `completion`: scripts that complete command lines in bash, zsh and fish."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

HELP = "print a script that completes command lines in bash, zsh or fish"
EXAMPLES = {"completion bash": "TAB completes names"}
SCRIPTS = Path(__file__).parent / "parts" / "shells"
"""Scripts by shell; each calls `completion words …` with what is typed."""
SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a shell; or, from its script, the words of a command line."""
    parser.add_argument(
        "shell",
        metavar="|".join(SHELLS),
        help='eval "$(python run_benchmarks.py completion bash)" in ~/.bashrc, the same with zsh '
        "in ~/.zshrc; fish: pipe it to `source` in config.fish",
    )
    words = parser.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    words.required = False  # Python 3.11 would name it beside a shell that is missing


def execute(options: argparse.Namespace, console: Console) -> int:
    """Print the script, or a line for each text that can take the place of the last word.

    Raises:
        UserError: there is no script for the shell.
    """
    from benchmarks.errors import did_you_mean

    if options.shell == "words":
        from benchmarks.cli.parts.completions import completions

        sys.stdout.writelines(f"{found}\n" for found in completions(options.words))
        return 0
    if options.shell not in SHELLS:
        raise did_you_mean("shell", options.shell, SHELLS)
    (script,) = SCRIPTS.glob(f"{options.shell}.*")
    sys.stdout.write(script.read_text(encoding="utf-8"))
    return 0
