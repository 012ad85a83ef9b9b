"""Vision-language backbones: open_clip models by 'ARCH/WEIGHTS', and the embedded 'glyph' one.

Forms of a name:
    ViT-B-16-quickgelu/openai   an open_clip architecture and one of its pretrained tags
    ViT-B-16/PATH               the same with a checkpoint file
    ViT-B-16/random             seeded random weights, for speed and parity checks offline
    hf-hub:ORG/MODEL            an open_clip model on the Hugging Face hub
    local-dir:PATH              a folder with open_clip_config.json and weights
    glyph                       the embedded one (benchmarks/assets)
"""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import re
import ssl
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
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
from benchmarks.errors import DataMissing, UserError, did_you_mean

EMBEDDED = "glyph"
OFFLINE_HINT = (
    "offline, use --backbone glyph (embedded) or ARCH/random (for speed and plumbing only)"
)


@dataclass(frozen=True)
class BackboneId:
    """A backbone's name split into its parts; made without loading anything."""

    name: str
    """As records and tables show it: no paths, a content hash for files."""
    form: str
    """embedded, random, tag, file, hf-hub or local-dir."""
    arch: str
    source: str
    """Tag, path or hub name."""
    weights_id: str


def identify(name: str) -> BackboneId:
    """Parse a backbone's name.

    Raises:
        UserError: unknown architecture or tag, or a path that is not there.
    """
    if name == EMBEDDED:
        from benchmarks.glyphs import ASSETS

        # The tokenizer is part of what the text features are made with.
        files = [ASSETS / n for n in ("glyph.safetensors", "glyph.json", "vocabulary.txt")]
        if missing := [file for file in files if not file.is_file()]:
            raise UserError(
                f"Backbone 'glyph': no file {missing[0]}; `make weights` makes it anew."
            )
        return BackboneId(name, "embedded", "glyph", "", _file_id(*files))
    if name.startswith("local-dir:"):
        folder = Path(name.removeprefix("local-dir:")).expanduser()
        if not (folder / "open_clip_config.json").is_file():
            raise UserError(f"Backbone '{name}': no open_clip_config.json in {folder.resolve()}.")
        weights = [f for p in ("*.safetensors", "*.bin", "*.pth") for f in folder.glob(p)]
        if not weights:
            raise UserError(
                f"Backbone '{name}': no weights (.safetensors, .bin or .pth) in {folder.resolve()}."
            )
        ident = _file_id(folder / "open_clip_config.json", *sorted(weights))
        return BackboneId(
            f"local-dir:{folder.resolve().name}@{ident[:8]}", "local-dir", "", str(folder), ident
        )
    if name.startswith("hf-hub:"):
        if not re.fullmatch(r"hf-hub:[\w.-]+/[\w.-]+(@[\w./-]+)?", name):
            raise UserError(f"Backbone '{name}': write hf-hub:ORG/MODEL.")
        return BackboneId(name, "hf-hub", "", name.removeprefix("hf-hub:"), name)
    arch, slash, weights_name = name.partition("/")
    if arch == EMBEDDED:
        raise UserError(f"Backbone '{name}': the embedded one has one set of weights; write glyph.")
    configs = _config_names()
    if arch not in configs:
        raise did_you_mean("backbone", name if not slash else arch, [*configs, EMBEDDED])
    if not weights_name:
        raise UserError(
            f"Backbone '{name}' names no weights: write {arch}/TAG, {arch}/random or {arch}/FILE."
        )
    if weights_name == "random":
        return BackboneId(name, "random", arch, "random", f"{arch}/random-seed0")
    if Path(weights_name).is_file():
        ident = _file_id(Path(weights_name))
        shown = f"{arch}/{Path(weights_name).name}@{ident[:8]}"
        return BackboneId(shown, "file", arch, weights_name, ident)
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(arch)
    if weights_name not in tags:
        if "/" in weights_name or weights_name.endswith((".pt", ".pth", ".bin", ".safetensors")):
            raise UserError(f"Backbone '{name}': no file at {weights_name}.")
        raise did_you_mean(f"weights of {arch}", weights_name, [*tags, "random"])
    found = BackboneId(name, "tag", arch, weights_name, name)
    _refuse_activation_mismatch(found)
    return found


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
    reason = "--offline" if offline else _no_network(ident)
    if reason:
        _require_cached(ident, reason)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.CRITICAL)  # open_clip logs errors that it also raises
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), _hub(bool(reason)):
            warnings.simplefilter("ignore")
            torch.manual_seed(randomness.key("random weights", 0))
            model = open_clip.create_model(**arguments)
            tokenizer = _tokenizer(ident, arguments["model_name"])
    except Exception as error:  # a file of the wrong kind raises whatever its reader raises
        if ident.form in ("tag", "hf-hub") and "size mismatch" not in str(error):
            raise _cannot_fetch(ident, _one_line(error)) from error
        line = _one_line(error) or type(error).__name__
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


