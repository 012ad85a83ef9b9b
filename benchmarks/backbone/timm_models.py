"""timm's image encoders as backbones: DINOv2 and 3, ImageNet-21k ViTs, ConvNeXt, ResNet and others.

They have no text tower, so what needs texts does not apply to them. The image feature is what the
model's own classifier reads, `forward_head(…, pre_logits=True)`: its pooling (`pooling`) with the
norm after it, without the classifier. Image size, mean, std, interpolation and crop are those of
timm's configuration of the weights (`pretrained_cfg`), as timm's own evaluation has them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from open_clip.model import set_model_preprocess_cfg
from open_clip.timm_model import TimmModel
from torch import Tensor, nn

from benchmarks import randomness
from benchmarks.backbone import hub, image_sizes, weight_files
from benchmarks.backbone.names import BackboneId
from benchmarks.errors import UserError, first_few, one_line


class TimmTower(TimmModel):  # type: ignore[misc]
    """A timm model as an image tower of open_clip, without a classifier or a projection.

    Args:
        trunk: of timm, without its classifier.
        side: of its square input, in pixels.
    """

    def __init__(self, trunk: nn.Module, side: int) -> None:
        nn.Module.__init__(self)  # TimmModel's would build another trunk
        self.trunk = trunk
        self.head = nn.Sequential()
        self.image_size = (side, side)

    @property
    def patch_size(self) -> int | None:
        """Side of a ViT's patches in pixels; None for other architectures."""
        return image_sizes.patch_side(self)


class ImageEncoder(nn.Module):
    """An image tower in the place of open_clip's model."""

    def __init__(self, visual: TimmTower) -> None:
        super().__init__()
        self.visual = visual

    def encode_image(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D)."""
        features: Tensor = self.visual(images)
        return features


def build(ident: BackboneId, *, online: bool, image_size: int | None) -> ImageEncoder:
    """Return the model on the CPU.

    Args:
        ident: a `timm:` backbone.
        online: the hub may be asked for files.
        image_size: side of the input; None for that of the weights.

    Raises:
        UserError: the weights are damaged or do not belong to the model, or the model cannot take
            images of this size.
        DataMissing: a file is not on this machine and could not be fetched.
    """
    hub.refuse_damaged(ident)
    _refuse_ambiguous(ident)
    name = ident.arch.removeprefix("timm:")
    try:
        seeded = randomness.seeded("random weights", 0)
        with warnings.catch_warnings(), seeded, hub.client(offline=not online):
            warnings.simplefilter("ignore")
            if ident.form == "tag":  # with the classifier, so that timm compares every tensor
                trunk: Any = timm.create_model(f"{name}.{ident.source}", pretrained=True)
            else:
                trunk = timm.create_model(name)
            trunk.reset_classifier(0)
            if ident.form == "file":
                _fill(trunk, Path(ident.source), ident.entry)
            if online:
                hub.refuse_damaged(ident)  # what has been fetched
    except UserError:
        raise
    except Exception as error:  # the readers of damaged files raise errors of any type
        line = one_line(error)
        if (online or isinstance(error, OSError)) and ident.form == "tag":
            raise hub.cannot_fetch(ident, line) from error
        raise UserError(f"Backbone '{ident.typed}' does not load: {line}") from error
    config: Mapping[str, Any] = trunk.pretrained_cfg
    height, width = config["input_size"][1:]
    visual = TimmTower(trunk, height if height == width else 0)
    if image_size is not None:
        image_sizes.resize(visual, image_size, ident.name)
    settings = transform_of(config, image_size) if height == width or image_size else {}
    if not settings:
        raise UserError(
            f"Backbone '{ident.typed}': its input is not square ({height} × {width}); choose a "
            "size with --image-size."
        )
    set_model_preprocess_cfg(visual, settings)
    return ImageEncoder(visual)


def transform_of(config: Mapping[str, Any], side: int | None = None) -> dict[str, Any]:
    """Settings of timm's evaluation transform, in the form of `transforms`.

    Args:
        config: timm's configuration of the weights.
        side: S, if it is not the configuration's.

    Raises:
        UserError: timm pads images to a square for this model.
    """
    side = side or int(config["input_size"][1])
    modes = {"center": "shortest", "squash": "squash"}
    if config["crop_mode"] not in modes:
        raise UserError(
            f"timm's crop mode '{config['crop_mode']}' of {config['architecture']} is not "
            "supported: it pads images to a square."
        )
    settings = {
        "size": side,
        "mean": tuple(config["mean"]),
        "std": tuple(config["std"]),
        "interpolation": config["interpolation"],
        "resize_mode": modes[config["crop_mode"]],
    }
    resized = math.floor(side / config["crop_pct"])
    return settings if resized == side else settings | {"resize": resized}


def pooling(visual: Any) -> str:
    """Return timm's word for the pooling of tokens or of a map, such as token, avg or map."""
    trunk = visual.trunk
    pool = getattr(trunk, "global_pool", None)
    if pool is None:
        pool = getattr(getattr(trunk, "head", None), "global_pool", None)
    return pool if isinstance(pool, str) else str(getattr(pool, "pool_type", "avg"))


def _fill(trunk: Any, file: Path, entry: str) -> None:
    """Load the weights of a file, all but those of the classifier.

    Raises:
        ValueError: the file does not hold the model's weights.
    """
    if file.suffix == ".npz":
        _fill_from_flax(trunk, file)
        return
    tensors = weight_files.read(file, entry).tensors
    classifier = trunk.pretrained_cfg.get("classifier") or ()
    names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    ends = tuple(f"{name}.{end}" for name in names for end in ("weight", "bias"))
    kept = {name: tensor for name, tensor in tensors.items() if name not in ends}
    weight_files.fill(trunk, kept)


def _fill_from_flax(trunk: Any, file: Path) -> None:
    """Load a ViT's weights from an `.npz` file of Google's, the form in which it publishes them.

    timm's reader resizes position embeddings that do not fit and leaves out what a file lacks; here
    both are errors.

    Raises:
        ValueError: the file does not hold all of the model's weights in their sizes.
    """
    if not hasattr(trunk, "load_pretrained") or not hasattr(trunk, "pos_embed"):
        raise ValueError("timm reads no .npz files for this model")
    with np.load(file) as arrays:
        for name in arrays.files:
            if name.endswith("posembed_input/pos_embedding"):
                given, wanted = arrays[name].shape, tuple(trunk.pos_embed.shape)
                if given != wanted:
                    raise ValueError(f"another size: {name} is {given}, and the model's {wanted}")
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter.fill_(torch.nan)
    trunk.load_pretrained(str(file))
    if lacking := [n for n, p in trunk.named_parameters() if bool(p.isnan().any())]:
        raise ValueError(f"the file lacks {first_few(lacking)}")


def _refuse_ambiguous(ident: BackboneId) -> None:
    """Refuse a file without a tag if timm's weights of the model have different transforms.

    Raises:
        UserError: the file does not say which transform it needs.
    """
    name = ident.arch.removeprefix("timm:")
    if ident.form != "file" or "." in name:
        return
    known = [cfg.to_dict() for cfg in timm.models.get_arch_pretrained_cfgs(name).values()]
    keys = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")
    if len({tuple(str(config.get(key)) for key in keys) for config in known}) > 1:
        raise UserError(
            f"Backbone '{ident.typed}': timm's weights of {name} use different preprocessing, and "
            f"a file does not say which it needs. Write timm:{name}.TAG/FILE, where TAG are the "
            "weights whose preprocessing it shares."
        )
