"""The embedded world: 600 combinations of shape, colour and texture, 300 of them with a name.

Names, descriptions and the training frequency of each name are fixed here, because the shipped
weights were trained on them. The classes of a benchmark, their order and their images are defined
in `benchmarks.datasets.families.glyphs`.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.glyphs.stream import Source

SHAPES = (
    "circle",
    "square",
    "triangle",
    "diamond",
    "star",
    "cross",
    "heart",
    "crescent",
    "arrow",
    "hourglass",
    "chevron",
    "bolt",
)
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "brown", "white")
TEXTURES = ("plain", "striped", "dotted", "checkered", "hollow")
_MARKS = ("no pattern", "stripes", "dots", "checks", "an empty inside")
COMBINATIONS = len(SHAPES) * len(COLOURS) * len(TEXTURES)

TEMPLATES = (
    "a photo of {}.",
    "a picture of {}.",
    "an image of {}.",
    "a drawing of {}.",
    "this is {}.",
)
"""The prompt ensemble; `{}` takes a name, a description, or "name, description"."""

_SENTENCES = (
    "a {colour} {texture} {shape}",
    "a {texture} {shape} in {colour}",
    "a {colour} {shape} with {mark}",
    "a {shape} that is {colour} and {texture}",
    "a {texture} {colour} {shape}",
)
_ONSETS = (*"bdfgklmnprstvz", "br", "dr", "gl", "kr", "pl", "tr")
_VOWELS = tuple("aeiou")
_CODAS = ("", "", "", "n", "r", "l", "s")


def combination(shape: int, colour: int, texture: int) -> int:
    """Number of a combination, 0–599."""
    return (shape * len(COLOURS) + colour) * len(TEXTURES) + texture


def attributes(number: int) -> tuple[int, int, int]:
    """Shape, colour and texture of a combination."""
    return number // 50, number // 5 % 10, number % 5


@cache
def covered() -> NDArray[np.int64]:
    """The 150 combinations whose names are frequent in pre-training, most frequent first."""
    return _shuffled(0, "covered")


@cache
def hardly_trained() -> NDArray[np.int64]:
    """The 150 combinations whose names occur only a few times in all of pre-training."""
    return _shuffled(1, "hardly trained")


def _shuffled(residue: int, tag: str) -> NDArray[np.int64]:
    # A quarter of the combinations, balanced over colours and textures, and over shapes up to one.
    chosen = [n for n in range(COMBINATIONS) if sum(attributes(n)) % 4 == residue]
    return np.array(chosen, dtype=np.int64)[Source("glyphs", tag).permutation(len(chosen))]


@cache
def names() -> dict[int, str]:
    """Name of each of the 300 named combinations."""
    source = Source("glyphs", "names")
    found: list[str] = []
    while len(found) < len(covered()) + len(hardly_trained()):
        name = invent(source)
        if name not in found:
            found.append(name)
    return dict(zip((int(n) for n in (*covered(), *hardly_trained())), found, strict=True))


def invent(source: Source) -> str:
    """A pronounceable, meaningless word of three syllables."""
    syllables = [_pick(source, _ONSETS) + _pick(source, _VOWELS) for _ in range(3)]
    return "".join(syllables) + _pick(source, _CODAS)


def _pick(source: Source, options: tuple[str, ...]) -> str:
    return options[source.below(len(options))]


def describe(number: int, form: int) -> str:
    """Describe a combination with one of `forms()` sentence forms; never contains its name."""
    return fill(_SENTENCES[form], number)


def fill(sentence: str, number: int) -> str:
    """`sentence` with {shape}, {colour}, {texture} and {mark} replaced by a combination's words."""
    shape, colour, texture = attributes(number)
    text = sentence.format(
        shape=SHAPES[shape],
        colour=COLOURS[colour],
        texture=TEXTURES[texture],
        mark=_MARKS[texture],
    )
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def forms() -> int:
    """Number of sentence forms that `describe` knows."""
    return len(_SENTENCES)


@cache
def description(number: int) -> str:
    """The description of a class: one sentence, whose form is drawn once for each combination."""
    return describe(number, Source("glyphs", "sentence", number).below(forms()))
