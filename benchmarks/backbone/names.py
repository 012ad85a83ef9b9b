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
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.backbone import open_clip_tables
from benchmarks.errors import UserError, did_you_mean

EMBEDDED = "glyph"
TRANSFORMS = ("checkpoint", "lift", "lmpt")
"""Evaluation transforms; what they are stands in `transforms`."""
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
)
"""What a Hugging Face tokenizer is read from."""


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
    published: str = ""
    """Of a file that is one of open_clip's published ones, by its checksum: ARCH/TAG."""

    @property
    def typed(self) -> str:
        """The name by which it is found on this machine."""
        if self.form == "file":
            return f"{self.arch}/{self.source}"
        return f"local-dir:{self.source}" if self.form == "local-dir" else self.name


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
        return BackboneId(name, "embedded", "glyph", "", _files_id(map(_sha256, files)))
    if name.startswith("local-dir:"):
        folder = Path(name.removeprefix("local-dir:")).expanduser()
        if not (folder / "open_clip_config.json").is_file():
            raise UserError(f"Backbone '{name}': no open_clip_config.json in {folder.resolve()}.")
        weights = [f for p in ("*.safetensors", "*.bin", "*.pth") for f in folder.glob(p)]
        if not weights:
            raise UserError(
                f"Backbone '{name}': no weights (.safetensors, .bin or .pth) in {folder.resolve()}."
            )
        files = [folder / "open_clip_config.json", *sorted(weights), *tokenizer_files(folder)]
        ident = _files_id(map(_sha256, files))
        return BackboneId(
            f"local-dir:{folder.resolve().name}@{ident[:8]}", "local-dir", "", str(folder), ident
        )
    if name.startswith("hf-hub:"):
        return _on_the_hub(name)
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
        digest = _sha256(Path(weights_name))
        ident = _files_id([digest])
        shown = f"{arch}/{Path(weights_name).name}@{ident[:8]}"
        published = _published_as(digest.hex())
        found = BackboneId(shown, "file", arch, weights_name, ident, published)
        if published:
            refuse_activation_mismatch(found, trained_with_quick_gelu(published))
        return found
    tags = open_clip_tables.tags(arch)
    if weights_name not in tags:
        if "/" in weights_name or weights_name.endswith((".pt", ".pth", ".bin", ".safetensors")):
            raise UserError(f"Backbone '{name}': no file at {weights_name}.")
        raise did_you_mean(f"weights of {arch}", weights_name, [*tags, "random"])
    found = BackboneId(name, "tag", arch, weights_name, name)
    refuse_activation_mismatch(found, trained_with_quick_gelu(name))
    return found


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a Hugging Face tokenizer in a model's folder; none where none is asked for.

    Where the configuration does not name one, open_clip takes CLIP's own, whatever lies here.
    """
    if not text_config(folder / "open_clip_config.json").get("hf_tokenizer_name"):
        return []
    return sorted(f for n in TOKENIZER_FILES for f in folder.glob(n))


def text_config(file: Path) -> dict[str, Any]:
    """The text tower's part of an open_clip_config.json; {} where it cannot be read."""
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        return dict(config["model_cfg"]["text_cfg"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def trained_with_quick_gelu(published: str) -> bool:
    """What open_clip's table says of ARCH/TAG."""
    arch, _, tag = published.partition("/")
    return bool(open_clip_tables.pretrained(arch, tag).get("quick_gelu", False))


def refuse_activation_mismatch(ident: BackboneId, trained: bool) -> None:
    """Weights trained with QuickGELU (OpenAI's, and some others') load with GELU, silently worse.

    open_clip warns of it for its tags, and builds a file's model as the architecture says.

    Args:
        ident: a tag or a file.
        trained: the weights were trained with QuickGELU.

    Raises:
        UserError: weights and architecture disagree; the line names the right architecture.
    """
    built = bool(open_clip_tables.config(ident.arch).get("quick_gelu", False))
    right = f"{ident.arch}-quickgelu" if trained else ident.arch.removesuffix("-quickgelu")
    if trained == built or right == ident.arch:  # roberta-ViT-B-32 comes in one form only
        return
    known = right in _config_names()
    raise UserError(
        f"Backbone '{ident.name}': these weights were trained with "
        f"{'QuickGELU' if trained else 'GELU'}; "
        + (f"use {right}/{ident.source}." if known else f"and open_clip has no {right}.")
    )


def _on_the_hub(name: str) -> BackboneId:
    """An `hf-hub:` name; its weights are those of the revision in the cache, where one is there."""
    if re.fullmatch(r"hf-hub:[\w.-]+/[\w.-]+@[\w./-]+", name):
        repository, _, revision = name.removeprefix("hf-hub:").partition("@")
        raise UserError(
            f"Backbone '{name}': open_clip loads the main revision only. For another one: "
            f"hf download {repository} --revision {revision} --local-dir FOLDER, then "
            "local-dir:FOLDER."
        )
    if not re.fullmatch(r"hf-hub:[\w.-]+/[\w.-]+", name):
        raise UserError(f"Backbone '{name}': write hf-hub:ORG/MODEL.")
    from benchmarks.backbone import hub

    found = BackboneId(name, "hf-hub", "", name.removeprefix("hf-hub:"), name)
    revision = hub.cached_revision(found)
    return replace(found, weights_id=f"{name}@{revision}") if revision else found


def _published_as(sha256: str) -> str:
    """ARCH/TAG of the published file with this checksum, or "".

    The addresses in open_clip's table say it of some: OpenAI's hold the whole checksum, those on
    GitHub end in its first eight digits.
    """
    for arch, tag in open_clip_tables.all_pretrained():
        url = str(open_clip_tables.pretrained(arch, tag).get("url", ""))
        known = ""
        if "openaipublic" in url:
            known = url.split("/")[-2]
        elif "mlfoundations" in url:
            known = Path(url).stem.rpartition("-")[2]
        if known and sha256.startswith(known):
            return f"{arch}/{tag}"
    return ""


def _sha256(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _files_id(digests: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16]


def _config_names() -> list[str]:
    """Architectures open_clip knows."""
    return [n for n in open_clip_tables.models() if n != EMBEDDED]
