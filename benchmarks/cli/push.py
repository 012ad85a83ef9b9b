"""The verb `push`: publish a folder of records as a data set on the Hugging Face hub."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

HELP = "publish a folder of records on the Hugging Face hub, with a card"
EXAMPLES = {"push results/runs --to USER/NAME": "share your records"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a folder of records and a repository."""
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="folder that a run wrote to with --out"
    )
    parser.add_argument(
        "--to",
        required=True,
        metavar="USER/NAME",
        help="data set on the hub, created if it does not exist",
    )
    parser.add_argument(
        "--public", action="store_true", help="create a public data set (default: private)"
    )
    parser.add_argument(
        "--without-predictions",
        action="store_true",
        help="records only, from which tables can be made, but no comparisons",
    )


def execute(options: argparse.Namespace, console: Console) -> int:
    """Send the records that are not there; the exit status is 1 if some files are unreadable.

    Raises:
        UserError: no records, no token, no network, or other records of these cells there.
    """
    from benchmarks.cli.parts.hub_records import push
    from benchmarks.cli.parts.messages import warn

    line, problems = push(
        options.folder,
        options.to,
        public=options.public,
        predictions=not options.without_predictions,
    )
    for problem in problems:
        warn(console, f"Not sent: {problem}")
    console.print(line, soft_wrap=True)
    return 1 if problems else 0
