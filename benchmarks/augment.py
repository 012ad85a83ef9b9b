"""Training augmentation, keyed by sample and epoch.

Kinds: `none` (the evaluation pixels), `flip` (half of the images are mirrored), `crop_flip` (a
random resized crop of 8–100 % of the area with aspect 3/4–4/3, then flip: torchvision's
RandomResizedCrop at its defaults, which LIFT trains with), and the square crops of LIFT+ (Shi et
al. 2025, arXiv 2504.13282): a square of s–100 % of the area at a random place, not mirrored. `s` is
8 % throughout (`square_crop`), or it grows from 8 % in the first epoch to 100 % in the last one
along a straight line, a convex or a concave quarter of a circle (`square_crop_linear`, `_convex`,
`_concave`; LIFT+ is convex). So the crops approach the evaluation pixels while training ends.

Crops are taken from the whole image, at whole pixels, and resized with anti-aliasing, as
torchvision does with PIL: bilinearly for `crop_flip`, bicubically for squares. PIL itself resizes
images that are read from files; small images held in memory are resized in batches on the device,
which differs from PIL only in its rounding to eight bits. Evaluation does not use this module.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks import randomness
from benchmarks.errors import UserError

Augmentation = Literal[
    "none", "flip", "crop_flip",
    "square_crop", "square_crop_linear", "square_crop_convex", "square_crop_concave",
]  # fmt: skip
KINDS = get_args(Augmentation)
SMALLEST_AREA = 0.08
WIDEST_ASPECT = 4 / 3
TRIES = 10
"""Crops that torchvision draws until one fits into the image; if none does, it takes the centre."""

Box = tuple[int, int, int, int]
"""Top, left, height and width of a part of an image, in pixels."""


@dataclass(frozen=True)
class Squares:
    """The augmentation `square_crop` and its kin in one epoch."""

    least: float = SMALLEST_AREA
    """Smallest share of the image's area that is cropped."""


InEpoch = str | Squares
"""An augmentation as it is in one epoch: what changes over the epochs is a number by then."""


def check(kind: str) -> None:
    """Raise UserError unless `kind` is one of `KINDS`."""
    if kind not in KINDS:
        raise UserError(f"Unknown augmentation '{kind}'. Known: {', '.join(KINDS)}.")


def in_epoch(kind: str, epoch: int, epochs: int) -> InEpoch:
    """Return an augmentation as it is in an epoch.

    Args:
        kind: one of `KINDS`.
        epoch: the epoch, from 0.
        epochs: all epochs of the training. If there is only one, it is the first one, with the
            smallest crops.

    Raises:
        UserError: the kind is unknown.
    """
    check(kind)
    name, _, curve = kind.partition("square_crop")
    if name == kind:
        return kind
    t = epoch / max(epochs - 1, 1)
    grown = {
        "": 0.0,
        "_linear": t,
        "_convex": 1 - math.sqrt(1 - t**2),
        "_concave": math.sqrt(1 - (1 - t) ** 2),
    }[curve]
    return Squares(SMALLEST_AREA + (1 - SMALLEST_AREA) * grown)


def crops(
    augment: InEpoch, keys: randomness.UInt64, stream: tuple[Any, ...]
) -> Crops | SquareCrops | None:
    """The random crops of an augmentation; None if it crops nothing.

    Args:
        augment: the augmentation.
        keys: (B,) sample keys.
        stream: everything else that the draw depends on, for example (seed, epoch).
    """
    if isinstance(augment, Squares):
        return SquareCrops.drawn(keys, stream, augment.least)
    return Crops.drawn(keys, stream) if augment == "crop_flip" else None


def takes_crops(kind: str) -> bool:
    """True if an augmentation of this name crops images at random."""
    return "crop" in kind and kind in KINDS


def mirrors(augment: InEpoch) -> bool:
    """True if an augmentation mirrors some images."""
    return augment in ("flip", "crop_flip")


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

    bicubic: ClassVar[bool] = False

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


