"""A saved model as an ONNX file: normalised images in, logits in the order of the classes out.

The file holds everything, also the frozen tower. Its metadata hold the class names and the
transform of an image. Texts are encoded beforehand, so that only their features are in the file. It
computes in full precision, also after a run with bf16.
"""

from __future__ import annotations

import copy
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.backbones import Backbone
from benchmarks.errors import UserError, one_line
from benchmarks.packages import missing
from benchmarks.run.model_files import About
from benchmarks.towers import image as image_towers
from methods.base import Batch, Predictor
from methods.parts.image.vit import AdaptedViT

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
INPUT, OUTPUT = "images", "logits"
LARGEST = 2**31
"""Bytes of a file that ONNX's format does not reach."""


def require_packages() -> None:
    """Refuse to export where the packages for it are missing.

    Raises:
        UserError: they are.
    """
    if absent := missing(PACKAGES):
        raise UserError(f"ONNX needs {', '.join(absent)}: pip install -e '.[onnx]'.")


class OnImages(nn.Module):
    """A predictor as a function of normalised images.

    Args:
        predictor: the predictor.
        backbone: in full precision.
    """

    def __init__(self, predictor: Predictor, backbone: Backbone) -> None:
        super().__init__()
        # In a list: parameters of this module would be inputs, from which nothing is computed once.
        self._parts = [(predictor, backbone)]

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, C)."""
        ((predictor, backbone),) = self._parts
        return logits_on(predictor, images, partial(_features, backbone))


def logits_on(predictor: Predictor, images: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
    """(B, C) logits of one view of images.

    Args:
        predictor: the predictor.
        images: (B, 3, S, S), normalised.
        encode: images -> (B, D) features, for predictors on features.
    """
    index = torch.arange(images.shape[0])
    if predictor.needs == "images":
        return predictor.logits(Batch(index, None, images)).float()
    return predictor.logits(Batch(index, encode(images), None)).float()


def _features(backbone: Backbone, images: Tensor) -> Tensor:
    """(B, 3, S, S) -> (B, D), as `Backbone.encode_images` in full precision."""
    model: Any = backbone.model
    visual = getattr(model, "visual", None)
    if not image_towers.supports(visual):
        features = model.encode_image(images)
    else:
        features = image_towers.projected(visual, image_towers.pooled(visual, images))
    return F.normalize(features.float(), dim=-1)


def write_onnx(file: Path, about: About, predictor: Predictor, backbone: Backbone) -> None:
    """Write a model as ONNX.

    Args:
        file: the file to write.
        about: of the model.
        predictor: of the model, on the CPU; towers in it may be replaced by equal ones.
        backbone: its backbone, on the CPU and in full precision.

    Raises:
        UserError: torch's exporter cannot express the function, or the tower is too large.
    """
    import onnx

    model: Any = backbone.model
    size = 4 * sum(weight.numel() for weight in model.visual.parameters())
    if size >= LARGEST:
        raise UserError(
            f"{backbone.id.name}: an ONNX file holds at most 2 GB, and the image tower has "
            f"{size / 1e9:.1f} GB in full precision."
        )
    _settle(predictor)
    root = OnImages(predictor, backbone).eval()
    side = backbone.image_size
    example = torch.zeros(2, 3, side, side)
    with torch.no_grad(), _exportable():
        root(example)  # frozen weights are folded and texts encoded now, once
        try:
            program = torch.onnx.export(
                root, (example,), dynamo=True, input_names=[INPUT], output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False,
            )  # fmt: skip
        except Exception as error:  # of many types
            raise UserError(
                f"{about.method}: torch's ONNX exporter cannot express its logits "
                f"({one_line(error)})."
            ) from error
    assert program is not None
    proto = program.model_proto
    for name, value in described(about, backbone).items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = name, value if isinstance(value, str) else json.dumps(value)
    onnx.save(proto, str(file))


def _settle(predictor: Predictor) -> None:
    """Replace towers whose weights are computed in every pass by towers that have them."""
    parts = predictor.logits.modules() if isinstance(predictor.logits, nn.Module) else ()
    for part in parts:
        if isinstance(part, AdaptedViT) and part.changes is not None:
            settled = copy.deepcopy(part._tower[0])
            settled.load_state_dict(changed_state(part))
            part._tower[0], part.changes = settled, None


def changed_state(tower: AdaptedViT) -> dict[str, Tensor]:
    """The state of an image tower, with the weights that its changes compute."""
    visual = tower._tower[0]
    found: dict[str, Tensor] = dict(visual.state_dict())

    def keep(changed: nn.Module) -> Tensor:
        found.update({name: p.detach().clone() for name, p in changed.named_parameters()})
        return torch.zeros(())

    if tower.changes is not None:
        tower.changes.within(visual, keep)
    return found


def described(about: About, backbone: Backbone) -> dict[str, Any]:
    """Facts for the user of an exported model: its classes, and how an image is prepared."""
    return {
        "class_names": list(about.class_names),
        "task": about.task,
        "thresholds": list(about.thresholds),
        "preprocess": {**backbone.preprocess, "size": backbone.image_size},
        "views": about.views,
        "method": about.label,
        "dataset": about.dataset,
        "backbone": backbone.id.name,
    }


def onnx_logits(file: Path, images: Tensor) -> Tensor:
    """(B, C) logits of normalised images (B, 3, S, S) by a file, computed by onnxruntime.

    Raises:
        UserError: it cannot compute them.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        (logits,) = session.run([OUTPUT], {INPUT: images.numpy()})
    except Exception as error:  # of its own types
        raise UserError(f"onnxruntime cannot compute the export ({one_line(error)}).") from error
    return torch.from_numpy(logits)


class _NoContext:
    """Context of a function whose backward pass is never run."""

    def save_for_backward(self, *_: Any) -> None:
        """Save nothing."""

    def mark_non_differentiable(self, *_: Any) -> None:
        """Mark nothing."""

    def set_materialize_grads(self, _: bool) -> None:
        """Set nothing."""


def _forward(cls: Any, *inputs: Any) -> Any:
    """The forward pass of a function, in either of the forms that torch allows."""
    with_context = cls.setup_context is torch.autograd.Function.setup_context
    return cls.forward(_NoContext(), *inputs) if with_context else cls.forward(*inputs)


@contextmanager
def _exportable() -> Iterator[None]:
    """Use operators that the exporter knows, in silence.

    These are torch's own attention, and the forward passes of functions with backward passes of
    their own, which write their formulas out. Python's `len` of a batch is a number, which would be
    fixed in the file: the first part of the shape is a symbol.
    """
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), ExitStack() as replaced:
            warnings.simplefilter("ignore")
            attention = F.scaled_dot_product_attention
            replaced.enter_context(patch.object(image_towers, "attend", attention))
            replaced.enter_context(
                patch.object(torch.autograd.Function, "apply", classmethod(_forward))
            )
            for name, module in list(sys.modules.items()):
                if name.startswith(("methods.", "benchmarks.towers.", "plugin_")):
                    replaced.enter_context(patch.object(module, "len", _length, create=True))
            yield
    finally:
        logging.disable(level)


def _length(value: Any) -> Any:
    return value.shape[0] if isinstance(value, Tensor) else len(value)
