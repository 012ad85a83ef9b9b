"""Image towers at another image size than that of their weights: `--image-size`.

A ViT's position embeddings are interpolated (bicubic, anti-aliased), as open_clip's
`force_image_size` and timm's `img_size` do when they load weights. Convolutional towers take images
of any size. A tower that cannot is refused: CLIP's ResNets pool with position embeddings that
neither library resizes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.errors import UserError, one_line


def resize(visual: Any, side: int, name: str) -> None:
    """Change the image size of a tower in place.

    Args:
        visual: an image tower of open_clip.
        side: S, in pixels.
        name: of the backbone, for messages.

    Raises:
        UserError: the tower cannot take images of this size.
    """
    patch = patch_side(visual)
    if patch is not None and side % patch:
        raise UserError(
            f"--image-size {side}: {name} has patches of {patch} pixels, and {side} is no multiple "
            f"of {patch}."
        )
    try:
        _resize(visual, side)
        with torch.inference_mode():
            training = visual.training
            visual.eval()(torch.zeros(1, 3, side, side))
            visual.train(training)
    except UserError:
        raise
    except Exception as error:  # of any type, from the towers of other libraries
        raise UserError(
            f"--image-size {side}: {name} takes no images of this size ({one_line(error)})."
        ) from error


def patch_side(visual: Any) -> int | None:
    """Side of a ViT's patches in pixels; None for a tower that has none."""
    trunk = getattr(visual, "trunk", None)
    source = visual if trunk is None else getattr(trunk, "patch_embed", None)
    patch = getattr(source, "patch_size", None)
    if isinstance(patch, tuple | list):
        patch = patch[0]
    return None if patch is None else int(patch)


def _resize(visual: Any, side: int) -> None:
    from open_clip.model import resize_pos_embed
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    size = (side, side)
    if isinstance(visual, VisionTransformer):
        key = "visual.positional_embedding"
        visual.image_size = size
        visual.grid_size = tuple(s // p for s, p in zip(size, visual.patch_size, strict=True))
        state = {key: visual.positional_embedding.detach()}
        holder = nn.Module()
        holder.visual = visual
        resize_pos_embed(state, holder)
        visual.positional_embedding = nn.Parameter(state[key], requires_grad=False)
    elif isinstance(visual, TimmModel):
        trunk: Any = visual.trunk
        if hasattr(trunk, "set_input_size"):
            trunk.set_input_size(size)
        elif trunk.pretrained_cfg.get("fixed_input_size"):
            raise UserError(f"--image-size {side}: timm fixes the image size of this architecture.")
        visual.image_size = size
    else:
        raise UserError(
            f"--image-size {side}: the position embeddings of a {type(visual).__name__} cannot be "
            "resized."
        )
