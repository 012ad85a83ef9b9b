"""The verb `export`: a saved model as a file for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.parts.saved_models import add_model_arguments

if TYPE_CHECKING:
    from rich.console import Console

HELP = "write a saved model for other programs: ONNX, or weights for open_clip"
EXAMPLES = {"export OUT --method lift --to lift.onnx": "for other programs"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a saved model, a file to write, and images to check it on."""
    add_model_arguments(parser)
    parser.add_argument(
        "--images",
        type=Path,
        nargs="+",
        metavar="IMAGES",
        help="images to compare the file with `predict` on (default: images of noise)",
    )
    parser.add_argument(
        "--to",
        type=Path,
        required=True,
        metavar="FILE",
        help="model.onnx; or model.safetensors in open_clip's layout, where the method changed the "
        "tower's own weights",
    )


def execute(options: argparse.Namespace, console: Console) -> int:
    """Write a model, and compare its logits with those of `predict`.

    Raises:
        UserError: no such model, a form that it does not have, or other logits.
    """
    from benchmarks.cli.parts.exported import exported
    from benchmarks.cli.parts.prediction import found_images
    from benchmarks.cli.parts.saved_models import find_model, fitting
    from benchmarks.errors import UserError
    from benchmarks.file_names import require_writable
    from benchmarks.processes import staying_here

    if options.to.suffix not in (".onnx", ".safetensors"):
        raise UserError(f"--to {options.to}: name a file that ends in .onnx or .safetensors.")
    if options.to.suffix == ".onnx":
        from benchmarks.run.onnx_files import require_packages

        require_packages()
    images = found_images(options.images) if options.images else None
    require_writable(options.to)
    with staying_here():
        model = find_model(options, console)
        with fitting(model):
            lines = exported(model, options.to, images, options)
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    return 0
