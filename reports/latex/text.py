"""Text escaped for LaTeX."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from benchmarks.visible import visible

LONGEST = 160
"""Characters of a word; of a longer one the middle is left out."""
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "&": r"\&", "%": r"\%",
    "#": r"\#", "$": r"\$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    # babel gives a straight quotation mark another meaning in German, Dutch and others.
    '"': r"\char34{}", "±": r"$\pm$", "×": r"$\times$", "–": "--", "—": "---", "†": r"$\dagger$",
    "‡": r"$\ddagger$", "…": r"\ldots{}", "≤": r"$\leq$", "≥": r"$\geq$", "≈": r"$\approx$",
    "≠": r"$\neq$", "→": r"$\to$", "←": r"$\leftarrow$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
    "−": "$-$", "·": r"$\cdot$", "∞": r"$\infty$", "√": r"$\surd$", "°": r"$^\circ$",
    "‘": "`", "’": "'", "“": "``", "”": "''", "«": r"\textless{}\textless{}",
    "»": r"\textgreater{}\textgreater{}", "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}",
    "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}",
    "ı": r"\i{}", "ς": r"$\varsigma$", "ϕ": r"$\phi$", "λ": r"$\lambda$",
    "Λ": r"$\Lambda$", "µ": r"$\mu$",
}  # fmt: skip
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u",
    "\u0307": ".", "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d",
    "\u0327": "c", "\u0331": "b",
}  # fmt: skip
"""Combining characters and LaTeX's accents, those that need no other font encoding."""
_LATIN_CAPITALS = {
    "ALPHA": "A", "BETA": "B", "EPSILON": "E", "ZETA": "Z", "ETA": "H", "IOTA": "I", "KAPPA": "K",
    "MU": "M", "NU": "N", "OMICRON": "O", "RHO": "P", "TAU": "T", "CHI": "X",
}  # fmt: skip
"""Greek capitals that LaTeX has no command for, because they look like Latin ones."""
_JOINED = frozenset("-'`,")
"""Characters that TeX joins to another one if they follow each other, such as `--` to a dash."""
BREAK = r"\penalty200{}"
_SIGNS = frozenset("†‡")
"""Signs that stay on the line of what is before them."""
_BREAK_AFTER = frozenset("_=,/.:;@+|&)-")
_LONG, _RUN = 20, 12
"""A line may break within a word of more than _LONG characters, after each _RUN of them."""


def escape_latex(text: str) -> str:
    """`text` on one line, escaped, in ASCII: an error message may contain any character.

    A bracket or an asterisk at its beginning is in a group: behind a line break or a rule of a
    table, LaTeX would take it for an argument. A character that pdfLaTeX cannot print without
    further packages is printed as its code, `<U+6570>`.
    """
    return "".join(_pieces(text))


def breakable(text: str) -> str:
    """`text` as by `escape_latex`, with places where a line may break within long words.

    A name such as `logit_adjustment(mode=posthoc)` has no space, so it would stick out of a narrow
    column. Spaces are preferred.
    """
    written, start = "", 0
    pieces = list(_pieces(text))
    for part in parts(text):
        written += BREAK if written and not written.endswith(" ") else ""
        written += "".join(pieces[start : start + len(part)])
        start += len(part)
    return written


def parts(text: str) -> list[str]:
    """The parts of `text` between which a line may break."""
    found, line = [""], line_of(text)
    room = 0
    for i, (character, after) in enumerate(zip(line, f"{line[1:]} ", strict=False)):
        if i == 0 or line[i - 1] == " ":
            long = len(line[i:].partition(" ")[0]) > _LONG
            room = _RUN if long else _LONG
        found[-1] += character
        room -= len(printed(character))
        in_a_number = character in ".," and not after.isalpha()
        at_a_sign = character in _BREAK_AFTER and after.isalnum() and not in_a_number
        full = room <= 0 and (after.isalnum() or room < -_RUN)
        space = character == " " and after not in _SIGNS
        if space or (" " not in (character, after) and (at_a_sign or full)):
            found.append("")
            room = _RUN
    return [part for part in found if part]


def line_of(text: str) -> str:
    """The characters of `text` that are printed: on one line, and of a long word the two ends."""
    return unicodedata.normalize("NFC", " ".join(map(_both_ends, visible(text).split())))


def shortened(label: str) -> str:
    """A label that is not much longer than LONGEST: of a longer one the two ends."""
    return _both_ends(" ".join(label.split()))


def _both_ends(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def printed(character: str) -> str:
    """About the ASCII characters that take as much room as this character does in print."""
    return f"<{_code(character)}>" if _latex(character) == _coded(character) else character


def _pieces(text: str) -> Iterator[str]:
    """The LaTeX of each character."""
    before, line = "", line_of(text)
    for character, after in zip(line, f"{line[1:]} ", strict=False):
        piece = "~" if character == " " and after in _SIGNS else _latex(character)
        if not before and piece in ("[", "*"):
            piece = f"{{{piece}}}"
        elif character == before and character in _JOINED:
            piece = f"{{}}{piece}"
        yield piece
        before = character


def _latex(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    if character.isascii() and character.isprintable():
        return character
    return _accented(character) or _greek(character) or _alike(character) or _coded(character)


def _accented(character: str) -> str:
    """A letter with accents as LaTeX's commands; empty if it is none."""
    letter, *marks = list(unicodedata.normalize("NFD", character))
    if not (letter.isascii() and letter.isalpha() and marks) or not set(marks) <= set(_ACCENTS):
        return ""
    for mark in marks:
        letter = rf"\{_ACCENTS[mark]}{{{letter}}}"
    return letter


def _greek(character: str) -> str:
    """A Greek letter without accents as mathematics; empty for others."""
    language, _, name = unicodedata.name(character, "").partition(" ")
    size, _, letter = name.partition(" LETTER ")
    if language != "GREEK" or not letter.isalpha():
        return ""
    if size == "SMALL":
        return "o" if letter == "OMICRON" else f"${chr(92)}{letter.lower()}$"
    return _LATIN_CAPITALS.get(letter) or f"${chr(92)}{letter.capitalize()}$"


def _alike(character: str) -> str:
    """The ASCII characters that a ligature, a raised digit or a wide form is made of."""
    form, _, _ = unicodedata.decomposition(character).partition(" ")
    plain = unicodedata.normalize("NFKC", character).replace("⁄", "/")
    if not form.startswith("<") or not (plain.isascii() and plain.isprintable()):
        return ""
    inner = "".join(_LATEX.get(c, c) for c in plain)
    raised = {"<super>": "superscript", "<sub>": "subscript"}.get(form)
    return rf"\text{raised}{{{inner}}}" if raised else inner


def _coded(character: str) -> str:
    return rf"\textless{{}}{_code(character)}\textgreater{{}}"


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"
