"""Five crops of an image, whose logits a predictor may average (test-time ensembling).

S is the side of the backbone's square input; `preprocess` are the settings of its evaluation
transform (see `benchmarks/backbone/transforms.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchmarks.errors import NotApplicable

MARGIN = 24 / 224
"""Enlargement before crops are taken, relative to the input's side (LIFT's code: 248 for 224).

A transform may specify it in pixels instead (`margin`).
"""


def enlarged_size(preprocess: Mapping[str, Any], side: int) -> int:
    """Side in pixels that an image is resized to: S + 24 S / 224 by default.

    Raises:
        NotApplicable: the evaluation transform resizes neither the shorter side nor both sides.
    """
    mode = preprocess["resize_mode"]
    if mode not in ("shortest", "squash"):
        raise NotApplicable(f"no five crops for a backbone that resizes by '{mode}'")
    return side + int(preprocess.get("margin", round(MARGIN * side)))


def enlarged(
    preprocess: Mapping[str, Any], side: int, image: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """(H, W, 3) -> (h, w, 3) uint8, resized as for evaluation, but to `enlarged_size`."""
    from torchvision.transforms import InterpolationMode  # deferred: takes seconds
    from torchvision.transforms import functional as F

    large = enlarged_size(preprocess, side)
    size = [large, large] if preprocess["resize_mode"] == "squash" else [large]
    # As in open_clip, every interpolation other than bilinear is bicubic.
    bilinear = preprocess["interpolation"] == "bilinear"
    mode = InterpolationMode.BILINEAR if bilinear else InterpolationMode.BICUBIC
    return np.asarray(F.resize(Image.fromarray(image), size, mode))


def five_crops(images: Sequence[NDArray[np.uint8]], side: int) -> Iterator[Tensor]:
    """The four corners and the centre of B `enlarged` images, (B, S, S, 3) uint8 each.

    Args:
        images: B images (h, w, 3).
        side: S.
    """
    for across, down in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5)):
        crops = []
        for image in images:
            top = round(down * (image.shape[0] - side))
            left = round(across * (image.shape[1] - side))
            crops.append(image[top : top + side, left : left + side])
        yield torch.from_numpy(np.stack(crops))
