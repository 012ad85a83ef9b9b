"""Looks of rows: a colour, dashes and a marker for each name, the same in every report.

The methods of the suite have looks of their own: no two share colour and marker, and those that
share a colour differ in dashes and marker. Other methods, and
further variants of a method, begin with a look that follows from the name alone and take the next
one if a row of the same report has it already. Rows differ in lightness, dashes and markers as well
as in hue, because figures are printed in grey, too.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import NamedTuple

Dashes = tuple[float, tuple[float, ...]]


class Look(NamedTuple):
    """Appearance of a row in all figures."""

    colour: str
    dashes: Dashes
    marker: str
    filled: bool
    """Markers that are not filled are white inside."""

    @property
    def face(self) -> str:
        """Colour inside the marker."""
        return self.colour if self.filled else "white"


GREY = Look("#b4b4b4", (0.0, ()), "o", True)
"""Rows that are drawn as the background of others; no row has it as its own."""

_COLOURS = (
    "#000000", "#d55e00", "#0060a8", "#7a1e1e", "#3fa34d", "#56b4e9", "#c2337f", "#f09cc0",
    "#5b3a98", "#e0a800", "#17807e", "#a8692b", "#d3a27f", "#9bbf2e", "#9d8fe0", "#0b3d5c",
    "#f47c6c", "#4d6b1f", "#8fd0c8", "#8a0f5c",
)  # fmt: skip
_DASHES: Sequence[Dashes] = tuple(
    (0.0, dashes)
    for dashes in ((), (5.0, 1.5), (1.2, 1.2), (6.0, 1.5, 1.2, 1.5), (3.0, 1.2),
                   (6.0, 1.2, 1.2, 1.2, 1.2, 1.2))
)  # fmt: skip
_MARKERS = tuple((shape, filled) for filled in (True, False) for shape in "os^vDP<X>*d")

_OF_THE_SUITE = {
    # method: place in the colours, the dashes and the markers
    "zero_shot": (0, 0, 0), "sage": (1, 0, 1), "lift": (2, 1, 2), "full_finetune": (3, 3, 3),
    "lmpt": (4, 2, 4), "coop": (5, 0, 5), "crt": (6, 4, 7), "lws": (7, 1, 6),
    "logit_adjustment": (8, 5, 8), "prototype": (9, 0, 9), "linear_probe": (10, 4, 11),
    "tip_adapter": (11, 2, 12), "clip_adapter": (12, 3, 13), "tau_norm": (13, 1, 15),
    "ncm": (14, 0, 14), "lift_plus": (15, 1, 10), "clip_lora": (16, 0, 16), "gla": (17, 2, 17),
    "lt_soups": (18, 3, 18), "taskres": (19, 0, 19), "hgltr": (2, 4, 20), "clap": (6, 1, 21),
    "lp_plus_plus": (1, 2, 12), "ss_text": (14, 3, 2),
}  # fmt: skip

Name = tuple[str, str]
"""Method and label of a row."""


def assign(names: Iterable[Name]) -> Mapping[Name, Look]:
    """A look for each row of a report: different for all, if there are no more than 440.

    The look of a method belongs to the row that has no other name, or to the first by label.

    Args:
        names: the rows of all tables, in any order; those of equal names share a look.
    """
    rows = set(names)
    first: dict[str, Name] = {}
    for name in sorted(rows, key=lambda name: (name[0], name[1] != name[0], name[1])):
        first.setdefault(name[0], name)
    own = [first[method] for method in _OF_THE_SUITE if method in first]
    others = [name for method, name in sorted(first.items()) if method not in _OF_THE_SUITE]
    variants = sorted(rows - set(first.values()))
    found: dict[Name, tuple[int, int, int]] = {name: _OF_THE_SUITE[name[0]] for name in own}
    # Looks of the suite come last whether or not their methods are there, so that a plug-in looks
    # the same beside any of them.
    colours = Counter(look[0] for look in _OF_THE_SUITE.values())
    markers = Counter(look[2] for look in _OF_THE_SUITE.values())
    pairs = {(look[0], look[2]) for look in _OF_THE_SUITE.values()}
    # A method's own look follows from its name alone, those of its other rows from their labels.
    texts = [(name, name[0]) for name in others] + [(name, name[1]) for name in variants]
    for name, text in texts:
        free_colours = sorted(_preferred(text, len(_COLOURS)), key=colours.__getitem__)
        free_markers = sorted(_preferred(text, len(_MARKERS)), key=markers.__getitem__)
        if len(pairs) == len(_COLOURS) * len(_MARKERS):
            pairs.clear()
        colour, marker = next(p for p in product(free_colours, free_markers) if p not in pairs)
        found[name] = colour, _preferred(text, len(_DASHES))[0], marker
        colours[colour] += 1
        markers[marker] += 1
        pairs.add((colour, marker))
    return {name: Look(_COLOURS[c], _DASHES[d], *_MARKERS[m]) for name, (c, d, m) in found.items()}


def _preferred(text: str, number: int) -> list[int]:
    """The places 0 to `number` - 1 in an order that follows from a text."""

    def key(place: int) -> bytes:
        return hashlib.sha256(f"{text}\n{number}\n{place}".encode(errors="replace")).digest()

    return sorted(range(number), key=key)
