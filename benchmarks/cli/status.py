"""The verb `status`: what is done, running, failed and left in a folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

HELP = "tell what is done, running, failed and left in a folder"
EXAMPLES = {"status results/runs": "how far a sweep is"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the folder and the form of the answer."""
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path("results/runs"),
        metavar="DIR",
        help="folder that runs write to with --out (default results/runs)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def execute(options: argparse.Namespace, console: Console) -> int:
    """Print the state of a folder."""
    from benchmarks.cli.parts.status_text import print_status, status_json
    from benchmarks.run.folder_status import status_of

    status = status_of(options.folder)
    if options.json:
        console.print(status_json(options.folder, status), soft_wrap=True)
    else:
        print_status(options.folder, status, console)
    return 0
