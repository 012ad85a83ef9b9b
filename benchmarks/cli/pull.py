"""The verb `pull`: fetch records of others from the Hugging Face hub."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

HELP = "fetch records of others from the Hugging Face hub"
EXAMPLES = {"pull USER/NAME --out results/theirs": "records of others"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a repository and a folder."""
    parser.add_argument("repository", metavar="USER/NAME", help="data set on the hub")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for them")
    parser.add_argument("--revision", default="main", help="commit, tag or branch (default main)")


def execute(options: argparse.Namespace, console: Console) -> int:
    """Fetch, check and keep the records; the exit status is 1 if some were refused.

    Raises:
        UserError: no such data set, no records in it, or a folder that cannot be written to.
    """
    from benchmarks.cli.parts.hub_records import pull
    from benchmarks.cli.parts.messages import warn
    from benchmarks.errors import counted

    found = pull(options.repository, options.revision, options.out)
    for problem in found.problems:
        warn(console, f"Refused: {problem}")
    more = f" ({found.bare} without predictions)" if found.bare else ""
    more += f", {found.present} there already" if found.present else ""
    console.print(
        f"{counted(found.taken, 'record')} taken{more}: {options.out}/records; "
        f"report {options.out} makes their tables.",
        soft_wrap=True,
    )
    return 1 if found.problems else 0
