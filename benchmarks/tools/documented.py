"""Tables of the documentation, printed again by the commands above them.

    python -m benchmarks.tools.documented            # says which tables differ
    python -m benchmarks.tools.documented --write    # replaces them

In README.md and docs/results.md, a command such as

    python run_benchmarks.py report results/reference/paper_table --columns overall,few

is followed by the first table that it prints: methods by data sets if there are several of these.
`compare` needs the predictions of the runs, or `correct.npz` in the folder.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

import run_benchmarks
from benchmarks.cli import report
from benchmarks.cli.parts.verbs import parse
from benchmarks.errors import UserError
from reports.across.matrix import matrices
from reports.across.overview import overview_grid, overviews
from reports.across.study import study
from reports.grid import table_grid
from reports.markdown_grid import markdown_grid
from reports.report import tables_of
from results.correctness import FILE

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")
_COMMAND = re.compile(r"    python run_benchmarks\.py ((?:report|compare) results/reference/.*)")


@dataclass(frozen=True)
class Documented:
    """A command of a page and the table below it."""

    page: Path
    command: str
    """Verb and arguments."""
    lines: slice
    """Lines of the page that are the table; empty if there is none."""

    @property
    def table(self) -> list[str]:
        """The table as the page has it."""
        return self.page.read_text("utf-8").splitlines()[self.lines]

    @property
    def folder(self) -> Path:
        """The folder with the records."""
        return ROOT / shlex.split(self.command)[1]

    @property
    def printable(self) -> bool:
        """False for a comparison whose predictions are not there."""
        return self.command.startswith("report") or (self.folder / FILE).is_file()


def documented(page: Path) -> list[Documented]:
    """The commands of a page that read reference results."""
    lines = page.read_text("utf-8").splitlines()
    return [Documented(page, *found) for found in _commands(lines)]


def _commands(lines: Sequence[str]) -> Iterator[tuple[str, slice]]:
    for start, line in enumerate(lines):
        found = _COMMAND.fullmatch(line)
        if found is None:
            continue
        command, end = found[1], start + 1
        while command.endswith("\\"):
            command = command.removesuffix("\\") + lines[end].strip()
            end += 1
        while end < len(lines) and not lines[end]:
            end += 1
        stop = end
        while stop < len(lines) and lines[stop].startswith("|"):
            stop += 1
        yield command, slice(end, stop)


def printed(command: str) -> list[str]:
    """The lines of the first table that a command prints.

    Raises:
        UserError: the command is unusable, or has no predictions.
    """
    words = [*shlex.split(command)]
    words[1] = str(ROOT / words[1])
    if words[0] == "compare":
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "comparisons.md"
            with contextlib.redirect_stdout(io.StringIO()):
                if run_benchmarks.main([*words, "--out", str(file)]):
                    raise UserError(f"`{command}` failed.")
            lines = file.read_text("utf-8").splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith("|"))
        end = next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))
        return lines[start:end]
    _, options = parse(words)
    chosen = report.choose(options, Console(file=io.StringIO()))
    view = chosen.settings.view
    tables = tables_of(
        chosen.records, view, stale=(), allow_mixed=options.allow_mixed, read=chosen.read
    )
    summary = overviews(tables, [study(matrix) for matrix in matrices(tables, view.metric)])
    return markdown_grid(overview_grid(summary[0]) if summary else table_grid(tables[0]))


def main() -> int:
    """Compare or replace the tables; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace the tables that differ")
    write = parser.parse_args().write
    status = 0
    for page in PAGES:
        for one in reversed(documented(page)):  # from below, so that places stay right
            if one.lines.start == one.lines.stop:
                continue
            if not one.printable:
                print(f"{page.name}: not printed, {FILE} is missing: {one.command}")
                status = 1
                continue
            table = printed(one.command)
            if table != one.table:
                print(f"{page.name}: {'replaced' if write else 'differs'}: {one.command}")
                if write:
                    lines = page.read_text("utf-8").splitlines()
                    lines[one.lines] = table
                    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
                else:
                    status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
