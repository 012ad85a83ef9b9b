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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from benchmarks import randomness
from benchmarks.backbone import hub, transforms, weight_files
from benchmarks.backbone.names import BackboneId, identify, refuse_activation_mismatch
from benchmarks.datasets.base import ArrayImages, Images
from benchmarks.errors import UserError
from benchmarks.loading import in_threads
from benchmarks.towers import image as image_towers
from benchmarks.towers import text as text_towers


@dataclass(frozen=True)
class Backbone:
    """A frozen open_clip model with its evaluation transform."""

    id: BackboneId
    model: nn.Module
    tokenizer: Any
    transform: Callable[[Image.Image], Tensor]
    """PIL image -> (3, H, W), the evaluation transform."""
    preprocess: dict[str, Any]
    """Its settings (see `transforms`): size, mean, std, interpolation, resize mode."""
    device: torch.device
    precision: str
    """"fp32" or "bf16" (autocast)."""

    @cached_property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return transforms.input_side(self.preprocess)

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

    @cached_property
    def logit_bias(self) -> float | None:
        """What SigLIP adds to the scaled cosines, so that their sigmoid is a probability.

        Nothing else has one. A constant: it changes no ranking, no softmax, no average precision.
        """
        bias: Tensor | None = getattr(self.model, "logit_bias", None)
        return None if bias is None else float(bias.detach())

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

    def read(self, images: Images, index: Sequence[int]) -> Tensor:
        """What the evaluation transform shows of some images, read and resized by threads.

        Args:
            images: of a split.
            index: B positions in it.

        Returns:
            (B, S, S, 3) uint8 on the CPU; `normalise` makes of it what the PIL transform gives.

        Raises:
            DataError: an image is missing or damaged.
        """
        if isinstance(images, ArrayImages) and self._shows(images.array.shape[1:]):
            return torch.from_numpy(images.array[np.asarray(index, dtype=np.int64)])
        framed = in_threads(lambda i: self._framed(images.read(i)), index)
        return torch.from_numpy(np.stack(list(framed)))

    def _framed(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) -> (S, S, 3), by the part of the PIL transform that resizes and crops."""
        if self._shows(image.shape):
            return image
        return np.asarray(self._framing(Image.fromarray(image)))

    def _shows(self, shape: tuple[int, ...]) -> bool:
        """Whether neither resize nor crop changes an image of this shape."""
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
        """Mean and std, (2, 3, 1, 1), by where they were wanted: copying them makes a GPU wait."""
        return {}

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, D) L2-normalised float32 features."""
        visual, images = getattr(self.model, "visual", None), images.to(self.device)
        with self.autocast():
            if not image_towers.serves(visual):
                features = self.model.encode_image(images)  # type: ignore[operator]
            else:
                features = image_towers.projected(visual, image_towers.pooled(visual, images))
        return nn.functional.normalize(features.float(), dim=-1)

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str], chunk: int = 256) -> Tensor:
        """N strings -> (N, D) L2-normalised float32 features, `chunk` strings at a time.

        Equal strings are encoded once. Where the tower is causal, strings of like length go
        together and their padding is left out, which changes nothing but rounding.
        """
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
            parts.append(nn.functional.normalize(features.float(), dim=-1))
        back = order.argsort()[[place[text] for text in texts]]
        return torch.cat(parts)[back.to(self.device)]


def load(
    name: str,
    *,
    device: torch.device,
    precision: str,
    offline: bool = False,
    transform: str = "checkpoint",
) -> Backbone:
    """Load a backbone, frozen and in evaluation mode.

    Args:
        name: see `backbone_names`.
        device: where to put it.
        precision: "fp32" or "bf16" (autocast).
        offline: use what is on this machine, and fail at once for what is not.
        transform: the evaluation transform by name (see `transforms`).

    Raises:
        UserError: the name is wrong, or the weights do not belong to the architecture.
        DataMissing: the weights are not here and could not be fetched.
    """
    ident = identify(name)
    online = require(ident, offline=offline)
    model, tokenizer = _open(ident, online=online)
    if online:
        ident = identify(name)  # of weights from the hub the revision is known now
    model.requires_grad_(False).eval().to(device)
    import open_clip

    checkpoint = dict(open_clip.get_model_preprocess_cfg(model))
    preprocess = transforms.named(transform, checkpoint, model.visual)
    transforms.input_side(preprocess)  # refuses what is not square
    return Backbone(
        id=ident,
        model=model,
        tokenizer=tokenizer,
        transform=transforms.pipeline(preprocess),
        preprocess=preprocess,
        device=device,
        precision=precision,
    )


def require(ident: BackboneId, *, offline: bool) -> bool:
    """See that all is here or can be fetched, without fetching it; whether the hub is to be asked.

    What is in the hub's cache is taken as it is: `download` brings it up to date.

    Raises:
        DataMissing: it is not here, and only the network could bring it.
        UserError: a Hugging Face tokenizer cannot be read.
    """
    missing = bool(hub.missing(ident))
    if missing and (reason := "--offline" if offline else hub.no_network()):
        raise hub.cannot_fetch(ident, reason)
    hub.require_tokenizer(ident)
    return missing


