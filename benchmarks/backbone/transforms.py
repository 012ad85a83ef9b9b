"""Evaluation transforms by name: that of the checkpoint, and those in the code of two papers.

`checkpoint` is the default: the transform that the weights were evaluated with. The others
reproduce the papers, for an input of side S:

lift       the shorter side to S * 8 / 7 (256 for 224), bilinear, centre crop, the checkpoint's mean
           and std (github.com/shijxcs/LIFT, trainer.py, 1643432: `transform_test`)
lift_plus  the same, bicubic (github.com/shijxcs/LIFT-plus, trainer.py, ea555ea)
lmpt       both sides to S regardless of the aspect ratio, bilinear, ImageNet's mean and std
           (github.com/richard-peng-xia/LMPT, lmpt/imagelist.py, 6a2dd5b)

The settings are open_clip's: size, mean, std, interpolation, resize_mode. Two more are optional:
`resize`, the length of the shorter side (of both, if they are squashed) if it is not S, and
`margin`, the number of pixels by which an image is enlarged before five crops are taken
(`benchmarks/views.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from PIL import Image
from torch import Tensor, nn

from benchmarks.backbone.names import TRANSFORMS
from benchmarks.errors import UserError

MOST_PIXELS = 20_000_000
"""Most pixels of an image that is resized as a whole."""

Pipeline = Callable[[Image.Image], Tensor]
"""PIL image -> (3, S, S)."""


def named(name: str, checkpoint: dict[str, Any], visual: nn.Module) -> dict[str, Any]:
    """The settings of the transform `name`.

    Args:
        name: one of `TRANSFORMS`.
        checkpoint: open_clip's settings for the checkpoint.
        visual: the image tower.

    Raises:
        UserError: there is no such transform.
    """
    if name == "checkpoint":
        return checkpoint
    side = input_side(checkpoint)
    if name == "lift_plus":
        return checkpoint | {
            "interpolation": "bicubic",
            "resize_mode": "shortest",
            "resize": side + side // 7,
            "margin": 24,
        }
    if name == "lift":
        found = checkpoint | {
            "interpolation": "bilinear",
            "resize_mode": "shortest",
            "resize": side * 8 // 7,
        }
        # `expand` in LIFT's code: 24 for patches of 16 pixels, 21 for 14, at both 224 and 336.
        patch = getattr(visual, "patch_size", None)
        return found if patch is None else found | {"margin": 3 * _first(patch) // 2}
    if name == "lmpt":
        return {key: value for key, value in checkpoint.items() if key != "resize"} | {
            "mean": (0.485, 0.456, 0.406),
            "std": (0.229, 0.224, 0.225),
            "interpolation": "bilinear",
            "resize_mode": "squash",
        }
    raise UserError(f"Unknown transform '{name}'. Known: {', '.join(TRANSFORMS)}.")


def pipeline(settings: dict[str, Any]) -> Pipeline:
    """The transform with these settings."""
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from torchvision import transforms

    known = {key: value for key, value in settings.items() if key not in ("resize", "margin")}
    found: Any = image_transform_v2(PreprocessCfg(**known), is_train=False)
    if "resize" in settings:
        _, *rest = found.transforms  # everything from the crop on is the same
        mode = transforms.InterpolationMode(settings["interpolation"])
        side = settings["resize"]
        if settings["resize_mode"] == "squash":
            size: Any = [side, side]
            rest = [transforms.CenterCrop(settings["size"]), *rest]
        else:
            size = side
        found = transforms.Compose([transforms.Resize(size, mode), *rest])
    if settings.get("resize_mode") == "shortest":
        side = settings.get("resize", input_side(settings))
        found = transforms.Compose([partial(_middle, side), *found.transforms])
    return found  # type: ignore[no-any-return]


def _middle(side: int, image: Image.Image) -> Image.Image:
    """Cut the ends off a strip that would have more than `MOST_PIXELS` once it is resized.

    The transforms take its middle only. Whole, an image of 2 × 5,000 pixels becomes one of
    224 × 560,000, which takes a gigabyte.

    Args:
        side: length of the shorter side after resizing.
        image: an image.
    """
    short, long = sorted(image.size)
    kept = max(MOST_PIXELS * short // side**2, 2 * short)
    if long <= kept:
        return image
    start = (long - kept) // 2
    end = long - start  # the middle stays where it is
    wide = image.width == long
    return image.crop((start, 0, end, short) if wide else (0, start, short, end))


def framing(pipeline: Pipeline) -> Callable[[Image.Image], Image.Image]:
    """The part of a transform that resizes and crops, without conversion and normalisation."""
    from torchvision import transforms

    *steps, _, _ = pipeline.transforms  # type: ignore[attr-defined]  # to tensor, normalise
    found: Callable[[Image.Image], Image.Image] = transforms.Compose(steps)
    return found


def input_side(settings: dict[str, Any]) -> int:
    """S, the side of the square input in pixels.

    Raises:
        UserError: the input is not square.
    """
    size = settings["size"]
    if not isinstance(size, int) and len(set(size)) > 1:
        raise UserError(f"Backbones whose input is not square (here {size}) are not supported.")
    return _first(size)


def _first(size: Any) -> int:
    return int(size if isinstance(size, int) else size[0])
