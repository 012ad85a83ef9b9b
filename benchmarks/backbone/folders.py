"""Folders of open_clip models: their configuration and the files of their tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError
from benchmarks.input_files import MB, read_text
from benchmarks.yaml_files import load_json

CONFIG_LIMIT = 10 * MB
"""Largest configuration, in bytes."""
CONFIG_FILE = "open_clip_config.json"
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
)
"""Files that a Hugging Face tokenizer is read from."""


def weights_in(folder: Path) -> list[Path]:
    """The files of weights in a model's folder, sorted; open_clip chooses one of them."""
    return sorted(f for p in ("*.safetensors", "*.bin", "*.pth") for f in folder.glob(p))


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a Hugging Face tokenizer in a model's folder.

    None are returned if the configuration names no tokenizer: open_clip then uses CLIP's, and
    ignores any files in the folder.
    """
    if not text_config(folder / CONFIG_FILE).get("hf_tokenizer_name"):
        return []
    return sorted(f for n in _TOKENIZER_FILES for f in folder.glob(n))


def text_config(file: Path) -> dict[str, Any]:
    """The text tower's part of an open_clip_config.json; {} if it cannot be read."""
    try:
        config = load_json(read_text(file, CONFIG_LIMIT))
        return dict(config["model_cfg"]["text_cfg"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def refuse_links_out(name: str, folder: Path, files: Iterable[Path]) -> None:
    """Refuse a model's folder with files that are links to elsewhere on the disk.

    The hub's cache is one of links from `snapshots/REVISION` to `blobs`, which are allowed.

    Args:
        name: the backbone, for the message.
        folder: its folder, which may itself be a link.
        files: the files that are read.

    Raises:
        UserError: a file leads elsewhere, or is a pipe or a device.
    """
    whole = folder.resolve()
    allowed = [whole]
    if whole.parent.name == "snapshots":
        allowed.append(whole.parent.parent / "blobs")
    for file in files:
        place = file.resolve()
        if not any(place.is_relative_to(one) for one in allowed):
            raise UserError(
                f"Backbone '{name}': {file} is a link to {place}, outside the folder; copy the "
                "file there instead."
            )
        if not place.is_file():
            raise UserError(f"Backbone '{name}': {file} is not a regular file.")