@dataclass(frozen=True)
class SquareCrops:
    """Random squares of B samples in one epoch, as in LIFT+'s code.

    The largest square of an image is all that it can hold: a range of areas beyond it shrinks to
    it.
    """

    area: NDArray[np.float64]
    """(B,) position within the range of areas, in [0, 1)."""
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    """(B,) position within the remaining space, in [0, 1)."""
    least: float
    """Smallest share of the image's area."""

    bicubic: ClassVar[bool] = True

    @classmethod
    def drawn(cls, keys: randomness.UInt64, stream: tuple[Any, ...], least: float) -> SquareCrops:
        """Draw squares; the first two arguments are those of `mirrored`."""
        area, x, y = (
            randomness.uniform(keys, "augment", "square", what, *stream)
            for what in ("area", "x", "y")
        )
        return cls(area, x, y, least)

    def box(self, i: int, height: int, width: int) -> Box:
        """The square of sample `i`, whose image has this size."""
        largest = min(height, width) ** 2
        smallest = min(self.least * height * width, largest)
        side = round(math.sqrt(smallest + (largest - smallest) * float(self.area[i])))
        side = max(side, 1)
        top, left = int(self.y[i] * (height - side + 1)), int(self.x[i] * (width - side + 1))
        return top, left, side, side

    def boxes(self, height: int, width: int) -> NDArray[np.int64]:
        """(B, 4) squares of all samples, whose images have the same size (see `Box`)."""
        every = range(len(self.area))
        return np.array([self.box(i, height, width) for i in every], dtype=np.int64)


def resized_crops(
    pixels: Tensor, boxes: Tensor, mirror: Tensor, side: int, *, limits: Tensor | None = None
) -> Tensor:
    """Crop, resize and optionally mirror B images in one operation on their device.

    The filter is one of PIL's, which anti-alias when they shrink: a weighted sum over the rows and
    columns of a crop, computed as two batched matrix products.

    Args:
        pixels: (B, 3, H, W).
        boxes: (B, 4) crops (see `Box`).
        mirror: (B,) mask of the images to mirror.
        side: S, side of the result.
        limits: (2, 3, 1, 1) smallest and largest value of each channel, for the bicubic filter:
            its sums go beyond them and are cut off, first those of the columns, as PIL does for
            squares. None for the bilinear filter.

    Returns:
        (B, 3, S, S).
    """
    height, width = pixels.shape[-2:]
    top, left, h, w = (column[:, None] for column in boxes.to(pixels.dtype).unbind(1))
    kernel = _triangle if limits is None else _cubic
    rows = _weights(top, h, height, side, kernel)
    columns = _weights(left, w, width, side, kernel)
    columns = torch.where(mirror.view(-1, 1, 1), columns.flip(1), columns)
    with torch.autocast(pixels.device.type, enabled=False):
        across = (pixels.flatten(1, 2) @ columns.mT).unflatten(1, (3, height))  # (B, 3, H, S)
        if limits is not None:
            across = across.clamp(*limits)
        found = torch.matmul(rows[:, None], across)
        return found if limits is None else found.clamp(*limits)


def _triangle(distance: Tensor) -> Tensor:
    """The bilinear filter, of the distance from its centre."""
    return nn.functional.relu(1 - distance)


def _cubic(distance: Tensor) -> Tensor:
    """PIL's bicubic filter, Keys' with a = -1/2, of the distance from its centre."""
    near = (1.5 * distance - 2.5) * distance.square() + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))


def _weights(
    start: Tensor, length: Tensor, size: int, side: int, kernel: Callable[[Tensor], Tensor]
) -> Tensor:
    """(B, S, size) weight of each pixel of a line in each of the S resized pixels; rows sum to one.

    Args:
        start: (B, 1) first pixel of the crop.
        length: (B, 1) pixels of the crop.
        size: pixels of the line.
        side: S.
        kernel: the filter.
    """
    scale = length / side
    steps = torch.arange(side, device=start.device, dtype=start.dtype)
    centre = (start + (steps + 0.5) * scale)[..., None]  # (B, S, 1)
    pixel = torch.arange(size, device=start.device, dtype=start.dtype) + 0.5
    weight = kernel((pixel - centre).abs() / scale.clamp(min=1)[..., None])
    inside = (pixel > start) & (pixel < start + length)  # (B, size)
    weight = weight * inside[:, None]
    return weight / weight.sum(-1, keepdim=True)
