"""Folders of open_clip models: their configuration and the files of their tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
        config = json.loads(file.read_text(encoding="utf-8"))
        return dict(config["model_cfg"]["text_cfg"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
