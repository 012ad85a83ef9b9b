"""The verb `new-method`: write a method that works, and its test, to start from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

HELP = "write a working method to start from, and its test"
EXAMPLES = {"new-method my_idea --outside DIR": "40 lines to change"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the name and the kind of the method."""
    add = parser.add_argument
    add("name", metavar="NAME", help="name to register: small letters, digits and _")
    add(
        "--needs",
        choices=("features", "images"),
        default="features",
        help="features: a head on frozen features, trained in seconds; images: adapters inside the "
        "image tower (default features)",
    )
    add(
        "--outside",
        type=Path,
        metavar="DIR",
        help="folder for both files, which then are a plug-in (default: methods/ and "
        "tests/methods/ of the suite)",
    )


def execute(options: argparse.Namespace, console: Console) -> int:
    """Write the two files, and print their paths and what to type next.

    Raises:
        UserError: the name cannot be used, or a file of that name exists.
    """
    from shlex import quote

    from benchmarks.cli.parts.scaffold import write_method

    files = write_method(options.name, options.needs, options.outside)
    for file in files:
        console.print(str(file), markup=False, soft_wrap=True)
    of = options.name if options.outside is None else f"--plugin {quote(str(files[0]))}"
    console.print(f"Next: python run_benchmarks.py check {of}", markup=False, soft_wrap=True)
    return 0
