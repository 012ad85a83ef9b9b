"""Overviews and studies over data sets on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from reports.across.captions import caption, gaps
from reports.across.files import statistics, title
from reports.across.overview import Overview, overview_grid
from reports.across.study import Study
from reports.terminal import print_grid


def print_overview(overview: Overview, console: Console) -> None:
    """Print methods by data sets; further notes are under the tables of the data sets."""
    console.print(Text(overview.title, style="bold"))
    print_grid(overview_grid(overview), console)
    legend = overview.legend("bold", "underlined")
    text = " ".join(filter(None, (caption(overview), legend)))
    _print_lines([text, *gaps(overview)], console)


def print_study(study: Study, console: Console) -> None:
    """Print the statistics over data sets and their notes."""
    console.print(Text(title(study), style="bold"))
    print_grid(statistics(study), console)
    _print_lines(study.notes, console)


def _print_lines(lines: Sequence[str], console: Console) -> None:
    for line in lines:
        console.print(Padding(Text(line), (0, 0, 0, 1)))
    console.print()
