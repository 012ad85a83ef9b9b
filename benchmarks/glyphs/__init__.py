"""The embedded world: glyphs drawn from a seed, their names and descriptions, their tokenizer.

Imports only numpy, torch (in `tokenizer`) and its own modules. The families glyphs and glyphscenes,
the embedded backbone and its training script build on it. Open `world` first: the classes and their
names. `draw` paints images, `ranks` and `counts` define the long tail, `scenes` and `captions` the
multi-label data set.
"""

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
"""The backbone's evaluation transform in the form of open_clip's `preprocess_cfg`."""
CONTEXT_LENGTH = 48
"""Longest token sequence of the backbone's text tower."""


def load_tokenizer() -> GlyphTokenizer:
    """The tokenizer that the shipped weights were trained with."""
    from benchmarks.glyphs.tokenizer import GlyphTokenizer  # deferred: drawing needs no torch

    words = (ASSETS / "vocabulary.txt").read_text(encoding="utf-8").split()
    return GlyphTokenizer(words, CONTEXT_LENGTH)
