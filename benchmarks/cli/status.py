"""The verb `status`: what is done, running, failed and left in a folder."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from benchmarks.cli.parts.flags import add_json, add_run_folder

if TYPE_CHECKING:
    from rich.console import Console

HELP = "tell what is done, running, failed and left in a folder"
EXAMPLES = {"status results/runs": "how far a sweep is"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the folder and the form of the answer."""
    add_run_folder(parser)
    add_json(parser)


def execute(options: argparse.Namespace, console: Console) -> int:
    """Print the state of a folder."""
    from benchmarks.cli.parts.json_answer import print_json
    from benchmarks.cli.parts.status_text import print_status, status_answer
    from benchmarks.run.folder_status import status_of

    status = status_of(options.folder)
    if options.json:
        print_json(status_answer(options.folder, status))
    else:
        print_status(options.folder, status, console)
    return 0
