"""Several views of an image, whose logits a predictor may have averaged (test-time ensembling)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from benchmarks.backbones import Backbone
from benchmarks.errors import NotApplicable

MARGIN = 24 / 224
"""How much larger than the input an image is made before crops are taken (LIFT's code: 248).

Where the transform does not say it in pixels (see `transforms`).
"""


def enlarged_size(backbone: Backbone) -> int:
    """Side in pixels that an image is resized to: S + 24 S / 224 for a side of S, by default.

    Raises:
        NotApplicable: the backbone's evaluation transform neither resizes the shorter side nor
            both.
    """
    mode = backbone.preprocess["resize_mode"]
    if mode not in ("shortest", "squash"):
        raise NotApplicable(f"no five crops for a backbone that resizes by '{mode}'")
    side = backbone.image_size
    return side + int(backbone.preprocess.get("margin", round(MARGIN * side)))


def enlarged(backbone: Backbone, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) -> (h, w, 3) uint8, resized as for evaluation, but to `enlarged_size`."""
    side = enlarged_size(backbone)
    size = [side, side] if backbone.preprocess["resize_mode"] == "squash" else [side]
    # open_clip's own rule: what is not bilinear is bicubic.
    bilinear = backbone.preprocess["interpolation"] == "bilinear"
    how = InterpolationMode.BILINEAR if bilinear else InterpolationMode.BICUBIC
    return np.asarray(F.resize(Image.fromarray(image), size, how))


def five_crops(backbone: Backbone, images: Sequence[NDArray[np.uint8]]) -> Iterator[Tensor]:
    """The four corners and the centre of B enlarged images, as (B, 3, S, S) on the device.

    Args:
        backbone: whose side and normalisation.
        images: (h, w, 3) uint8 each, `enlarged`.
    """
    side = backbone.image_size
    for across, down in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5)):
        crops = []
        for image in images:
            top = round(down * (image.shape[0] - side))
            left = round(across * (image.shape[1] - side))
            crops.append(image[top : top + side, left : left + side])
        yield backbone.normalise(torch.from_numpy(np.stack(crops)).to(backbone.device))
