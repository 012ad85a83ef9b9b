"""Vision-language backbones: open_clip models and the embedded one, frozen, behind one interface.

How they are named stands in `backbone_names`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
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

from benchmarks import hub, randomness
from benchmarks.backbone_names import BackboneId, identify
from benchmarks.errors import UserError


@dataclass(frozen=True)
class Backbone:
    """A frozen open_clip model with its own evaluation transform."""

    id: BackboneId
    model: nn.Module
    tokenizer: Any
    transform: Callable[[Image.Image], Tensor]
    """PIL image -> (3, H, W), the checkpoint's own evaluation transform."""
    preprocess: dict[str, Any]
    """open_clip's preprocessing settings: size, mean, std, interpolation, resize mode."""
    device: torch.device
    precision: str
    """"fp32" or "bf16" (autocast)."""

    @cached_property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        size = self.preprocess["size"]
        return int(size if isinstance(size, int) else size[0])

    @cached_property
    def feature_dim(self) -> int:
        """D, the width of the joint image-text space."""
        with torch.no_grad():
            return int(self.encode_text(["a"]).shape[-1])

    @cached_property
    def preprocess_hash(self) -> str:
        text = json.dumps(self.preprocess, sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def logit_scale(self) -> float:
        """The factor on cosine similarities that the backbone was trained with."""
        scale: Tensor = self.model.logit_scale  # type: ignore[assignment]
        return float(scale.detach().exp())

    def knows(self, text: str, *, invented: bool = False) -> bool:
        """Whether the text tower was trained on these words.

        Args:
            text: a class name or description.
            invented: the words are those of the embedded world (see `Texts.invented`).
        """
        if self.id.form == "embedded":
            return bool(self.tokenizer.knows(text))
        return self.id.form != "random" and not invented

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which the backbone's forward runs."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def precision_for(self, needs: str) -> AbstractContextManager[Any]:
        """The run's precision for images, full precision for heads on stored features.

        Those cost nothing, rounding them would.
        """
        return self.autocast() if needs == "images" else nullcontext()

    def prepare(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Evaluation pixels of B images, (H, W, 3) uint8 each -> (B, 3, S, S) on the CPU.

        Equal to the PIL transform; images that already have the input's size skip PIL, because
        neither resize nor crop would change them.
        """
        size = self.image_size
        if all(image.shape == (size, size, 3) for image in images):
            return self.normalise(torch.from_numpy(np.stack(images)))
        return torch.stack([self.transform(Image.fromarray(image)) for image in images])

    def normalise(self, pixels: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) float, with the checkpoint's mean and std."""
        mean = torch.tensor(self.preprocess["mean"], device=pixels.device).view(-1, 1, 1)
        std = torch.tensor(self.preprocess["std"], device=pixels.device).view(-1, 1, 1)
        scaled = pixels.permute(0, 3, 1, 2).to(torch.get_default_dtype()).div(255)
        return scaled.contiguous().sub_(mean).div_(std)

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, D) L2-normalised float32 features."""
        with self.autocast():
            features = self.model.encode_image(images.to(self.device))  # type: ignore[operator]
        return nn.functional.normalize(features.float(), dim=-1)

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str], chunk: int = 256) -> Tensor:
        """N strings -> (n, D) L2-normalised float32 features, `chunk` strings at a time."""
        parts = []
        for start in range(0, len(texts), chunk):
            tokens = self.tokenizer(list(texts[start : start + chunk])).to(self.device)
            with self.autocast():
                features = self.model.encode_text(tokens)  # type: ignore[operator]
            parts.append(nn.functional.normalize(features.float(), dim=-1))
        return torch.cat(parts)


def load(name: str, *, device: torch.device, precision: str, offline: bool = False) -> Backbone:
    """Load a backbone, frozen and in evaluation mode.

    Raises:
        UserError: the name is wrong, or the weights do not belong to the architecture.
        DataMissing: the weights are not here and could not be fetched.
    """
    import open_clip

    ident = identify(name)
    arguments: dict[str, Any] = {"model_name": ident.arch}
    if ident.form == "embedded":
        from benchmarks.glyphs import ASSETS, PREPROCESS

        open_clip.add_model_config(ASSETS)
        arguments |= {
            "pretrained": str(ASSETS / "glyph.safetensors"),
            "force_preprocess_cfg": dict(PREPROCESS),
        }
    elif ident.form in ("local-dir", "hf-hub"):
        arguments["model_name"] = f"{ident.form}:{ident.source}"
    elif ident.form in ("tag", "file"):
        arguments["pretrained"] = ident.source
    # Without it, open_clip goes on with random weights where a folder or repository has none.
    arguments["require_pretrained"] = ident.form != "random"
    online = require(ident, offline=offline)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.CRITICAL)  # open_clip logs errors that it also raises
    try:
        seeded = randomness.seeded("random weights", 0)
        with warnings.catch_warnings(), seeded, hub.client(offline=not online):
            warnings.simplefilter("ignore")
            model = open_clip.create_model(**arguments)
            tokenizer = _tokenizer(ident, arguments["model_name"])
    except Exception as error:  # a file of the wrong kind raises whatever its reader raises
        if ident.form in ("tag", "hf-hub") and "size mismatch" not in str(error):
            raise hub.cannot_fetch(ident, hub.one_line(error)) from error
        line = hub.one_line(error) or type(error).__name__
        raise UserError(f"Backbone '{name}' does not load: {line}") from error
    finally:
        logging.getLogger().setLevel(level)
    model.requires_grad_(False).eval().to(device)
    preprocess = dict(open_clip.get_model_preprocess_cfg(model))
    settings = open_clip.transform.PreprocessCfg(**preprocess)
    return Backbone(
        id=ident,
        model=model,
        tokenizer=tokenizer,
        transform=open_clip.transform.image_transform_v2(settings, is_train=False),
        preprocess=preprocess,
        device=device,
        precision=precision,
    )


def require(ident: BackboneId, *, offline: bool) -> bool:
    """See that weights are here or can be fetched, without fetching them; whether the hub answers.

    Raises:
        DataMissing: they are not here, and only the network could bring them.
    """
    reason = "--offline" if offline else hub.no_network(ident)
    if reason:
        hub.require_cached(ident, reason)
    return not reason


def download(name: str) -> str:
    """Fetch a backbone's weights into open_clip's cache; returns a line to print."""
    load(name, device=torch.device("cpu"), precision="fp32")
    return f"{name}: weights are in place."


def _tokenizer(ident: BackboneId, model_name: str) -> Any:
    if ident.form == "embedded":
        from benchmarks.glyphs import load_tokenizer

        return load_tokenizer()
    import open_clip

    return open_clip.get_tokenizer(model_name)
