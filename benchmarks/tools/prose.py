"""Look for clumsy English in the project's texts: `python -m benchmarks.tools.prose`.

Reads docstrings, comments and messages of all Python files, and the Markdown files. The list is
short: phrases that this project's own texts once had many of. `make lint` runs it beside codespell.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

OPENING = re.compile(r"(What|Which|Whether|How|Where|When|Who|Whose|Of|That|As|Those|There)\b")
"""First words that make a docstring a clause instead of a noun or a verb."""

PHRASES = {
    r"\bstands? (?:for|in|there|beside|on the|at the)\b": "is, represents, appears in, contains",
    r"\bin (?:its|their|his) stead\b": "in its place, instead",
    r"\b(?:not|never|has|have|had) arrived?\b": "converge",
    r"\bwhat of (?:a|an|the|it|its|their)\b": "which part of",
    r"\bthere is of\b": "that exists",
    r"\blets? go of\b": "releases",
    r"\b(?:is|are|was|be) told (?:by|of|from|apart)\b": "is reported, is distinguished",
    r"\bto do with as\b": "safe to change",
    r"\bmet twice\b": "duplicated",
    r"\bin company\b": "together, as a batch",
    r"\bas much again\b": "as much once more",
    r"\bwho (?:only|has|knows|plans|reads|wants)\b": "a subject: the caller, the user",
    r"\bis no (?:\w+ )?(?:dataclass|list|loss|field|plug-in|method|name|number)\b": "is not a",
    r"\bfor want of\b": "because there is no",
    r"\beverybody'?s?\b": "the standard ones",
    r"\bso that nobody\b": "so that nothing",
    r"\bwherever it (?:stands|lies)\b": "wherever it is",
}
"""Phrases, each with what to write instead."""


def complaints(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers of a file's prose, each with what is wrong there."""
    text = path.read_text(encoding="utf-8")
    parts = _python(text) if path.suffix == ".py" else _markdown(text)
    for line, kind, prose in parts:
        if kind == "docstring" and (found := OPENING.match(prose.strip())):
            yield line, f'a docstring that begins with "{found[0]}": begin with a noun or a verb'
        flat = re.sub(r"\s+#? ?", " ", prose)
        for phrase, better in PHRASES.items():
            if found := re.search(phrase, flat, re.IGNORECASE):
                yield line, f'"{found[0]}": {better}'


def _python(text: str) -> Iterator[tuple[int, str, str]]:
    """Docstrings, other strings of several words, and comments, each with its first line."""
    tree = ast.parse(text)
    docs = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, "docstring" if id(node) in docs else "string", node.value
    comment, first, last = "", 0, -1
    for item in tokenize.generate_tokens(io.StringIO(text).readline):
        if item.type != tokenize.COMMENT:
            continue
        if item.start[0] != last + 1 and comment:
            yield first, "comment", comment
            comment = ""
        first = first if comment else item.start[0]
        last = item.start[0]
        comment += item.string.lstrip("#") + " "
    if comment:
        yield first, "comment", comment


def _markdown(text: str) -> Iterator[tuple[int, str, str]]:
    """Paragraphs without code, each with its first line."""
    line = 1
    for paragraph in re.split(r"(\n\s*\n)", text):
        if paragraph.strip() and not paragraph.startswith(("    ", "|", "```")):
            yield line, "text", re.sub(r"`[^`]*`", "`…`", paragraph)
        line += paragraph.count("\n")


def main() -> int:
    """Print every complaint about the tracked files, but for this one and its test."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    bad = 0
    for name in listed.stdout.split():
        if name.startswith("results/reference/") or name.endswith("prose.py"):
            continue
        for line, what in complaints(ROOT / name):
            bad += 1
            print(f"{name}:{line}: {what}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
