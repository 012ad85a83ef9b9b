"""Training augmentation in batches on the device, keyed by sample and epoch.

Kinds: `none` (the evaluation pixels), `flip` (half of the images mirrored), `crop_flip` (random
resized crop of 8–100 % of the area, aspect 3/4–4/3, then flip: torchvision's defaults, which LIFT
trains with). The resampling of `crop_flip` is bilinear and without anti-aliasing, as a batched
operation has to be; evaluation pixels never come from here.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import randomness
from benchmarks.errors import UserError

Augmentation = Literal["none", "flip", "crop_flip"]
KINDS = get_args(Augmentation)


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
    area = 0.08 + 0.92 * draw("area")
    aspect = np.exp((2 * draw("aspect") - 1) * math.log(4 / 3))
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