def _refuse_activation_mismatch(ident: BackboneId) -> None:
    """OpenAI's weights were trained with QuickGELU: with GELU they load and are silently worse."""
    import open_clip

    trained = open_clip.get_pretrained_cfg(ident.arch, ident.source).get("quick_gelu", False)
    built = (open_clip.get_model_config(ident.arch) or {}).get("quick_gelu", False)
    right = f"{ident.arch}-quickgelu" if trained else ident.arch.removesuffix("-quickgelu")
    if bool(trained) != bool(built) and right != ident.arch:
        raise UserError(
            f"Backbone '{ident.name}': these weights were trained with "
            f"{'QuickGELU' if trained else 'GELU'}; use {right}/{ident.source}."
        )


def _hub_location(ident: BackboneId) -> tuple[str, str]:
    """Repository on the Hugging Face hub and file in it ("": the usual names); ("", "") if none."""
    import open_clip

    if ident.form == "hf-hub":
        return ident.source.partition("@")[0], ""
    if ident.form == "tag":
        settings = open_clip.get_pretrained_cfg(ident.arch, ident.source)
        repository, _, file = str(settings.get("hf_hub", "")).rpartition("/")
        return repository, file
    return "", ""


def _no_network(ident: BackboneId) -> str:
    """Why the hub that holds these weights cannot be reached, or "".

    It is asked once: its own client would try file after file for most of a minute.
    """
    from huggingface_hub import constants

    if not _hub_location(ident)[0]:
        return ""
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError:
        return ""  # it answers
    except urllib.error.URLError as error:
        # The hub's client has certificates of its own.
        return "" if isinstance(error.reason, ssl.SSLError) else f"no network: {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        return f"no network: {error}"
    return ""


@contextmanager
def _hub(offline: bool) -> Iterator[None]:
    """Have the hub's client take what is in its cache without asking, if `offline`."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _require_cached(ident: BackboneId, reason: str) -> None:
    """Fail at once for weights that only the network could bring."""
    import open_clip
    from huggingface_hub import try_to_load_from_cache

    if ident.form not in ("tag", "hf-hub"):
        return
    repository, file = _hub_location(ident)
    if repository:
        files = [file] if file else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
        if any(isinstance(try_to_load_from_cache(repository, f), str) for f in files):
            return
    else:
        url = str(open_clip.get_pretrained_cfg(ident.arch, ident.source).get("url", ""))
        if (Path.home() / ".cache" / "clip" / Path(url).name).is_file():
            return
    raise _cannot_fetch(ident, reason)


def _cannot_fetch(ident: BackboneId, reason: str) -> DataMissing:
    by_hand = (
        f"or point to a checkpoint file with --backbone {ident.arch}/FILE"
        if ident.arch
        else "or point to a folder with --backbone local-dir:FOLDER"
    )
    return DataMissing(
        f"The weights of '{ident.name}' are not on this machine and were not fetched ({reason}). "
        f"Where there is a network: python run_benchmarks.py download {ident.name}; "
        f"{by_hand}; {OFFLINE_HINT}."
    )


def _one_line(error: Exception, limit: int = 160) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _file_id(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def _config_names() -> list[str]:
    """Architectures open_clip knows, read from its folder of configurations."""
    import open_clip

    return [n for n in open_clip.list_models() if n != EMBEDDED]
