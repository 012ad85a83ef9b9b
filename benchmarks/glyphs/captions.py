"""Captions of scenes: names, descriptions or both, some of them vague or with irrelevant words.

In pre-training, a few descriptions follow an invented name (spelt in bytes, because it is not in
the vocabulary), so that the text tower learns to use the description of an unknown name.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.glyphs import world
from benchmarks.glyphs.stream import Source

NAME, DESCRIPTION, BOTH, VAGUE = range(4)
"""Contents of a caption for one glyph."""

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
"""Words that prompts may use; a few captions contain them, so that all embeddings are trained."""


def caption(source: Source, scene: Sequence[tuple[int, int]]) -> str:
    """A caption for a pre-training scene of (combination, what to say about it)."""
    body = _listed([_phrase(source, number, what) for number, what in scene])
    if source.below(12) == 0:
        body += " " + _choose(source, _CHATTER)
    if source.below(40) == 0:
        body += ", " + _choose(source, _EXTRA.split()) + " " + _choose(source, _EXTRA.split())
    text = _choose(source, _FRAMES).format(body)
    return text[0].upper() + text[1:] if source.below(16) == 0 else text


def of_scene(source: Source, numbers: Sequence[int], noise: float) -> str:
    """The caption of a benchmark scene: name, description or both of each combination in it.

    With probability `noise`, 0 to 1, and independently of each other, it omits one of several
    glyphs, adds irrelevant words, and drops attributes of each glyph. Everything else in a caption
    is the same at any noise.
    """
    million = 1_000_000
    unlucky = [source.below(million) < noise * million for _ in range(len(numbers) + 2)]
    left_out, chatter = source.below(len(numbers)), " " + _choose(source, _CHATTER)
    said = []
    for number, drops_attributes in zip(numbers, unlucky[2:], strict=True):
        what = (NAME, DESCRIPTION, BOTH)[source.below(3)]
        clear = _phrase(source, number, what, invented_names=False)
        vague = _phrase(source, number, VAGUE)
        said.append(vague if drops_attributes else clear)
    if unlucky[0] and len(said) > 1:
        del said[left_out]
    return _choose(source, _FRAMES).format(_listed(said) + chatter * unlucky[1])


def _listed(said: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return said[0] if len(said) == 1 else ", ".join(said[:-1]) + " and " + said[-1]


def _phrase(source: Source, number: int, what: int, *, invented_names: bool = True) -> str:
    form = source.below(world.forms())
    if what == DESCRIPTION:
        is_invented = invented_names and source.below(20) == 0
        sentence = world.describe(number, form)
        return f"{world.invent(source)}, {sentence}" if is_invented else sentence
    if what == VAGUE:
        return world.fill(_choose(source, _VAGUE), number)
    name = world.names()[number]
    name = f"a {name}" if source.below(3) == 0 else name
    return name if what == NAME else f"{name}, {world.describe(number, form)}"


def _choose(source: Source, options: Sequence[str]) -> str:
    return options[source.below(len(options))]


def vocabulary() -> list[str]:
    """All words that a caption, template, name or description can contain, sorted."""
    texts = [*_FRAMES, *_CHATTER, *_EXTRA.split(), *world.TEMPLATES, "something thing"]
    texts += [world.describe(n, f) for n in range(world.COMBINATIONS) for f in range(world.forms())]
    texts += world.names().values()
    letters = "".join(c if c.isalpha() else " " for c in " ".join(texts))
    return sorted(set(letters.split()))
