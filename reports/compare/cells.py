"""Heads, cells and notes of printed comparisons, shared by the terminal and Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.metrics import METRICS
from reports.compare.comparison import Comparison
from reports.compare.designs import against_designs, pair_designs
from reports.compare.families import (
    LOWEST_RUNS,
    SENSIBLE_RUNS,
    Family,
    Judged,
    Verdict,
    balanced_is_overall,
    points,
)
from reports.compare.intervals import CONFIDENCE, Interval
from reports.compare.parts import compared_metrics
from reports.compare.robust import COVERAGE
from reports.layout import NONE, column, number
from reports.notes import under
from reports.table import Table

_LEVEL = f"{100 * CONFIDENCE:.0f} %"
_STRIP = 29
"""Characters of a strip of dots."""


def title_of(table: Table) -> str:
    """Data set and backbone."""
    return f"{table.name} / {table.backbone_name}"


def titles(comparisons: Sequence[Comparison]) -> Mapping[str, str]:
    """Column heads of the metrics that are printed: those of the view, or all if it has none."""
    heads = all_titles(comparisons)
    asked = comparisons[0].table.view.columns
    keys = [key if key in heads or key != "balanced" else "overall" for key in asked]
    return {key: heads[key] for key in keys if key in heads} or heads


def all_titles(comparisons: Sequence[Comparison]) -> dict[str, str]:
    """Column heads of all compared metrics, with the sizes of the groups.

    On a balanced test set overall and balanced accuracy are equal and share one column.
    """
    table = comparisons[0].table
    heads = {m.key: column(table, m).head for m in compared_metrics(table.task)}
    if all(map(balanced_is_overall, comparisons)):
        del heads["balanced"]
        heads["overall"] = "overall = balanced"
    return heads


# ---- cells -------------------------------------------------------------------------------------


def pair_heads() -> list[str]:
    """Column heads of a pair."""
    return ["metric", "A", "B", "A − B", f"{_LEVEL} interval", ""]


def pair_rows(judged: Judged, to: str = " to ") -> list[list[str]]:
    """One row of cells for each metric; the last one is the verdict."""
    rows = []
    for name, title in titles([judged.comparison]).items():
        i = judged.comparison.intervals[name]
        values = [NONE] * 4
        if i is not None:
            values = [number(i.a), number(i.b), signed(i.difference), ends(i, to)]
        rows.append([title, *values, judged.words(name)])
    return rows


def is_shown(verdict: Verdict | None) -> bool:
    """True if a verdict says more than that no difference is shown."""
    return verdict is not None and (bool(verdict.better) or verdict.equivalent)


def with_sign(interval: Interval, verdict: Verdict | None) -> str:
    """The difference with `↑` if A is better, `↓` if B is, `≈` if they are equivalent, or `=`."""
    return f"{signed(interval.difference)} {sign_of(verdict)}".rstrip()


def sign_of(verdict: Verdict | None) -> str:
    """A verdict as a sign; empty without one."""
    if verdict is None:
        return ""
    return ({"A": "↑", "B": "↓", "": ""}[verdict.better] + "≈" * verdict.equivalent) or "="


def signed(value: float) -> str:
    """The value with two decimals and a sign; no sign if it rounds to zero."""
    text = f"{value:+.2f}".replace("-", "−")
    return "0.00" if text in ("+0.00", "−0.00") else text


def ends(interval: Interval, to: str = " to ") -> str:
    """The ends of an interval."""
    return f"{signed(interval.low)}{to}{signed(interval.high)}"


# ---- runs --------------------------------------------------------------------------------------


def strips(comparison: Comparison) -> list[str]:
    """A line for each metric with the difference of each run as a dot; empty for a single run."""
    if len(comparison.units) < 2:
        return []
    shown = {
        head: values
        for name, head in titles([comparison]).items()
        if (values := comparison.differences[name])
    }
    lows = {head: signed(min(0.0, *values)) for head, values in shown.items()}
    widest, low = max(map(len, shown)), max(map(len, lows.values()))
    return [
        f"{head:<{widest}}  {lows[head]:>{low}} {_dots(values)} {signed(max(0.0, *values))}"
        for head, values in shown.items()
    ]


def _dots(values: Sequence[float]) -> str:
    """A strip from the lowest to the highest value; `│` is 0, a digit counts dots in one place."""
    low, high = min(0.0, *values), max(0.0, *values)
    step = (high - low) / (_STRIP - 1) or 1.0
    counts: dict[int, int] = {}
    for value in values:
        place = round((value - low) / step)
        counts[place] = counts.get(place, 0) + 1
    strip = [" "] * _STRIP
    strip[round(-low / step)] = "│"
    for place, count in counts.items():
        strip[place] = "●" if count == 1 else str(min(count, 9))
    return "".join(strip)


STRIP_LEGEND = "A − B of each run as a dot, │ is 0, a digit counts dots in one place:"


# ---- notes -------------------------------------------------------------------------------------


def pair_notes(family: Family, judged: Judged) -> list[str]:
    """The sources of variation in the intervals of a pair, and notes on its runs and design."""
    comparison = judged.comparison
    lines = [*_on_prior(comparison.table), f"The intervals cover {comparison.covers}"]
    lines += comparison.notes
    lines += _on_trimmed_means([comparison]) + _on_one_run([comparison])
    task = comparison.table.task
    names = {name: METRICS[name].title_for(task) for name in titles([comparison])}
    return lines + pair_designs(family, judged, names)


def against_notes(family: Family) -> list[str]:
    """The legend of a table, what its intervals cover, and notes on runs."""
    comparisons = [judged.comparison for judged in family.members]
    covers: dict[str, list[str]] = {}
    for comparison in comparisons:
        covers.setdefault(comparison.covers, []).append(comparison.a)
    lines = [signs_legend(family), *_on_prior(comparisons[0].table)]
    lines += family_notes(family, "arrows")
    for text, labels in covers.items():
        who = "" if len(covers) == 1 else f" ({', '.join(labels)})"
        lines.append(f"The intervals{who} cover {text}")
    lines += list(dict.fromkeys(note for c in comparisons for note in c.notes))
    lines += _on_trimmed_means(comparisons) + _on_one_run(comparisons)
    return lines + against_designs(family)


def signs_legend(family: Family) -> str:
    """The meaning of the numbers and of the signs behind them."""
    margin = family.asked.margin
    equal = "" if margin is None else f", ≈ equivalent within {points(margin)}"
    signs = f"; ↑ A better, ↓ B better{equal}, = no difference shown (which is not equality)"
    return f"A − B in points with its {_LEVEL} interval{signs if family.tests else ''}."


def family_notes(family: Family, verdicts: str = "verdicts") -> list[str]:
    """The meaning of the level of the intervals and of that of the verdicts.

    Args:
        family: comparisons that are printed together.
        verdicts: what shows the verdicts.
    """
    if not family.tests:
        return []
    return [
        f"The interval of each comparison has a level of {_LEVEL} by itself. The {verdicts} hold "
        f"together (Holm's rule over {family.tests} tests): without true differences, one table "
        "in twenty has any. So an interval may exclude 0 where no difference is shown."
    ]


def _on_prior(table: Table) -> list[str]:
    """The meaning of overall accuracy under a class prior; empty without one."""
    return [f"Overall: {under(table.prior)}."] if table.prior else []


def _on_trimmed_means(comparisons: Sequence[Comparison]) -> list[str]:
    """A note on the comparisons of trimmed means, if there are any."""
    if not any(comparison.robust for comparison in comparisons):
        return []
    return [
        "The means over runs are trimmed: they and the intervals are about typical runs (the "
        f"median over runs), not about the mean over all runs. Simulated coverage: {COVERAGE}, "
        "with none, one or two of ten runs collapsed."
    ]


def _on_one_run(comparisons: Sequence[Comparison]) -> list[str]:
    """A note on the comparisons of a single run, if there are any."""
    found = [comparison for comparison in comparisons if comparison.one_run]
    if not found:
        return []
    who = ", ".join(comparison.a for comparison in found)
    return [
        f"{who} against {found[0].b}: this is the difference of two trained models. With other "
        f"seeds it may be another, so there is no verdict. That needs at least {LOWEST_RUNS} seeds "
        f"of each variant that draws random numbers, better {SENSIBLE_RUNS} or more."
    ]
