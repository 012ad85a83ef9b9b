"""Names of backbones, taken apart without loading anything.

ViT-B-16-quickgelu/openai   an open_clip architecture and one of its pretrained tags
ViT-B-16/PATH               the same with a checkpoint file
ViT-B-16/random             seeded random weights, for speed and parity checks offline
hf-hub:ORG/MODEL            an open_clip model on the Hugging Face hub
local-dir:PATH              a folder with open_clip_config.json and weights
glyph                       the embedded one (benchmarks/assets)
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import UserError, did_you_mean

EMBEDDED = "glyph"


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
    refuse_activation_mismatch(found)
    return found


def refuse_activation_mismatch(ident: BackboneId) -> None:
    """OpenAI's weights were trained with QuickGELU: with GELU they load and are silently worse.

    Raises:
        UserError: weights and architecture disagree; the line names the right architecture.
    """
    import open_clip

    trained = open_clip.get_pretrained_cfg(ident.arch, ident.source).get("quick_gelu", False)
    built = (open_clip.get_model_config(ident.arch) or {}).get("quick_gelu", False)
    right = f"{ident.arch}-quickgelu" if trained else ident.arch.removesuffix("-quickgelu")
    if bool(trained) != bool(built) and right != ident.arch:
        raise UserError(
            f"Backbone '{ident.name}': these weights were trained with "
            f"{'QuickGELU' if trained else 'GELU'}; use {right}/{ident.source}."
        )


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
