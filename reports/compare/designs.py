"""Differences that a table's design shows, and the runs that a difference needs, in words.

The level is that of the strictest step of Holm's rule: verdicts of a table need larger differences
than intervals by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

from reports.compare.families import Family, Judged, points
from reports.compare.intervals import Interval
from reports.compare.power import MOST_RUNS, POWER, runs_needed, smallest_difference

_POWER = f"{100 * POWER:.0f} %"


def shown_from(family: Family, judged: Judged, metric: str) -> float | None:
    """The smallest true difference that is shown with the usual power, in points.

    Returns:
        None without a verdict: for an empty group and for one run.
    """
    interval = _judged(judged, metric)
    return None if interval is None else smallest_difference(interval, level=family.strictest)


def needed(family: Family, judged: Judged, metric: str) -> int | None:
    """The number of runs that show the difference that was asked about, with the usual power.

    Returns:
        None if nothing was asked or judged, if no runs vary, or if no number of runs is enough.
    """
    interval, difference = _judged(judged, metric), family.asked.difference
    if interval is None or interval.runs is None or difference is None:
        return None
    return runs_needed(interval, difference, level=family.strictest)


def _judged(judged: Judged, metric: str) -> Interval | None:
    return None if judged.verdicts[metric] is None else judged.comparison.intervals[metric]


def pair_designs(family: Family, judged: Judged, names: Mapping[str, str]) -> list[str]:
    """Notes on the metrics of one pair.

    Args:
        family: the comparisons that are printed together.
        judged: one of them.
        names: titles of the metrics by key.
    """
    smallest = {name: shown_from(family, judged, name) for name in names}
    found = [f"{names[name]} {value:.2f}" for name, value in smallest.items() if value is not None]
    if not found:
        return []
    lines = [_shown(family, f"of at least {', '.join(found)} points")]
    if family.asked.difference is not None:
        lines.append(
            _needs(family, {names[n]: _runs(family, judged, n) for n in names if smallest[n]})
        )
    return lines


def against_designs(family: Family) -> list[str]:
    """Notes on the overall values of a table's comparisons."""
    smallest = {
        judged.comparison.a: value
        for judged in family.members
        if (value := shown_from(family, judged, "overall")) is not None
    }
    if not smallest:
        return []
    first, last = min(smallest, key=smallest.__getitem__), max(smallest, key=smallest.__getitem__)
    text = f"in overall of at least {smallest[first]:.2f} ({first})"
    if len(smallest) > 1:
        text += f" to {smallest[last]:.2f} points ({last})"
    lines = [_shown(family, text)]
    if family.asked.difference is not None:
        judged = {j.comparison.a: j for j in family.members if j.comparison.a in smallest}
        runs = {label: _runs(family, one, "overall") for label, one in judged.items()}
        lines.append(_needs(family, runs, " in overall"))
    return lines


def _shown(family: Family, which: str) -> str:
    return (
        f"With a power of {_POWER}, {family.tests} tests together and the variances seen here, "
        f"this design shows true differences {which}."
    )


def _needs(family: Family, runs: Mapping[str, str], where: str = "") -> str:
    """A line with the runs that each comparison needs, those with the same number together."""
    together: dict[str, list[str]] = {}
    for name, text in runs.items():
        together.setdefault(text, []).append(name)
    found = "; ".join(f"{', '.join(names)}: {text}" for text, names in together.items())
    assert family.asked.difference is not None
    return (
        f"A true difference of {points(family.asked.difference)}{where} needs, with a power of "
        f"{_POWER}: {found}."
    )


def _runs(family: Family, judged: Judged, metric: str) -> str:
    """The runs that a comparison needs, in words."""
    interval = _judged(judged, metric)
    if interval is None or interval.runs is None:
        return "no runs vary, the test images decide"
    number = needed(family, judged, metric)
    unit = judged.comparison.units[0].split()[0]
    if number is None:
        return f"more test images, because {MOST_RUNS:,} {unit}s are not enough"
    return f"{number} {unit}s"
