from __future__ import annotations

import unicodedata

import pytest

from benchmarks.visible import one_visible_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m\x7f\x00\r", r"\x9b31m\x7f\x00\x0d"),
        ("\x1b]8;;http://x\x07link", r"\x1b]8;;http://x\x07link"),
        ("safe\u202egpj.exe\u2066", r"safe\u202egpj.exe\u2066"),
        ("a\u2028b\udcff\U000e0041", r"a\u2028b\udcff\U000e0041"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("naïve 数据 👩‍👩‍👧 ±", "naïve 数据 👩‍👩‍👧 ±"),
    ],
)
def test_control_characters_are_shown(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


def test_every_character_that_unicode_calls_control_or_surrogate_is_shown() -> None:
    for code in range(0x110000):
        if unicodedata.category(chr(code)) in ("Cc", "Cs", "Zl", "Zp") and chr(code) not in "\n\t":
            assert visible(chr(code)).isascii(), hex(code)
            assert visible(chr(code)).isprintable(), hex(code)
    directions = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    for code in range(0x2000, 0x2100):
        if unicodedata.bidirectional(chr(code)) in directions:
            assert visible(chr(code)) == f"\\u{code:04x}"


def test_a_line_has_no_breaks_and_ends_somewhere() -> None:
    assert one_visible_line("a\nb\x0bc\r\nd\x1b") == r"a b c d\x1b"
    long = one_visible_line("start" + "x" * 10_000 + "what to do", limit=100)
    assert len(long) == 100
    assert long.startswith("start")
    assert long.endswith("what to do")
