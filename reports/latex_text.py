"""Text escaped for LaTeX."""

from __future__ import annotations

import unicodedata

from benchmarks.visible import visible

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "&": r"\&", "%": r"\%",
    "#": r"\#", "$": r"\$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$",
    "×": r"$\times$", "–": "--", "—": "---", "†": r"$\dagger$", "‡": r"$\ddagger$",
    "…": r"\ldots{}", "≤": r"$\leq$", "≥": r"$\geq$", "→": r"$\to$", "τ": r"$\tau$",
    "λ": r"$\lambda$", "−": "$-$", "’": "'", "“": "``", "”": "''",
}  # fmt: skip


def escape_latex(text: str) -> str:
    """`text` on one line, escaped, in ASCII: an error message may contain any character.

    A bracket or an asterisk at its beginning is in a group: behind a line break or a rule of a
    table, LaTeX would take it for an argument.
    """
    line = "".join(_latex_character(c) for c in " ".join(visible(text).split()))
    return f"{{{line[0]}}}{line[1:]}" if line[:1] in ("[", "*") else line


def _latex_character(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain if plain.isprintable() and plain else "?"
