"""What open_clip knows by name: its architectures and their pretrained weights, without torch.

Importing open_clip takes seconds, for torch and its models; who plans a sweep only asks which names
there are. Architectures are files of JSON, pretrained weights a table in one of its modules.
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
"""What open_clip's table of weights imports for downloads, and does without where they are not."""


def models() -> list[str]:
    """Names of architectures; where open_clip is loaded, with those that were added to it."""
    if "open_clip" in sys.modules:
        return list(sys.modules["open_clip"].list_models())
    return sorted(file.stem for file in (_folder() / "model_configs").glob("*.json"))


def config(arch: str) -> dict[str, Any]:
    """An architecture's configuration; {} of an unknown one."""
    if "open_clip" in sys.modules:
        return dict(sys.modules["open_clip"].get_model_config(arch) or {})
    try:
        text = (_folder() / "model_configs" / f"{arch}.json").read_text(encoding="utf-8")
    except OSError:
        return {}
    found: dict[str, Any] = json.loads(text)
    return found


def tags(arch: str) -> list[str]:
    """The pretrained weights of an architecture."""
    return list(_table().list_pretrained_tags_by_model(arch))


def pretrained(arch: str, tag: str) -> Mapping[str, Any]:
    """What the table says of such weights; {} of unknown ones."""
    found: Mapping[str, Any] = _table().get_pretrained_cfg(arch, tag)
    return found


def all_pretrained() -> list[tuple[str, str]]:
    """Every architecture with every tag."""
    return list(_table().list_pretrained())


@cache
def _folder() -> Path:
    spec = find_spec("open_clip")  # does not import it
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'open_clip'")
    return Path(spec.origin).parent


@cache
def _table() -> Any:
    """open_clip's module `pretrained`: its own where that is loaded, else a copy without torch."""
    if "open_clip" in sys.modules:
        return importlib.import_module("open_clip.pretrained")
    package = types.ModuleType(_ALIAS)
    package.__path__ = [str(_folder())]  # what its relative imports are looked up in
    sys.modules[_ALIAS] = package
    with _absent(*_HEAVY):
        return importlib.import_module(f"{_ALIAS}.pretrained")


@contextmanager
def _absent(*modules: str) -> Iterator[None]:
    """Modules that are not loaded yet cannot be, for a while."""
    blocked = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in blocked:
            del sys.modules[name]
