"""Training augmentation, keyed by sample and epoch.

Kinds: `none` (the evaluation pixels), `flip` (half of the images are mirrored), `crop_flip` (a
random resized crop of 8–100 % of the area with aspect 3/4–4/3, then flip: torchvision's
RandomResizedCrop at its defaults, which LIFT trains with). Crops are taken from the whole image, at
whole pixels, and resized bilinearly with anti-aliasing, as torchvision does with PIL. PIL itself
resizes images that are read from files; small images held in memory are resized in batches on the
device, which differs from PIL only in its rounding to eight bits. Evaluation does not use this
module.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks import randomness
from benchmarks.errors import UserError

Augmentation = Literal["none", "flip", "crop_flip"]
KINDS = get_args(Augmentation)
SMALLEST_AREA = 0.08
WIDEST_ASPECT = 4 / 3
TRIES = 10
"""Crops that torchvision draws until one fits into the image; if none does, it takes the centre."""

Box = tuple[int, int, int, int]
"""Top, left, height and width of a part of an image, in pixels."""


def check(kind: str) -> None:
    """Raise UserError unless `kind` is one of `KINDS`."""
    if kind not in KINDS:
        raise UserError(f"Unknown augmentation '{kind}'. Known: {', '.join(KINDS)}.")


def mirrored(keys: randomness.UInt64, stream: tuple[Any, ...]) -> NDArray[np.bool_]:
    """(B,) mask of the images that `flip` and `crop_flip` mirror.

    Args:
        keys: (B,) sample keys.
        stream: everything else that the draw depends on, for example (seed, epoch).
    """
    return randomness.uniform(keys, "augment", "flip", *stream) < 0.5


def flipped(pixels: Tensor, which: Tensor) -> Tensor:
    """(B, 3, H, W) images, mirrored where `which` (B,) is true."""
    return torch.where(which.view(-1, 1, 1, 1), pixels.flip(-1), pixels)


@dataclass(frozen=True)
class Crops:
    """Random crops of B samples in one epoch, relative to the size of the images."""

    area: NDArray[np.float64]
    """(TRIES, B) share of the image's area."""
    aspect: NDArray[np.float64]
    """(TRIES, B) width over height."""
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    """(TRIES, B) position within the remaining space, in [0, 1)."""

    @classmethod
    def drawn(cls, keys: randomness.UInt64, stream: tuple[Any, ...]) -> Crops:
        """Draw crops; the arguments are those of `mirrored`."""

        def draw(what: str) -> NDArray[np.float64]:
            streams = (("augment", what, *stream, *([n] if n else [])) for n in range(TRIES))
            return np.stack([randomness.uniform(keys, *parts) for parts in streams])

        aspect = np.exp((2 * draw("aspect") - 1) * math.log(WIDEST_ASPECT))
        area = SMALLEST_AREA + (1 - SMALLEST_AREA) * draw("area")
        return cls(area, aspect, draw("x"), draw("y"))

    def box(self, i: int, height: int, width: int) -> Box:
        """The crop of sample `i`, whose image has this size."""
        for area, aspect, x, y in zip(
            self.area[:, i].tolist(),
            self.aspect[:, i].tolist(),
            self.x[:, i].tolist(),
            self.y[:, i].tolist(),
            strict=True,
        ):
            area *= height * width
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                return int(y * (height - h + 1)), int(x * (width - w + 1)), h, w
        w = min(width, round(height * WIDEST_ASPECT))
        h = min(height, round(width * WIDEST_ASPECT))
        return (height - h) // 2, (width - w) // 2, h, w

    def boxes(self, height: int, width: int) -> NDArray[np.int64]:
        """(B, 4) crops of all samples, whose images have the same size (see `Box`)."""
        every = range(self.area.shape[1])
        return np.array([self.box(i, height, width) for i in every], dtype=np.int64)


def resized_crops(pixels: Tensor, boxes: Tensor, mirror: Tensor, side: int) -> Tensor:
    """Crop, resize and optionally mirror B images in one operation on their device.

    The filter is PIL's bilinear one, which anti-aliases when it shrinks: a weighted sum over the
    rows and columns of a crop, computed as two batched matrix products.

    Args:
        pixels: (B, 3, H, W).
        boxes: (B, 4) crops (see `Box`).
        mirror: (B,) mask of the images to mirror.
        side: S, side of the result.

    Returns:
        (B, 3, S, S).
    """
    height, width = pixels.shape[-2:]
    top, left, h, w = (column[:, None] for column in boxes.to(pixels.dtype).unbind(1))
    rows = _weights(top, h, height, side)
    columns = _weights(left, w, width, side)
    columns = torch.where(mirror.view(-1, 1, 1), columns.flip(1), columns)
    with torch.autocast(pixels.device.type, enabled=False):
        across = pixels.flatten(1, 2) @ columns.mT  # (B, 3 * H, S)
        return torch.matmul(rows[:, None], across.unflatten(1, (3, height)))


def _weights(start: Tensor, length: Tensor, size: int, side: int) -> Tensor:
    """(B, S, size) weight of each pixel of a line in each of the S resized pixels; rows sum to one.

    Args:
        start: (B, 1) first pixel of the crop.
        length: (B, 1) pixels of the crop.
        size: pixels of the line.
        side: S.
    """
    scale = length / side
    steps = torch.arange(side, device=start.device, dtype=start.dtype)
    centre = (start + (steps + 0.5) * scale)[..., None]  # (B, S, 1)
    pixel = torch.arange(size, device=start.device, dtype=start.dtype) + 0.5
    weight = nn.functional.relu(1 - (pixel - centre).abs() / scale.clamp(min=1)[..., None])
    inside = (pixel > start) & (pixel < start + length)  # (B, size)
    weight = weight * inside[:, None]
    return weight / weight.sum(-1, keepdim=True)
