"""Backbones: models of open_clip, the embedded one, encoders of timm; frozen, with one interface.

All but timm's have a text tower (`Backbone.has_text`).

This is the face of `benchmarks/backbone/`, and all that methods and inputs see of it. The forms of
a backbone's name are listed in `benchmarks/backbone/names.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from benchmarks.backbone import hub, image_sizes, open_clip_models, presence, transforms
from benchmarks.backbone.identify import identify
from benchmarks.backbone.names import BackboneId
from benchmarks.datasets.base import ArrayImages, Images
from benchmarks.errors import NotApplicable
from benchmarks.loading import in_threads
from benchmarks.towers import image as image_towers
from benchmarks.towers import text as text_towers
from benchmarks.views import enlarged


@dataclass(frozen=True)
class Backbone:
    """A frozen model with its evaluation transform."""

    id: BackboneId
    model: nn.Module
    """An open_clip model; of timm's, an image tower in its place (`timm_models.ImageEncoder`)."""
    tokenizer: Any
    """None without a text tower."""
    transform: Callable[[Image.Image], Tensor]
    """PIL image -> (3, H, W), the evaluation transform."""
    preprocess: dict[str, Any]
    """Its settings (see `transforms`): size, mean, std, interpolation, resize mode."""
    device: torch.device
    precision: str
    """"fp32" or "bf16" (autocast)."""
    remark: str = ""
    """A remark on the features for the author of a method, in the details of records."""

    @cached_property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return transforms.input_side(self.preprocess)

    @cached_property
    def feature_dim(self) -> int:
        """D, the width of the joint image-text space, or of the image features without texts."""
        if not self.has_text:
            return int(self.model.visual.trunk.head_hidden_size)  # type: ignore[union-attr,arg-type]
        with torch.no_grad():
            return int(self.encode_text(["a"]).shape[-1])

    @cached_property
    def preprocess_hash(self) -> str:
        text = json.dumps(self.preprocess, sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def has_text(self) -> bool:
        """True if the backbone has a text tower."""
        return hasattr(self.model, "encode_text")

    def require_text(self) -> None:
        """Raise an error unless the backbone has a text tower.

        Raises:
            NotApplicable: it has none.
        """
        if not self.has_text:
            raise NotApplicable(f"needs texts, and {self.id.name} has no text tower")

    @cached_property
    def logit_scale(self) -> float:
        """Factor on cosine similarities that the backbone was trained with.

        Raises:
            NotApplicable: the backbone has no text tower.
        """
        self.require_text()
        scale: Tensor = self.model.logit_scale  # type: ignore[assignment]
        return float(scale.detach().exp())

    @cached_property
    def logit_bias(self) -> float | None:
        """Constant that SigLIP adds to the scaled cosines, so that their sigmoid is a probability.

        None for all other models. It changes no ranking, no softmax and no average precision.
        `zero_shot` adds it on multi-label data. Heads with sigmoid losses learn biases of their own
        (`SigmoidBias`, `Calibration`), which start at the class frequencies whatever it is.
        """
        bias: Tensor | None = getattr(self.model, "logit_bias", None)
        return None if bias is None else float(bias.detach())

    def knows(self, text: str, *, invented: bool = False) -> bool:
        """True if the text tower was trained on these words.

        Args:
            text: a class name or description.
            invented: the words are those of the embedded world (see `Texts.invented`).
        """
        if self.id.form == "embedded":
            return bool(self.tokenizer.knows(text))
        return self.id.form != "random" and not invented

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which the backbone's forward pass runs."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def precision_for(self, needs: str) -> AbstractContextManager[Any]:
        """The run's precision for images, full precision for heads on stored features.

        Such heads are cheap in full precision, and rounding would change their numbers.
        """
        return self.autocast() if needs == "images" else nullcontext()

    def read(self, images: Images, index: Sequence[int]) -> Tensor:
        """Read images in threads, resized and cropped as the evaluation transform does.

        Args:
            images: the images of a split.
            index: B positions in it.

        Returns:
            (B, S, S, 3) uint8 on the CPU; `normalise` turns it into the PIL transform's output.

        Raises:
            DataError: an image is missing or damaged.
        """
        if isinstance(images, ArrayImages) and self._is_framed(images.array.shape[1:]):
            return torch.from_numpy(images.array[np.asarray(index, dtype=np.int64)])
        framed = in_threads(lambda i: self._framed(images.read(i)), index)
        return torch.from_numpy(np.stack(list(framed)))

    def read_enlarged(self, images: Images, index: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Read images in threads, enlarged so that five crops can be taken (see `views`).

        Args:
            images: the images of a split.
            index: B positions in it.

        Returns:
            B images (h, w, 3).

        Raises:
            DataError: an image is missing or damaged.
            NotApplicable: no five crops with this evaluation transform.
        """

        def one(i: int) -> NDArray[np.uint8]:
            return enlarged(self.preprocess, self.image_size, images.read(i))

        return list(in_threads(one, index))

    def _framed(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) -> (S, S, 3), by the part of the PIL transform that resizes and crops."""
        if self._is_framed(image.shape):
            return image
        return np.asarray(self._framing(Image.fromarray(image)))

    def _is_framed(self, shape: tuple[int, ...]) -> bool:
        """True if neither resizing nor cropping changes an image of this shape."""
        side = self.image_size
        return shape == (side, side, 3) and self.preprocess.get("resize", side) == side

    @cached_property
    def _framing(self) -> Callable[[Image.Image], Image.Image]:
        return transforms.framing(self.transform)

    def normalise(self, pixels: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) float, with the transform's mean and std."""
        key = (pixels.device, torch.get_default_dtype())
        if key not in self._moments:
            numbers = torch.tensor([self.preprocess["mean"], self.preprocess["std"]])
            self._moments[key] = numbers.view(2, -1, 1, 1).to(pixels.device)
        mean, std = self._moments[key]
        return pixels.permute(0, 3, 1, 2).contiguous().to(key[1]).div_(255).sub_(mean).div_(std)

    @cached_property
    def _moments(self) -> dict[tuple[torch.device, torch.dtype], Tensor]:
        """Mean and std, (2, 3, 1, 1), by device and dtype: copying them again stalls a GPU."""
        return {}

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, D) L2-normalised float32 features."""
        visual, images = getattr(self.model, "visual", None), images.to(self.device)
        with self.autocast():
            if not image_towers.supports(visual):
                features = self.model.encode_image(images)  # type: ignore[operator]
            else:
                features = image_towers.projected(visual, image_towers.pooled(visual, images))
        return nn.functional.normalize(features.float(), dim=-1)

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str], chunk: int = 256, *, unit: bool = True) -> Tensor:
        """N strings -> (N, D) float32 features, `chunk` strings at a time.

        Equal strings are encoded once. If the tower is causal, strings of similar length share a
        chunk and their padding is left out, which changes nothing but rounding.

        Args:
            texts: the strings.
            chunk: strings per forward pass.
            unit: scale the features to length 1; otherwise they keep the length that the tower
                gives them.

        Raises:
            NotApplicable: the backbone has no text tower.
        """
        self.require_text()
        place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        tokens = self.tokenizer(list(place))  # (m, T)
        end = text_towers.ends(self.model, tokens)
        order = torch.arange(len(tokens)) if end is None else end.argsort(stable=True)
        parts = []
        for rows in order.split(chunk):
            some = tokens[rows].to(self.device)
            with self.autocast():
                features = (
                    self.model.encode_text(some)  # type: ignore[operator]
                    if end is None
                    else text_towers.encode(self.model, some, end[rows].to(self.device))
                )
            features = features.float()
            parts.append(nn.functional.normalize(features, dim=-1) if unit else features)
        back = order.argsort()[[place[text] for text in texts]]
        return torch.cat(parts)[back.to(self.device)]


def load(
    name: str,
    *,
    device: torch.device,
    precision: str,
    offline: bool = False,
    transform: str = "checkpoint",
    image_size: int | None = None,
) -> Backbone:
    """Load a backbone, frozen and in evaluation mode.

    Args:
        name: see `benchmarks/backbone/names.py`.
        device: where to put it.
        precision: "fp32" or "bf16" (autocast).
        offline: use only files on this machine, and fail at once if one is missing.
        transform: name of the evaluation transform (see `transforms`).
        image_size: S, the side of the input in pixels; None for that of the weights.

    Raises:
        UserError: the name is wrong, the weights do not belong to the architecture, or its input
            cannot have this size.
        DataMissing: the weights are not on this machine and could not be fetched.
    """
    ident = identify(name)
    online = presence.require(ident, offline=offline)
    model, tokenizer = _built(ident, online=online, image_size=image_size)
    if online:
        ident = identify(name)  # the revision of weights from the hub is known only now
    model.requires_grad_(False).eval().to(device)
    import open_clip

    checkpoint = dict(open_clip.get_model_preprocess_cfg(model))
    if image_size is not None:
        checkpoint["size"] = image_size
    preprocess = transforms.named(transform, checkpoint, model.visual)
    transforms.input_side(preprocess)  # refuses an input that is not square
    return Backbone(
        id=ident,
        model=model,
        tokenizer=tokenizer,
        transform=transforms.pipeline(preprocess),
        preprocess=preprocess,
        device=device,
        precision=precision,
        remark=_remark(ident, model),
    )


def _remark(ident: BackboneId, model: Any) -> str:
    """Describe the image features of an encoder without texts."""
    if not ident.of_timm:
        return ""
    from benchmarks.backbone import timm_models

    pool = timm_models.pooling(model.visual)
    return f"image features: what timm's classifier reads, pooled by '{pool}'"


def _built(ident: BackboneId, *, online: bool, image_size: int | None = None) -> tuple[Any, Any]:
    """The model on the CPU, and its tokenizer or None."""
    if ident.of_timm:
        from benchmarks.backbone import timm_models  # deferred: takes seconds

        return timm_models.build(ident, online=online, image_size=image_size), None
    model, tokenizer = open_clip_models.build(ident, online=online)
    if image_size is not None:
        image_sizes.resize(model.visual, image_size, ident.name)
    return model, tokenizer


def fetch(name: str, *, offline: bool) -> None:
    """Fetch an `hf-hub:` backbone that is not here, before anything is planned with it.

    Its revision is part of every record's key. Names of any other form are ignored.

    Raises:
        UserError: the name is wrong, or the weights do not load.
        DataMissing: the weights are not on this machine and could not be fetched.
    """
    if name.startswith("hf-hub:") and presence.require(ident := identify(name), offline=offline):
        open_clip_models.build(ident, online=True)


def download(name: str) -> str:
    """Fetch a backbone's weights into open_clip's cache, and return a line to print.

    Raises:
        DataMissing: the weights are not here, and the hub cannot be reached.
    """
    ident = identify(name)
    presence.require(ident, offline=False)
    _built(ident, online=bool(hub.needs(ident)) and not hub.no_network())
    return f"{name}: weights are in place."
