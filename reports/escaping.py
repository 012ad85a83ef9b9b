"""Text made safe for Markdown and LaTeX."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence


def pipes(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def code(label: str) -> str:
    """`label` as Markdown code."""
    # A bar ends a table cell even within code.
    return "`" + label.replace("`", "'").replace("|", r"\|") + "`"


def escape_markdown(text: str) -> str:
    """`text` with everything escaped that Markdown could take for markup."""
    text = re.sub(r"([\\`*<>\[\]|])", r"\\\1", " ".join(text.split()))
    # Within a word an underscore is only itself, and much easier to read without a backslash.
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "&": r"\&", "%": r"\%",
    "#": r"\#", "$": r"\$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$",
    "×": r"$\times$", "–": "--", "—": "---", "†": r"$\dagger$", "‡": r"$\ddagger$",
    "…": r"\ldots{}", "≤": r"$\leq$", "≥": r"$\geq$", "→": r"$\to$", "τ": r"$\tau$",
    "λ": r"$\lambda$", "−": "$-$", "’": "'", "“": "``", "”": "''",
}  # fmt: skip


def escape_latex(text: str) -> str:
    """`text` on one line, escaped, in ASCII: an error message may hold any character."""
    return "".join(_latex_character(c) for c in " ".join(text.split()))


def _latex_character(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain if plain.isprintable() and plain else "?"
