"""The verb `predict`: classify images with a model that a run saved."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.parts.flags import add_json
from benchmarks.cli.parts.saved_models import add_model_arguments

if TYPE_CHECKING:
    from rich.console import Console

HELP = "classify your own images with a saved model"
EXAMPLES = {"predict OUT photos --method lift": "with a saved model"}
FILE = Path("predictions.csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a saved model, images and a file to write."""
    add = parser.add_argument
    add_model_arguments(parser)
    add("images", type=Path, nargs="+", metavar="IMAGES", help="image files, or folders of them")
    add(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda", "mps"),
        help="auto uses a GPU if there is one",
    )
    add("--top", type=int, default=5, metavar="K", help="likeliest classes to write (default 5)")
    add(
        "--out",
        type=Path,
        metavar="FILE",
        help=f"CSV file to write (default {FILE}; with --json none)",
    )
    add_json(parser)


def execute(options: argparse.Namespace, console: Console) -> int:
    """Write the predictions for images; the status is 1 if some cannot be read.

    Raises:
        UserError: no such model, its weights are missing, or no images.
    """
    from benchmarks.cli.parts.json_answer import print_json
    from benchmarks.cli.parts.messages import warn
    from benchmarks.cli.parts.prediction import (
        answer,
        found_images,
        predicted,
        said,
        table_of,
        write_csv,
    )
    from benchmarks.cli.parts.saved_models import find_model, fitting
    from benchmarks.errors import UserError, counted
    from benchmarks.file_names import require_writable
    from benchmarks.processes import staying_here

    if options.top < 1:
        raise UserError(f"--top {options.top}: write 1 or more.")
    out = options.out if options.json else options.out or FILE
    images = found_images(options.images)
    if out is not None:
        require_writable(out)
    with staying_here():  # it has no labels to keep, and writes no record
        model = find_model(options, console)
        with fitting(model):
            found = predicted(model, images, options, console)
    if options.json:
        print_json(answer(found, options.top))
    if out is not None:
        write_csv(table_of(found, options.top), out)
        console.print(f"{said(found)}", markup=False, soft_wrap=True)
        console.print(f"{counted(len(found.files), 'image')}: {out}", markup=False, soft_wrap=True)
    for problem in found.left_out:
        warn(console, f"Left out: {problem}")
    return 1 if found.left_out else 0
