"""Exports of a saved model, each compared with what `predict` computes."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.backbones import Backbone
from benchmarks.cli.parts.prediction import Images
from benchmarks.cli.parts.saved_models import backbone_of
from benchmarks.datasets.files.image_files import FileImages
from benchmarks.errors import UserError, counted
from benchmarks.run.model_files import SavedModel
from benchmarks.run.onnx_files import logits_on, onnx_logits, write_onnx
from benchmarks.run.tower_files import head_file, tower_logits, write_tower
from benchmarks.safe_files import scratch_folder

COMPARED = 32
"""Most images that are compared."""
NOISE = 8
"""Images of noise, if there are no others."""
TOLERANCE = 1e-3
"""Largest difference of logits, as a share of the largest logit, or of 1 if that is smaller.

Both sides compute in single precision and sum in another order. A sum of a thousand products is off
by some 1e-6 of its size, and a dozen blocks multiply that; weights that are wrong in one place
change logits by more than a hundredth of them.
"""


def exported(
    model: SavedModel, file: Path, images: Images | None, options: argparse.Namespace
) -> list[str]:
    """Write a model to a file, compare it, and return lines on it.

    The file appears, or replaces an earlier one, when it gives the right logits.

    Args:
        model: the model.
        file: with the suffix of its form, .onnx or .safetensors.
        images: images to compare on; None for noise.
        options: `backbone` and `offline` of the command line.

    Raises:
        UserError: the model has no such form, the file cannot be written, or it gives other logits.
    """
    onnx = file.suffix == ".onnx"
    if file.exists() and file.samefile(model.file):
        raise UserError(f"--to {file}: this is the saved model itself; name another file.")
    about = model.about
    backbone = backbone_of(model, options, device="cpu", precision="fp32")
    predictor = model.predictor(backbone)
    batch = _images(images, about.upright, backbone)
    with torch.no_grad():
        wanted = logits_on(predictor, batch, backbone.encode_images)
    try:
        with scratch_folder(file) as folder:
            made = folder / file.name
            if onnx:
                write_onnx(made, about, predictor, backbone)
                found = onnx_logits(made, batch)
            else:
                write_tower(made, about, predictor, backbone)
                found = tower_logits(made, backbone, batch)
            difference = float((found - wanted).abs().max())
            if not difference <= TOLERANCE * max(1.0, float(wanted.abs().max())):
                raise UserError(
                    f"{about.label} as {file.suffix} gives other logits than `predict` (by "
                    f"{difference:.2g}): {file} is not written."
                )
            os.replace(made, file)
            if not onnx:
                os.replace(head_file(made), head_file(file))
    except OSError as error:
        raise UserError(f"Cannot write {file}: {error.strerror or error}.") from error
    compared = counted(len(batch), "image") + (" of noise" if images is None else "")
    lines = [f"{about.label} on {about.dataset}, seed {about.seed}: {file}"]
    if not onnx:
        lines.append(f"Classifier: {head_file(file)}")
    lines.append(
        f"Logits differ from those of `predict` by at most {difference:.2g} on {compared}."
    )
    if about.views != "whole":
        lines.append("Of one view: `predict` takes the mean over five crops of an image.")
    if about.precision != "fp32":
        lines.append(f"In full precision: the run computed its images in {about.precision}.")
    return lines


def _images(images: Images | None, upright: bool, backbone: Backbone) -> Tensor:
    """(B, 3, S, S) normalised images."""
    side = backbone.image_size
    if images is None:
        drawn = np.random.default_rng(0).integers(0, 256, (NOISE, side, side, 3), dtype=np.uint8)
        return backbone.normalise(torch.from_numpy(drawn))
    files = FileImages(images.root, images.files[:COMPARED], upright)
    return backbone.normalise(backbone.read(files, range(len(files))))
