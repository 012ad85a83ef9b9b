"""Names and texts that come with data: bounded, and without characters that only programs see."""

from __future__ import annotations

import re

from benchmarks.visible import one_visible_line

NAME = 300
"""Longest name of a class, in characters."""
TEXT = 10_000
"""Longest description, template or caption, in characters."""
_WORD = 300

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line separators, changes of the writing direction, halves of characters."""
_LONG_WORD = re.compile(rf"\w{{{_WORD + 1}}}")


def trouble(text: str, longest: int = NAME, *, lines: bool = False) -> str:
    """An error in a text, as the end of a sentence, or "".

    Args:
        text: a name, description, template or caption.
        longest: most characters.
        lines: True to allow line breaks and tabs.
    """
    if len(text) > longest:
        return f"has {len(text):,} characters, more than {longest:,}"
    unseen = _UNSEEN.search(re.sub(r"[\n\r\t]", " ", text) if lines else text)
    if unseen:
        return f"contains the control character U+{ord(unseen[0]):04X}"
    if _LONG_WORD.search(text):  # a tokenizer takes minutes for it
        return f"contains a word of more than {_WORD} characters"
    return ""


def shown(text: str) -> str:
    """A text as a message shows it: cut, and with its unseen characters as escapes."""
    return one_visible_line(text, 60)
