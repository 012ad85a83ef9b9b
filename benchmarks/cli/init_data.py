"""The verb `init-data`: describe images in a YAML file, and report what was found."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

HELP = "describe your own images in a YAML file and report what was found"
EXAMPLES = {"init-data photos --write photos.yaml": "for your own images"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the place of the images."""
    parser.add_argument(
        "place",
        metavar="DIR|TABLE|SHARDS",
        help="folder of class folders, of tar shards or of a Hugging Face data set; table (.csv, "
        ".tsv, .parquet); or tar files such as 'a-{000..009}.tar'",
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE.yaml", help="file to write (default: print it)"
    )


def execute(options: argparse.Namespace, console: Console) -> int:
    """Read all images and print what was found; the exit status is 1 if a run would refuse some.

    Raises:
        UserError: a place that cannot be described, or a file that exists or cannot be written.
    """
    from benchmarks.cli.parts.data_description import described, yaml_of
    from benchmarks.cli.parts.data_findings import findings
    from benchmarks.datasets.registry import is_own
    from benchmarks.errors import UserError, counted
    from benchmarks.file_names import expanded, may_write
    from benchmarks.safe_files import write_text

    file: Path | None = options.write
    if file is not None:
        if not is_own(file.name):
            raise UserError(f"--write {file}: the name must end in .yaml or .yml.")
        if file.exists():
            raise UserError(f"--write {file}: the file exists; choose another name.")
        if not may_write(file):
            raise UserError(f"--write {file}: no file can be written there.")
    found = described(expanded(options.place, "init-data"))
    number = len(found.family.images.entries)
    console.print(f"Reading {counted(number, 'image')}.\n", soft_wrap=True)
    lines, usable = findings(found.family)
    for line in lines:
        console.print(line, soft_wrap=True)
    text = yaml_of(found, Path.cwd() if file is None else file.parent)
    if file is None:
        console.print(f"\n{text}", soft_wrap=True)
    else:
        write_text(file, text)
        console.print(f"\n{file}: run it with --datasets {file}", soft_wrap=True)
    return 0 if usable else 1
