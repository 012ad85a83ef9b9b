"""The verb `download`: fetch data sets and weights ahead of a run."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from benchmarks.cli.parts.flags import add_data_root

if TYPE_CHECKING:
    from rich.console import Console

HELP = "download data sets and weights"
EXAMPLES = {"download cifar100_lt": "ahead of a run"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take names of data sets and backbones."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="data set or backbone, see `list`")
    add_data_root(parser)


def execute(options: argparse.Namespace, console: Console) -> int:
    """Fetch each of the names.

    Raises:
        UserError: an unknown name.
        DataMissing: a download that failed.
    """
    from benchmarks.datasets import registry as datasets
    from benchmarks.errors import UserError

    for name in options.names:
        try:
            family, fields = datasets.resolve(name)
        except UserError:
            if "/" not in name and ":" not in name and name != "glyph":
                raise
            from benchmarks import backbones

            line = backbones.download(name)
        else:
            line = family(**fields).download(options.data_root)
        console.print(line, markup=False, soft_wrap=True)
    return 0
