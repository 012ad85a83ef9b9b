"""Captions of pre-training scenes: names, descriptions or both, some vague, some with chatter.

A few descriptions follow a name that nobody has met before (spelt in bytes, since no vocabulary
holds it), so that the text tower learns to read on when a name tells it nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.glyphs import world
from benchmarks.glyphs.stream import Source

NAME, DESCRIPTION, BOTH, VAGUE = range(4)
"""What a caption says of a glyph."""

_FRAMES = (
    "{}",
    "{}.",
    "a photo of {}.",
    "a picture of {}.",
    "an image of {}.",
    "a drawing of {}.",
    "this is {}.",
    "a photo of {}",
    "a picture of {}",
    "an image of {}",
    "the picture shows {}.",
    "there is {} in the picture.",
    "a scene with {}.",
    "we see {}.",
    "a small image of {}.",
    "a blurry photo of {}.",
)
_CHATTER = (
    "on a quiet morning",
    "taken by a friend",
    "from an old book",
    "near the window",
    "found in a box",
    "for the children",
    "at the end of the day",
    "with a story to tell",
)
_VAGUE = (
    "a {shape}",
    "a {colour} {shape}",
    "a {texture} {shape}",
    "something {colour}",
    "something {texture}",
    "a {colour} and {texture} thing",
)
_EXTRA = (
    "one some object type kind class called named shape colour texture pattern also it its has "
    "have which photograph small large bright dark very"
)
"""Words that prompts may use; they turn up in a few captions so that no embedding stays raw."""


def caption(source: Source, scene: Sequence[tuple[int, int]]) -> str:
    """A caption for a scene of (combination, what to say of it)."""
    said = [_phrase(source, number, what) for number, what in scene]
    body = said[0] if len(said) == 1 else ", ".join(said[:-1]) + " and " + said[-1]
    if source.below(12) == 0:
        body += " " + _choose(source, _CHATTER)
    if source.below(40) == 0:
        body += ", " + _choose(source, _EXTRA.split()) + " " + _choose(source, _EXTRA.split())
    text = _choose(source, _FRAMES).format(body)
    return text[0].upper() + text[1:] if source.below(16) == 0 else text


def _phrase(source: Source, number: int, what: int) -> str:
    form = source.below(world.forms())
    if what == DESCRIPTION:
        sentence = world.describe(number, form)
        return f"{world.invent(source)}, {sentence}" if source.below(20) == 0 else sentence
    if what == VAGUE:
        return world.fill(_choose(source, _VAGUE), number)
    name = world.names()[number]
    name = f"a {name}" if source.below(3) == 0 else name
    return name if what == NAME else f"{name}, {world.describe(number, form)}"


def _choose(source: Source, options: Sequence[str]) -> str:
    return options[source.below(len(options))]


def vocabulary() -> list[str]:
    """Every word that a caption, template, name or description can hold, sorted."""
    texts = [*_FRAMES, *_CHATTER, *_EXTRA.split(), *world.TEMPLATES, "something thing"]
    texts += [world.describe(n, f) for n in range(world.COMBINATIONS) for f in range(world.forms())]
    texts += world.names().values()
    letters = "".join(c if c.isalpha() else " " for c in " ".join(texts))
    return sorted(set(letters.split()))
