"""A study over data sets on the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from reports.across.files import heads, printed_rows, title
from reports.across.study import Study


def print_study(study: Study, console: Console) -> None:
    """Print the table and its notes; without data sets' columns if they do not fit."""
    grid, notes = _grid(study, len(study.matrix.data_sets)), list(study.notes)
    widest = console.options.update(max_width=10_000)
    if console.measure(grid, options=widest).maximum > console.width:
        grid = _grid(study, 0)
        notes.append("The report has the columns of the data sets, which are too wide for here.")
    console.print(Text(title(study), style="bold"))
    console.print(grid)
    for line in notes:
        console.print(Padding(Text(line), (0, 0, 0, 1)))
    console.print()


def _grid(study: Study, columns: int) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    first, *others = heads(study)
    left_out = len(study.matrix.data_sets) - columns
    grid.add_column(first, overflow="fold", min_width=12)
    for name in others[left_out:]:
        grid.add_column(Text(name.replace(" (", "\n(")), justify="right", overflow="fold")
    for label, cells in printed_rows(study):
        texts = [Text(text, style="bold" if best else "") for text, best in cells]
        grid.add_row(Text(label), *texts[left_out:])
    return grid
