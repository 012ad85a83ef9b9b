"""Training augmentation, keyed by sample and epoch.

Kinds: `none` (the evaluation pixels), `flip` (half of the images mirrored), `crop_flip` (random
resized crop of 8–100 % of the area, aspect 3/4–4/3, then flip: torchvision's defaults, which LIFT
trains with). Small images that are held in memory are cropped in batches on the device, from their
evaluation pixels, bilinear and without anti-aliasing, as a batched operation has to be. Images in
files, and all where the evaluation transform cuts borders off, are cropped one by one from the
whole image, as torchvision does it. Evaluation pixels never come from here.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from benchmarks import randomness
from benchmarks.errors import UserError

Augmentation = Literal["none", "flip", "crop_flip"]
KINDS = get_args(Augmentation)
SMALLEST_AREA = 0.08
WIDEST_ASPECT = 4 / 3
TRIES = 10
"""Crops that torchvision draws until one fits into the image; after them it takes the middle."""


def augmented(
    pixels: Tensor, kind: str, keys: randomness.UInt64, stream: tuple[Any, ...]
) -> Tensor:
    """Augment a batch.

    Args:
        pixels: (B, 3, H, W), normalised.
        kind: one of `KINDS`.
        keys: (B,) sample keys.
        stream: what else the draw depends on, for example (seed, epoch).

    Returns:
        (B, 3, H, W).
    """
    if kind not in KINDS:
        raise UserError(f"Unknown augmentation '{kind}'. Known: {', '.join(KINDS)}.")
    if kind == "none":
        return pixels

    def draw(what: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return randomness.uniform(keys, "augment", what, *stream)

    sign = np.where(draw("flip") < 0.5, -1.0, 1.0)
    if kind == "flip":
        mirrored = torch.from_numpy(sign < 0).to(pixels.device).view(-1, 1, 1, 1)
        return torch.where(mirrored, pixels.flip(-1), pixels)
    area = SMALLEST_AREA + (1 - SMALLEST_AREA) * draw("area")
    aspect = np.exp((2 * draw("aspect") - 1) * math.log(WIDEST_ASPECT))
    width = np.minimum(np.sqrt(area * aspect), 1.0)  # as shares of the image's sides
    height = np.minimum(np.sqrt(area / aspect), 1.0)
    x = (1 - width) * (2 * draw("x") - 1)  # centres in [-1, 1]
    y = (1 - height) * (2 * draw("y") - 1)
    zero = np.zeros_like(x)
    theta = np.stack([sign * width, zero, x, zero, height, y], axis=1).reshape(-1, 2, 3)
    grid = nn.functional.affine_grid(
        torch.from_numpy(theta).float().to(pixels), list(pixels.shape), align_corners=False
    )
    return nn.functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


def random_crop(
    image: NDArray[np.uint8], size: int, key: np.uint64, stream: tuple[Any, ...]
) -> NDArray[np.uint8]:
    """A random part of an image, resized, and mirrored or not: `crop_flip` for one whole image.

    The distribution and the bilinear resampling are those of torchvision's RandomResizedCrop.

    Args:
        image: (H, W, 3).
        size: side S of the result in pixels.
        key: the sample's key.
        stream: what else the draw depends on, for example (seed, epoch).

    Returns:
        (S, S, 3).
    """
    keys = np.array([key], dtype=np.uint64)

    def draw(what: str, number: int = 0) -> float:
        extra = (number,) if number else ()  # the first try draws what a batch on the device draws
        return float(randomness.uniform(keys, "augment", what, *stream, *extra)[0])

    whole_height, whole_width = image.shape[:2]
    for number in range(TRIES):
        area = SMALLEST_AREA + (1 - SMALLEST_AREA) * draw("area", number)
        area *= whole_height * whole_width
        aspect = math.exp((2 * draw("aspect", number) - 1) * math.log(WIDEST_ASPECT))
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < width <= whole_width and 0 < height <= whole_height:
            left = int(draw("x", number) * (whole_width - width + 1))
            top = int(draw("y", number) * (whole_height - height + 1))
            break
    else:
        width = min(whole_width, round(whole_height * WIDEST_ASPECT))
        height = min(whole_height, round(whole_width * WIDEST_ASPECT))
        left, top = (whole_width - width) // 2, (whole_height - height) // 2
    crop = Image.fromarray(image[top : top + height, left : left + width])
    pixels: NDArray[np.uint8] = np.asarray(crop.resize((size, size), Image.Resampling.BILINEAR))
    return pixels[:, ::-1] if draw("flip") < 0.5 else pixels
