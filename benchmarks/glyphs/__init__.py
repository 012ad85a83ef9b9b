"""The embedded world: glyphs drawn from a seed, their names and descriptions, their tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.glyphs.tokenizer import GlyphTokenizer

ASSETS = Path(__file__).parents[1] / "assets"
"""Folder of the backbone's open_clip config (`glyph.json`), weights and vocabulary."""
PREPROCESS = {
    "size": 32,
    "mean": (0.45, 0.45, 0.45),
    "std": (0.25, 0.25, 0.25),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
"""The backbone's evaluation transform, as open_clip's `preprocess_cfg` writes it."""
CONTEXT_LENGTH = 48
"""Longest token sequence of the backbone's text tower."""


def load_tokenizer() -> GlyphTokenizer:
    """The tokenizer that the shipped weights were trained with."""
    from benchmarks.glyphs.tokenizer import GlyphTokenizer  # here, so that drawing needs no torch

    words = (ASSETS / "vocabulary.txt").read_text(encoding="utf-8").split()
    return GlyphTokenizer(words, CONTEXT_LENGTH)
