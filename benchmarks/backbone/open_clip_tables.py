"""open_clip's tables of architectures and pretrained weights, read without importing torch.

Importing open_clip takes seconds, because of torch and its models, while planning a sweep needs
only names. Architectures are JSON files in the package; pretrained weights are a table in its
module `pretrained`, which is executed under another package name with its heavy imports blocked.
"""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_ALIAS = "_open_clip_tables"
_HEAVY = ("safetensors.torch", "huggingface_hub")
"""Modules that open_clip's table of weights imports for downloads; it works without them."""


def models() -> list[str]:
    """Names of architectures; if open_clip is loaded, including those that were added to it."""
    if "open_clip" in sys.modules:
        return list(sys.modules["open_clip"].list_models())
    return sorted(file.stem for file in (_folder() / "model_configs").glob("*.json"))


def config(arch: str) -> dict[str, Any]:
    """The configuration of an architecture; {} if it is unknown."""
    if "open_clip" in sys.modules:
        return dict(sys.modules["open_clip"].get_model_config(arch) or {})
    try:
        text = (_folder() / "model_configs" / f"{arch}.json").read_text(encoding="utf-8")
    except OSError:
        return {}
    found: dict[str, Any] = json.loads(text)
    return found


def tags(arch: str) -> list[str]:
    """Tags of the pretrained weights of an architecture."""
    return list(_table().list_pretrained_tags_by_model(arch))


def pretrained(arch: str, tag: str) -> Mapping[str, Any]:
    """The table's entry for pretrained weights; {} if they are unknown."""
    found: Mapping[str, Any] = _table().get_pretrained_cfg(arch, tag)
    return found


def all_pretrained() -> list[tuple[str, str]]:
    """All pairs of an architecture and a tag."""
    return list(_table().list_pretrained())


@cache
def _folder() -> Path:
    spec = find_spec("open_clip")  # does not import it
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'open_clip'")
    return Path(spec.origin).parent


@cache
def _table() -> Any:
    """open_clip's module `pretrained` if open_clip is loaded, otherwise a copy without torch."""
    if "open_clip" in sys.modules:
        return importlib.import_module("open_clip.pretrained")
    package = types.ModuleType(_ALIAS)
    package.__path__ = [str(_folder())]  # its relative imports are resolved here
    sys.modules[_ALIAS] = package
    with _blocked(*_HEAVY):
        return importlib.import_module(f"{_ALIAS}.pretrained")


@contextmanager
def _blocked(*modules: str) -> Iterator[None]:
    """Make imports of modules fail that are not loaded yet."""
    unloaded = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(unloaded))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in unloaded:
            del sys.modules[name]
