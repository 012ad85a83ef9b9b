"""Tables of conformal prediction sets: coverage and size by group, one row for each variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from benchmarks.errors import UserError
from benchmarks.protocol import GROUPS
from reports.aggregate import summarise
from reports.compare.runs import Read
from reports.conformal import NEEDED, SPLITS, Sets, prediction_sets
from reports.csv_text import csv_text
from reports.grid import Grid, Head, row_head
from reports.layout import NONE, Cell, number
from reports.markdown_grid import markdown_grid
from reports.markdown_text import escape_markdown
from reports.table import Row, Summary, Table
from reports.terminal import print_grid
from results.schema import Record

_COVERAGE = ("overall", "macro", *GROUPS, "below half")
_SIZE = ("overall", *GROUPS)


@dataclass(frozen=True)
class ConformalTable:
    """Sets of the rows of a table."""

    table: Table
    level: float
    """Coverage that the sets are made for, in percent."""
    rows: tuple[tuple[Row, Mapping[str, Summary]], ...]
    """Each row with its summaries over runs."""
    without: tuple[str, ...]
    """Names of the rows whose probabilities are not there."""

    @property
    def title(self) -> str:
        """Data set and backbone."""
        return f"Conformal sets: {self.table.name} / {self.table.backbone_name}"

    @property
    def notes(self) -> list[str]:
        """The meaning of the numbers, and rows that are left out."""
        lines = [
            f"Split conformal sets for {self.level:g} % coverage, score 1 - p. Random halves of "
            f"the test images calibrate the sets of the other halves, {SPLITS} times: the labels "
            "of test images are used, so this describes the sets that a method would have with "
            "calibration images of the test distribution.",
            "Coverage: share of the images whose set has the true class, over images (overall) or "
            "as a mean over classes (macro, groups); below half: classes with less than 50 %. Set "
            "size: number of classes, as a mean over images or over classes.",
        ]
        if any(self._bounded(name) for name in _SIZE):
            lines.append(
                "Two sizes are bounds: records keep five probabilities an image, from which sizes "
                "up to four are known."
            )
        if self.without:
            lines.append(f"Without stored probabilities: {', '.join(self.without)}.")
        return lines

    def _bounded(self, name: str) -> bool:
        return any(" to " in _size(summaries, name).text for _, summaries in self.rows)

    @property
    def grid(self) -> Grid:
        """Heads and cells."""
        sizes = self.table.sizes
        heads = [_head("coverage %", name, sizes) for name in _COVERAGE]
        heads += [_head("set size", name, sizes) for name in _SIZE]
        lines = [
            (
                row_head(row),
                (
                    *(_percent(summaries[f"coverage {name}"]) for name in _COVERAGE),
                    *(_size(summaries, name) for name in _SIZE),
                ),
            )
            for row, summaries in self.rows
        ]
        return Grid("method", tuple(heads), tuple(lines))


def conformal_tables(
    tables: Sequence[Table], read: Read | None, level: float
) -> list[ConformalTable]:
    """The sets of all tables of single-label data.

    Args:
        tables: of a report.
        read: returns the predictions of a record.
        level: coverage in percent.

    Raises:
        UserError: no run has stored probabilities.
    """
    found = []
    for table in tables:
        if table.task != "single":
            continue
        rows, without = [], []
        for row in table.rows:
            runs = [_sets(record, read, level) for record in row.done]
            sets = [own for own in runs if own is not None]
            if sets and len(sets) == len(row.done):
                rows.append((row, _summaries(row, sets)))
            elif row.done:
                without.append(row.name)
        if rows:
            found.append(ConformalTable(table, level, tuple(rows), tuple(without)))
    if not found:
        raise UserError(
            "--conformal: no run on single-label data has stored probabilities; they are beside "
            "the records of a run (`KEY.npz`), not in a clone."
        )
    return found


def _sets(record: Record, read: Read | None, level: float) -> Sets | None:
    if read is None or record.groups is None:
        return None
    try:
        arrays = read(record)
    except UserError:
        return None
    if not set(NEEDED) <= arrays.keys():
        return None
    return prediction_sets(arrays, len(record.groups.membership), level)


def _summaries(row: Row, runs: Sequence[Sets]) -> dict[str, Summary]:
    values: dict[str, list[float | None]] = {}
    for record, sets in zip(row.done, runs, strict=True):
        assert record.groups is not None
        members = np.array(record.groups.membership)
        tested = sets.images > 0
        shares = sets.images / sets.images.sum()
        for name, own in (
            ("coverage", sets.coverage), ("smallest", sets.smallest), ("largest", sets.largest)
        ):  # fmt: skip
            values.setdefault(f"{name} overall", []).append(float(shares[tested] @ own[tested]))
            values.setdefault(f"{name} macro", []).append(float(own[tested].mean()))
            for group in GROUPS:
                inside = own[tested & (members == group)]
                mean = float(inside.mean()) if inside.size else None
                values.setdefault(f"{name} {group}", []).append(mean)
        below = float(100.0 * (sets.coverage[tested] < 50.0).mean())
        values.setdefault("coverage below half", []).append(below)
    return {name: summarise(own) for name, own in values.items()}


def _head(group: str, name: str, sizes: Mapping[str, str]) -> Head:
    size = sizes.get(name, "")
    return Head(name, f"({size})" if size else "", group=group)


def _percent(summary: Summary) -> Cell:
    return Cell(number(summary.mean), "" if summary.std is None else f"± {number(summary.std)}")


def _size(summaries: Mapping[str, Summary], name: str) -> Cell:
    low, high = summaries[f"smallest {name}"].mean, summaries[f"largest {name}"].mean
    if low is None or high is None:
        return Cell(NONE)
    return Cell(f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}")


def print_conformal(found: ConformalTable, console: Console) -> None:
    """Print a table with its notes."""
    console.print(Text(found.title, style="bold"))
    print_grid(found.grid, console)
    for line in found.notes:
        console.print(Padding(Text(line), (0, 0, 0, 1)))
    console.print()


def conformal_markdown(found: ConformalTable) -> str:
    """The table with its notes."""
    lines = [f"## {escape_markdown(found.title)}", "", *markdown_grid(found.grid), ""]
    return "\n".join([*lines, *(f"- {escape_markdown(line)}" for line in found.notes)]) + "\n"


def conformal_csv(found: ConformalTable) -> str:
    """One line for each variant and quantity: mean, std (ddof=1) and n over runs, unrounded."""
    lines = [
        {
            "dataset": found.table.dataset,
            "backbone": found.table.backbone,
            "method": row.method,
            "variant": row.label,
            "level": found.level,
            "quantity": name,
            "mean": summary.mean,
            "std": summary.std,
            "n": summary.n,
        }
        for row, summaries in found.rows
        for name, summary in summaries.items()
    ]
    return csv_text(list(lines[0]), lines)
