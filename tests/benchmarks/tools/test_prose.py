"""The check of the project's English: what it finds and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.tools.prose import complaints


def found(folder: Path, text: str, name: str = "module.py") -> list[tuple[int, str]]:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return list(complaints(file))


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('def f():\n    """What a thing is."""\n', 2, '"What"'),
        ('class A:\n    x: int\n    """Whether it is."""\n', 3, '"Whether"'),
        ("# Used in its stead.\n", 1, "in its stead"),
        ("x = 1\n\n# The list\n# stands for all.\n", 3, "stands for"),
        ('raise ValueError("the file is no plug-in")\n', 1, "is no plug-in"),
        ('"""A file\nthat stands\nin a folder."""\n', 1, "stands in"),
    ],
)
def test_it_names_the_line_and_the_phrase(tmp_path: Path, text: str, line: int, what: str) -> None:
    ((at, complaint),) = found(tmp_path, text)
    assert at == line and what in complaint


@pytest.mark.parametrize(
    "text",
    [
        'def f():\n    """Whatever the caller passed."""\n',
        'def f():\n    """Standard deviation over seeds."""\n',
        'x = "What is this?"\n',
        "stands_for = 1\n",
    ],
)
def test_it_leaves_plain_english_and_code_alone(tmp_path: Path, text: str) -> None:
    assert not found(tmp_path, text)


def test_markdown_without_its_code(tmp_path: Path) -> None:
    code = "    stands for = code\n\n`stands for` is code.\n"
    text = f"Title\n\nA row\nstands for a method.\n\n{code}"
    ((line, complaint),) = found(tmp_path, text, "page.md")
    assert line == 3 and "stands for" in complaint
