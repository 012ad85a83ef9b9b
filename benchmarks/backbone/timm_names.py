"""Names of timm's models and of their pretrained weights, read without importing torch.

Importing timm takes seconds, because of torch, while planning a sweep needs only names. A model is
a decorated function in one of timm's source files, and the names of its weights are keys of a table
beside it. Some tables are computed; only a name that is not found as text makes timm be imported.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_MODEL = re.compile(r"@register_model\s*\ndef (\w+)\(")
_WEIGHTS = re.compile(r"""['"](\w+)\.(\w+)\*?['"]: ?\w*\(""")


def models() -> frozenset[str]:
    """Names of all architectures, such as vit_base_patch16_224."""
    return _scanned()[0]


def tags(arch: str) -> list[str]:
    """Names of the pretrained weights of an architecture, such as augreg_in21k, sorted.

    They are complete, also where a table of timm is computed.
    """
    import timm

    names = timm.list_pretrained(f"{arch}.*")
    return sorted(tag for name in names for found, _, tag in [name.partition(".")] if found == arch)


def has_weights(arch: str, tag: str) -> bool:
    """True if timm names such weights; for a few of these names it publishes none."""
    return (arch, tag) in _scanned()[1] or tag in tags(arch)


@cache
def _scanned() -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """Architectures, and pairs of an architecture and a tag, in timm's source files."""
    spec = find_spec("timm")  # does not import it
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'timm'")
    texts = [
        file.read_text(encoding="utf-8")
        for file in sorted((Path(spec.origin).parent / "models").glob("*.py"))
    ]
    return (
        frozenset(name for text in texts for name in _MODEL.findall(text)),
        frozenset(pair for text in texts for pair in _WEIGHTS.findall(text)),
    )
