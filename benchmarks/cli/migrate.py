"""The verb `migrate`: records of earlier schemas rewritten as those of the present one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

HELP = "rewrite records of earlier versions of the suite"
EXAMPLES = {"migrate results/runs": "after an update"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a folder of records."""
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="folder that a run wrote to with --out"
    )


def execute(options: argparse.Namespace, console: Console) -> int:
    """Rewrite the records of earlier schemas; the exit status is 1 if some files are unreadable.

    Raises:
        UserError: a folder without records, or one that cannot be written to.
    """
    from benchmarks.cli.parts.messages import warn
    from benchmarks.errors import UserError, counted
    from results.migration import migrate
    from results.schema import SCHEMA_VERSION

    folder = options.folder / "records"
    if not folder.is_dir():
        raise UserError(f"No records under {options.folder}: name a folder that a run wrote to.")
    try:
        done = migrate(options.folder)
    except OSError as error:
        raise UserError(
            f"Cannot write to {options.folder}: {error.strerror or error}. Every record is as it "
            "was or rewritten; the same command goes on from there."
        ) from error
    for problem in done.problems:
        warn(console, f"Left as it is: {problem}")
    for schema, number in done.migrated.items():
        console.print(
            f"{counted(number, 'record')} of schema {schema} rewritten as schema {SCHEMA_VERSION}.",
            markup=False,
        )
    if done.copy is not None:
        console.print(f"The files as they were: {done.copy}/", markup=False, soft_wrap=True)
    else:
        console.print(
            f"{folder}: nothing to rewrite, {counted(done.present, 'record')} of schema "
            f"{SCHEMA_VERSION}, the present one.",
            markup=False,
            soft_wrap=True,
        )
    return 1 if done.problems else 0
