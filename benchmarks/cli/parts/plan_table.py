"""The tables of `plan`: the cells, their state and an estimate of time for every row.

The rows add up to the total: frozen features, which several methods share, have their own row.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.cli.parts.narrow import Head, NarrowTable
from benchmarks.sweep.estimate import Estimator, Guess, serves, wanted_features

if TYPE_CHECKING:
    from benchmarks.sweep.cell import Cell
    from benchmarks.sweep.plan import Planned

HEADS = (
    Head("method"),
    Head("seeds", drop=3, whole=True),
    Head("split seeds", drop=2, whole=True),
    Head("state", whole=True),
    Head("estimate", whole=True),
    Head("from", drop=1),
)
NONE = "–"
STALE_RECIPE = "†"


def print_plan(
    planned: Sequence[Planned], todo: Sequence[Cell], estimator: Estimator, console: Console
) -> None:
    """Print a table for each data set and backbone.

    Args:
        planned: all cells.
        todo: the cells to run.
        estimator: estimates the time of each.
        console: where to print.
    """
    running = {cell.key for cell in todo}
    tables: dict[tuple[str, str], dict[tuple[str, str], list[Planned]]] = {}
    for p in planned:
        c = p.cell
        rows = tables.setdefault((c.dataset, c.backbone.name), {})
        rows.setdefault((c.method, repr(c.config)), []).append(p)
    for where, rows in tables.items():
        table = NarrowTable(HEADS, " / ".join(where))
        here = [p.cell for row in rows.values() for p in row if p.cell.key in running]
        if wanted := wanted_features(here):
            missing = estimator.passes(here)
            table.add(*_features_row(wanted, missing))
        for row in rows.values():
            guesses = [estimator.cell(p.cell) for p in row if p.cell.key in running]
            table.add(*_row(row, guesses))
        console.print(table)
    if any(_tuned_before(p.cell) for p in planned):
        console.print(
            f"{STALE_RECIPE} its recipe was tuned with another version of the method's source"
        )


def _features_row(
    wanted: dict[str, Cell], missing: dict[str, tuple[Cell, Guess]]
) -> tuple[str, ...]:
    """The row of the frozen features that the cells of a table use."""
    state = Counter("to compute" if name in missing else "stored" for name in wanted)
    return (
        "frozen features",
        NONE,
        _numbers(cell.split_seed for cell in wanted.values()),
        _counts(state),
        *_sum([guess for _, guess in missing.values()]),
    )


def _row(row: Sequence[Planned], guesses: Sequence[Guess]) -> tuple[str, ...]:
    """The row of a method with one configuration."""
    first = row[0].cell
    mark = f" {STALE_RECIPE}" if _tuned_before(first) else ""
    return (
        first.label,
        NONE if first.deterministic else _numbers(p.cell.seed for p in row),
        _numbers(p.cell.split_seed for p in row),
        _counts(Counter(p.state for p in row)) + mark,
        *(_sum(guesses) if serves(first) else ("not applicable", "")),
    )


def _tuned_before(cell: Cell) -> bool:
    """True if another version of the method's source was tuned."""
    return cell.tuning is not None and cell.tuning.stale


def _sum(guesses: Sequence[Guess]) -> tuple[str, str]:
    """Total time, and what the estimates are based on."""
    known = [guess for guess in guesses if guess.seconds is not None]
    if not guesses:
        return NONE, ""
    if not known:
        return "unknown", ""
    seconds = math.fsum(guess.seconds or 0.0 for guess in known)
    return duration(seconds), ", ".join(dict.fromkeys(guess.basis for guess in known))


def outlook(todo: Sequence[Cell], estimator: Estimator, places: int = 1) -> str:
    """Number of cells to run and the time they take if so many run at a time, in words."""
    seconds, unknown = expected_seconds(todo, estimator, places)
    places = places_used(todo, places)
    unserved = sum(not serves(cell) for cell in todo)
    extra = f", {unknown} of them without an estimate" if unknown else ""
    extra += f", {unserved} of them not applicable" if unserved else ""
    extra += f", {places} at a time" if places > 1 else ""
    return (
        f"{len(todo)} to run, about {duration(seconds)}{extra} "
        "(rough, based on earlier records if there are any; excludes loading)"
    )


def expected_seconds(todo: Sequence[Cell], estimator: Estimator, places: int) -> tuple[float, int]:
    """Seconds until the last cell ends, and the number of cells without an estimate."""
    seconds, unknown = estimator.total(todo)
    longest = max((estimator.cell(cell).seconds or 0.0 for cell in todo), default=0.0)
    return max(seconds / places_used(todo, places), longest), unknown


def places_used(todo: Sequence[Cell], places: int) -> int:
    """Number of cells that run at a time: no more than there are."""
    return max(1, min(places, len(todo)))


def duration(seconds: float) -> str:
    """A duration in words, to a few digits."""
    if seconds < 1:
        return "1 s" if seconds else "0 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 360_000 else f"{seconds / 86400:,.0f} days"


def _counts(states: Counter[str]) -> str:
    return ", ".join(f"{n} {state}" for state, n in states.items())


def _numbers(values: Iterable[int]) -> str:
    """Each number once, separated by commas."""
    return ",".join(map(str, dict.fromkeys(values)))
