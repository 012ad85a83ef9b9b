"""Text without the characters that a terminal obeys instead of printing."""

from __future__ import annotations

import re

_OBEYED = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # change the direction of text
    "\u2028\u2029\ufff9-\ufffb\U000e0000-\U000e007f"  # line breaks, annotations, unseen tags
    "\ud800-\udfff"  # half characters, which no encoding can write
    "]"
)


def visible(text: str) -> str:
    r"""`text` with control characters as escapes: `\x1b`, `\u202e`; tabs and line feeds stay."""
    return text if text.isascii() and text.isprintable() else _OBEYED.sub(_escape, text)


def one_visible_line(text: str, limit: int = 2000) -> str:
    """`text` on one line, without control characters, its middle left out if it is very long.

    Args:
        text: any text.
        limit: largest number of characters; three quarters of them are from the beginning.
    """
    line = visible(" ".join(text.splitlines()))
    if len(line) <= limit:
        return line
    return f"{line[: limit * 3 // 4]} … {line[-(limit // 4 - 3) :]}"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )
