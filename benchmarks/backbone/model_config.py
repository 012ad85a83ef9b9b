"""Checks of an `open_clip_config.json` that comes with weights, before open_clip builds from it.

open_clip passes what the file says to constructors: `tokenizer_kwargs` to Hugging Face's loader of
tokenizers, which runs code from the folder if they contain `trust_remote_code`, and sizes to
layers, which fill any memory. A model whose parameters cannot be in its weights is refused unbuilt.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.backbone import weight_files
from benchmarks.backbone.folders import CONFIG_LIMIT
from benchmarks.errors import counted
from benchmarks.input_files import MB, opened, read_text
from benchmarks.yaml_files import load_json

_TOKENIZER_ARGUMENTS = {"clean", "strip_sep_token", "language", "context_length"}
"""Arguments that open_clip's tokenizers take themselves; others go to Hugging Face's loader."""
_VOCABULARY = {"vocab_size", "eos_id", "pad_id", "bos_id"}
_LARGEST = 10_000
"""Largest number in a configuration, besides those of the vocabulary; in the published ones,
1,792."""
_LARGEST_VOCABULARY = 10_000_000
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_TIMM_NAME = re.compile(r"\w[\w.-]*")


def refuse_unsafe(file: Path, weights: Sequence[Path]) -> None:
    """Refuse a configuration that leads to code or to more parameters than there are weights.

    Args:
        file: the configuration.
        weights: the files of weights beside it.

    Raises:
        ValueError: the message names the file and the entry.
        OSError: a file cannot be read, or is a pipe or a device.
    """
    size = 0
    for one in weights:
        with opened(one) as stream:
            size = max(size, stream.seek(0, 2))
        if zipfile.is_zipfile(one):
            with zipfile.ZipFile(one) as archive:
                weight_files.refuse_bomb(archive, one.stat().st_size)
    try:
        config = load_json(read_text(file, CONFIG_LIMIT))
        model = _mapping(_mapping(config, "the file").get("model_cfg"), "model_cfg")
        vision, text = (_mapping(model.get(name), name) for name in ("vision_cfg", "text_cfg"))
        _refuse_names(vision, text)
        for name, value in _numbers(model):
            most = _LARGEST_VOCABULARY if name in _VOCABULARY else _LARGEST
            if not -most <= value <= most:
                raise ValueError(f"{name} is {value:.4g}, beyond {most:,}")
        least = _parameters(model["embed_dim"], vision, text)
    except (ValueError, KeyError, TypeError) as error:
        said = f"no entry {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{file}: {said}") from error
    if weights and least > size:
        raise ValueError(
            f"{file}: describes a model of {least / 1e6:,.0f} million parameters or more, and "
            f"{counted(len(weights), 'file')} of weights with {size / MB:,.0f} MB cannot hold them"
        )


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not a mapping")
    return value


def _refuse_names(vision: dict[str, Any], text: dict[str, Any]) -> None:
    """Refuse names that lead elsewhere than to a published model, and arguments for loaders."""
    arguments = _mapping(text.get("tokenizer_kwargs", {}), "tokenizer_kwargs")
    if other := sorted(arguments.keys() - _TOKENIZER_ARGUMENTS):
        raise ValueError(f"tokenizer_kwargs has '{other[0]}', which may run code; remove it")
    for where, key, form in (
        (text, "hf_tokenizer_name", _HUB_NAME),
        (text, "hf_model_name", _HUB_NAME),
        (vision, "timm_model_name", _TIMM_NAME),
    ):
        name = where.get(key) or "none"
        if not isinstance(name, str) or not form.fullmatch(name):
            raise ValueError(f"{key} is {name!r:.80}, not the name of a published model")


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """All numbers in a configuration, each with the key that it is under."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield from _numbers(inside, key)
    elif isinstance(value, list):
        for inside in value:
            yield from _numbers(inside, name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, value


def _parameters(embed_dim: Any, vision: dict[str, Any], text: dict[str, Any]) -> int:
    """Number of parameters that the model has at least.

    Towers of other libraries have sizes of their own, and a ResNet's are left out.
    """
    total = 0
    if not text.get("hf_model_name"):
        width = int(text.get("width", 512))
        total += 4 * int(text.get("layers", 12)) * width * width
        total += width * (int(text.get("vocab_size", 49408)) + int(text.get("context_length", 77)))
        total += width * int(embed_dim) if text.get("proj_type", "linear") == "linear" else 0
    layers = vision.get("layers", 12)
    if not vision.get("timm_model_name") and not isinstance(layers, list):
        width, side, patch = (
            _whole(vision.get(key, usual))
            for key, usual in (("width", 768), ("image_size", 224), ("patch_size", 16))
        )
        total += 4 * int(layers) * width * width + width * (side // max(patch, 1)) ** 2
    return total


def _whole(value: Any) -> int:
    """A size in pixels, which may be a pair."""
    return int(min(value) if isinstance(value, list) else value)
