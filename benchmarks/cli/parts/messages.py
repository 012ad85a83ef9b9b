"""Lines that several verbs print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def warn(console: Console, text: str) -> None:
    """Print a line that a reader should not miss; a line break in it is a space."""
    console.print(" ".join(text.splitlines()), style="yellow", markup=False, soft_wrap=True)


def print_report_files(console: Console, files: Sequence[Path], records: Path | None) -> None:
    """Print the files of a report and, if given, the folder of its records."""
    if not files:
        return
    console.print(f"\nTables and plots: {files[0].parent}/", markup=False, soft_wrap=True)
    for file in files:
        console.print(f"  {file.name}", style="dim", markup=False, soft_wrap=True)
    if records is not None:
        console.print(f"Records: {records}/", markup=False, soft_wrap=True)
