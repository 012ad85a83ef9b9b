"""A saved model as weights in open_clip's layout, where the method changed the tower itself.

A tower that was fine-tuned whole or in parts, merged with others, or updated by low-rank products
is a tower of the same architecture. Its weights take the places of the backbone's, and the file is
loaded by open_clip, and here as `ARCH/FILE`. The classifier has no place in that layout. It goes
into a file of its own beside it: logits = W x + b, of the pooled output or of the features.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.backbones import Backbone
from benchmarks.errors import UserError
from benchmarks.run.model_files import About
from benchmarks.run.onnx_files import changed_state, described
from benchmarks.safe_files import replacing
from benchmarks.towers import image, open_clip_vit
from methods.base import Predictor
from methods.parts.image.adapters import LowRank
from methods.parts.image.vit import AdaptedClassifier, AdaptedViT

State = dict[str, Tensor]


@dataclass(frozen=True)
class Head:
    """logits = weight x + bias."""

    weight: Tensor
    """(C, W)."""
    bias: Tensor
    """(C,)."""
    reads: str
    """pooled: the tower's output before the projection; features: after it."""
    normalised: bool
    """True if x is scaled to unit length first."""

    def __call__(self, x: Tensor) -> Tensor:
        """(B, W) -> (B, C)."""
        return F.linear(F.normalize(x, dim=-1) if self.normalised else x, self.weight, self.bias)


def head_file(file: Path) -> Path:
    """Return the path of the classifier beside a file of weights."""
    return file.with_name(f"{file.stem}.head.safetensors")


@torch.no_grad()
def write_tower(file: Path, about: About, predictor: Predictor, backbone: Backbone) -> None:
    """Write the weights of a model in open_clip's layout, and its classifier beside them.

    Args:
        file: the file to write.
        about: of the model.
        predictor: of the model, on the CPU.
        backbone: its backbone, on the CPU and in full precision.

    Raises:
        UserError: the method has no tower of this layout.
        OSError: a file cannot be written.
    """
    changed, head = _parts(about, predictor.logits, backbone)
    state = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    state |= {name: tensor.detach().clone().contiguous() for name, tensor in changed.items()}
    texts = described(about, backbone) | {"reads": head.reads, "normalised": head.normalised}
    metadata = {name: json.dumps(value) for name, value in texts.items()}
    tensors = {"weight": head.weight.contiguous(), "bias": head.bias.contiguous()}
    with replacing(file) as weights, replacing(head_file(file)) as classifier:
        weights.write(save(state, {"format": "pt"}))
        classifier.write(save(tensors, metadata))


def tower_logits(file: Path, backbone: Backbone, images: Tensor) -> Tensor:
    """(B, C) logits of normalised images (B, 3, S, S) by the written files, in open_clip's pass."""
    model: Any = copy.deepcopy(backbone.model)
    model.load_state_dict(load_file(file))
    with safe_open(head_file(file), framework="pt") as opened:
        texts = {name: json.loads(value) for name, value in opened.metadata().items()}
        head = Head(
            opened.get_tensor("weight"), opened.get_tensor("bias"),
            texts["reads"], texts["normalised"],
        )  # fmt: skip
    with torch.no_grad():
        if head.reads == "features":
            x = model.encode_image(images)
        elif open_clip_vit.supports(model.visual):
            model.visual.proj = None
            x = model.visual(images)
        else:
            x = image.pooled(model.visual, images)
        return head(x)


