"""Widths of texts in points, as Computer Modern prints them.

They decide how many columns go beside each other and how many rows on a page. LaTeX itself breaks
the lines, so a document in another font fits as long as that is not much wider; Times is narrower.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font, LoadFlags

from reports.latex.text import line_of, parts, printed

NORMAL, NOTES, TABLE, SMALL = 10.0, 7.0, 8.0, 7.0
"""Sizes in points of a caption, of notes, of a table and of what is small in it: those of
`\\normalsize`, `\\scriptsize` and `\\footnotesize` in an article of ten points."""
INDENT = 8.0
"""Points by which the second line of a label begins further right."""
LEADING = {10.0: 12.0, 8.0: 9.5, 7.0: 8.0}
"""Distance of lines by size."""
_DESIGN = 10.0
_WIDER = {10.0: 1.0, 8.0: 1.063, 7.0: 1.14}
"""Small sizes of the font are wider than a scaled one."""
_UNKNOWN = 0.8
"""Width in em of a character outside the font."""


def width(text: str, size: float) -> float:
    """The width of a text on one line."""
    return sum(map(_em, line_of(text))) * size * _WIDER[size]


def lines(text: str, size: float, room: float) -> int:
    """Number of lines of a text in a paragraph that is `room` points wide; a careful guess."""
    # Lines end ragged: about a tenth is lost in long lines, and a word or more in short ones.
    return max(1, -(-int(width(text, size) + 0.5) // int(max(0.92 * room - 1.5 * size, 4 * size))))


def label_lines(label: str, size: float, room: float) -> int:
    """Number of lines of a label, of which all but the first begin at INDENT."""
    number, used = 1, 0.0
    for part in parts(label):
        own = width(part, size)
        if used and used + own > room + 0.3 * size:  # a space at the end takes no room
            number, used = number + 1, INDENT
        used += own
    return number


def widest(texts: Sequence[str], size: float) -> float:
    """The largest width of several texts; 0 for none."""
    return max((width(text, size) for text in texts), default=0.0)


@cache
def _em(character: str) -> float:
    if len(shown := printed(character)) > 1:
        return sum(map(_em, shown))
    font = _font()
    if not font.get_char_index(ord(character)):
        return _UNKNOWN
    glyph = font.load_char(ord(character), flags=LoadFlags.NO_HINTING)
    return float(glyph.linearHoriAdvance) / 65536 / _DESIGN


@cache
def _font() -> FT2Font:
    font = FT2Font(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "cmr10.ttf")))
    font.set_size(_DESIGN, 72)
    return font