def fetch(name: str, *, offline: bool) -> None:
    """Fetch an `hf-hub:` backbone that is not here, before anything is planned with it.

    Its revision is part of every record's key. Names of any other form are left alone.

    Raises:
        UserError: the name is wrong, or the weights do not load.
        DataMissing: they are not here and could not be fetched.
    """
    if name.startswith("hf-hub:") and require(ident := identify(name), offline=offline):
        _open(ident, online=True)


def download(name: str) -> str:
    """Fetch a backbone's weights into open_clip's cache; returns a line to print.

    Raises:
        DataMissing: they are not here, and the hub cannot be reached.
    """
    ident = identify(name)
    require(ident, offline=False)
    _open(ident, online=bool(hub.needs(ident)) and not hub.no_network())
    return f"{name}: weights are in place."


def _open(ident: BackboneId, *, online: bool) -> tuple[Any, Any]:
    """The model on the CPU, as open_clip makes it, and its tokenizer."""
    import open_clip

    # No pretrained text tower: the checkpoint brings its own, or random weights are meant.
    arguments: dict[str, Any] = {"model_name": ident.arch, "pretrained_text": False}
    if ident.form == "embedded":
        from benchmarks.glyphs import ASSETS, PREPROCESS

        open_clip.add_model_config(ASSETS)
        arguments |= {
            "pretrained": str(ASSETS / "glyph.safetensors"),
            "force_preprocess_cfg": dict(PREPROCESS),
        }
    elif ident.form in ("local-dir", "hf-hub"):
        arguments["model_name"] = f"{ident.form}:{ident.source}"
    elif ident.form == "tag":
        arguments["pretrained"] = ident.source
    # Without it, open_clip goes on with random weights where a folder or repository has none.
    arguments["require_pretrained"] = ident.form not in ("random", "file")
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.CRITICAL)  # open_clip logs errors that it also raises
    try:
        seeded = randomness.seeded("random weights", 0)
        with warnings.catch_warnings(), seeded, hub.client(offline=not online):
            warnings.simplefilter("ignore")
            if ident.form == "file":
                model = _from_file(ident, arguments)
            else:
                model = open_clip.create_model(**arguments)
            if ident.form == "hf-hub":
                hub.refuse_activation_mismatch(ident)
            return model, _tokenizer(ident, arguments["model_name"])
    except UserError:
        raise
    except Exception as error:  # a file of the wrong kind raises whatever its reader raises
        line = hub.one_line(error) or type(error).__name__
        # OSError: a file of the hub that is neither in the cache nor to be fetched.
        absent = online or (isinstance(error, OSError) and bool(hub.needs(ident)))
        if absent and "size mismatch" not in str(error):
            raise hub.cannot_fetch(ident, line) from error
        raise UserError(f"Backbone '{ident.typed}' does not load: {line}") from error
    finally:
        logging.getLogger().setLevel(level)


def _from_file(ident: BackboneId, arguments: dict[str, Any]) -> Any:
    """The architecture with the weights of a file, every one of them."""
    import open_clip

    file = Path(ident.source)
    if file.suffix in (".npz", ".npy"):  # Google's own files of SigLIP
        model = open_clip.create_model(**arguments | _preprocess_of(ident, openai=False))
        open_clip.load_checkpoint(model, str(file))
        return model
    weights = weight_files.read(file)
    if weights.openai:
        refuse_activation_mismatch(ident, trained=True)
    model = open_clip.create_model(**arguments | _preprocess_of(ident, openai=weights.openai))
    weight_files.load_into(model, weights.tensors)
    return model


def _preprocess_of(ident: BackboneId, *, openai: bool) -> dict[str, Any]:
    """open_clip's argument for the transform that a file's weights were trained for.

    A file does not hold it: it is that of the published weights the file is known to be, else what
    all published weights of the architecture have in common, else (an architecture without any)
    CLIP's, which open_clip takes by itself.

    Raises:
        UserError: the architecture has published weights of several transforms.
    """
    import open_clip

    if openai:
        return {}
    if ident.published:
        arch, _, tag = ident.published.partition("/")
        tags = [tag]
    else:
        arch, tags = ident.arch, open_clip.list_pretrained_tags_by_model(ident.arch)
    keys = ("mean", "std", "interpolation", "resize_mode")
    known = [open_clip.get_pretrained_cfg(arch, tag) for tag in tags]
    found = [{key: settings[key] for key in keys} for settings in known]
    if any(other != found[0] for other in found):
        raise UserError(
            f"Backbone '{ident.typed}': published weights of {ident.arch} have several "
            "preprocessings, and a file does not say which is its own. Put it into a folder with "
            "an open_clip_config.json that does (preprocess_cfg) and use local-dir:FOLDER."
        )
    return {"force_preprocess_cfg": found[0]} if found else {}


def _tokenizer(ident: BackboneId, model_name: str) -> Any:
    if ident.form == "embedded":
        from benchmarks.glyphs import load_tokenizer

        return load_tokenizer()
    import open_clip

    return open_clip.get_tokenizer(model_name)