def _parts(about: About, logits: Any, backbone: Backbone) -> tuple[State, Head]:
    """The weights that a model changes, by their names in the backbone, and its classifier."""
    if isinstance(logits, AdaptedClassifier):

        def classified(x: Tensor) -> Tensor:
            found: Tensor = logits.head(x)
            return found if logits.calibration is None else logits.calibration(found)

        changed = _named("visual", _state_of(about, logits.tower))
        width = logits.tower(torch.zeros(1, 3, backbone.image_size, backbone.image_size)).shape[1]
        return changed, _head(about, classified, width, "pooled")
    images, texts = getattr(logits, "images", None), getattr(logits, "texts", None)
    if isinstance(images, AdaptedViT) and isinstance(texts, nn.Module):  # both towers
        model: Any = backbone.model
        changed = _named("visual", _state_of(about, images))
        changed |= _merged(about, model, "transformer.resblocks.", getattr(texts, "slots", ()))
        weight = F.normalize(texts(), dim=-1) * backbone.logit_scale
        calibration = getattr(logits, "calibration", nn.Identity())

        def compared(x: Tensor) -> Tensor:
            found: Tensor = calibration(F.normalize(x, dim=-1) @ weight.T)
            return found

        return changed, _head(about, compared, weight.shape[1], "features")
    raise UserError(
        f"{about.label} leaves the weights of {backbone.id.name} as they are, so there are none to "
        "export in open_clip's layout: name a file that ends in .onnx."
    )


def _named(prefix: str, state: State) -> State:
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()}


def _state_of(about: About, tower: AdaptedViT) -> State:
    """The weights of an image tower with the updates of its blocks merged into them."""
    visual = tower._tower[0]
    found = changed_state(tower)
    if tower.prompts is not None:
        raise _unmergeable(about, "prompts")
    if not any(True for _ in tower.slots.parameters()):
        return found
    if not open_clip_vit.supports(visual):
        raise _unmergeable(about, "updates of blocks that are not open_clip's own")
    return found | _merged(about, visual, open_clip_vit.OpenClipViT.prefix, tower.slots)


def _merged(about: About, tower: Any, prefix: str, slots: Any) -> State:
    """The weights of the blocks of a tower with low-rank updates added to them."""
    found: State = {}
    for i, slot in enumerate(slots):
        parts = {name: part for name, part in slot.named_children() if part is not None}
        for name, part in parts.items():
            if type(part) is not LowRank or name == "attention":
                raise _unmergeable(about, type(part).__name__)
        if slot.prompts is not None:
            raise _unmergeable(about, "prompts")
        projected = f"{prefix}{i}.attn.in_proj_weight"
        whole = tower.get_parameter(projected).detach().clone()
        width = whole.shape[1]
        for place, name in enumerate(("query", "key", "value")):
            if name in parts:
                whole[place * width : (place + 1) * width] += _product(parts[name])
        found[projected] = whole
        for name, layer in (("up", "c_fc"), ("down", "c_proj")):
            if name in parts:
                weight = f"{prefix}{i}.mlp.{layer}.weight"
                found[weight] = tower.get_parameter(weight).detach() + _product(parts[name])
    return found


def _product(update: Any) -> Tensor:
    """(out, in) update of a weight."""
    product: Tensor = (update.a @ update.b / update.divisor).detach().T
    return product


def _unmergeable(about: About, what: str) -> UserError:
    return UserError(
        f"{about.label} has {what} in its tower, which open_clip's layout has no place for: name a "
        "file that ends in .onnx."
    )


def _head(about: About, function: Callable[[Tensor], Tensor], width: int, reads: str) -> Head:
    """The weights of a classifier that is linear in its input or in the input's direction.

    Raises:
        UserError: it is neither.
    """
    eye = torch.eye(width)
    plus, minus, twice = function(eye), function(-eye), function(2 * eye)
    normalised = torch.allclose(plus, twice, rtol=1e-4, atol=1e-4)
    head = Head((plus - minus).T / 2, (plus + minus).mean(0) / 2, reads, normalised)
    x = torch.linspace(-1, 1, 3 * width).reshape(3, width).roll(1, 1)
    if not torch.allclose(head(x), function(x), rtol=1e-3, atol=1e-3):
        raise UserError(f"{about.label}: its classifier is not linear; export it as .onnx.")
    return head
