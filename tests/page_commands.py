"""Commands in the documentation: where they are, and what they need that a test does not have."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
NEEDS = {
    "network": "installs or downloads something",
    "images": "reads images that are not in the repository",
    "files": "reads a file that the reader writes, or whose name is a placeholder",
    "records": "reads the records of an earlier command",
    "time": "takes longer than two minutes on two cores",
    "cluster": "wants several machines, GPUs or a queue",
    "programs": "calls a program that is not Python's",
    "browser": "waits for a browser until it is interrupted",
}
"""Words of the comment `<!-- needs: WORD, … -->` above a block whose commands no test runs."""
_PROGRAMS = (
    "python", "python3", "pip", "uv", "make", "git", "cd", "bash", "ray", "pdflatex", "pre-commit",
    "docker", "podman", ".venv/bin/python", ".venv/bin/pip",
)  # fmt: skip
_MARK = re.compile(r"^ *<!-- needs: ([^>]*?) -->$")


@dataclass(frozen=True)
class Command:
    """One command of a page."""

    page: Path
    line: int
    """The page's line on which it begins, from 1."""
    words: tuple[str, ...]
    needs: tuple[str, ...]
    """Reasons why no test runs it; none if one does."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}: {' '.join(self.words)}"

    @property
    def ours(self) -> tuple[str, ...] | None:
        """The arguments of `python run_benchmarks.py`; None for another program."""
        script = self.words[1] if len(self.words) > 1 else ""
        own = self.words[0] == "python" and script.endswith("run_benchmarks.py")
        return self.words[2:] if own else None


@cache
def commands(page: Path) -> tuple[Command, ...]:
    """The commands in the indented blocks of a page, in their order."""
    return tuple(_commands(page))


def _commands(page: Path) -> Iterator[Command]:
    lines = page.read_text("utf-8").splitlines()
    needs: tuple[str, ...] = ()
    fenced = False
    number = 0
    while number < len(lines):
        line, start = lines[number], number
        number += 1
        fenced ^= line.lstrip().startswith("```")
        if mark := _MARK.match(line):
            needs = tuple(word.strip() for word in mark[1].split(","))
        elif line.strip() and not line.startswith("    "):
            needs = ()
        elif line.strip() and not fenced:
            while line.endswith("\\") and number < len(lines):
                line = line[:-1] + lines[number].strip()
                number += 1
            for words in _split(line):
                yield Command(page, start + 1, words, needs)


def _split(line: str) -> Iterator[tuple[str, ...]]:
    """The commands of a line, without comments and redirections; none if it is no command."""
    if line.split()[0] not in _PROGRAMS:
        return
    for part in re.split(r" && | \| ", line):
        words = shlex.split(re.sub(r" > \S+", "", part), comments=True)
        if words:
            yield tuple(words)
