"""Comparisons as lines of values: what CSV, JSON and data frames hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.compare.comparison import Comparison
from reports.compare.designs import needed, shown_from
from reports.compare.families import Family, Verdict
from reports.compare.intervals import CONFIDENCE, LEVEL, Interval
from reports.value_kinds import Kind

KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("dataset", "backbone", "a", "b", "metric"), "text"),
    **dict.fromkeys(
        ("mean_a", "mean_b", "difference", "low", "high", "se_images", "se_runs", "p", "p_adjusted",
         "margin", "p_equivalent", "p_equivalent_adjusted"), "number",
    ),
    "tests": "integer", "better": "text", "equivalent": "truth", "verdict": "text",
    "shown_from": "number", "runs_needed": "integer", "runs": "mapping", "covers": "text",
    "notes": "list",
}  # fmt: skip
"""Names of the values in the order of the columns, with their kinds."""
NAMES = tuple(KINDS)


def comparison_lines(families: Sequence[Family]) -> list[dict[str, Any]]:
    """One line for each comparison and metric, unrounded; None where there is no value.

    `p` and `p_equivalent` belong to the comparison by itself, `p_adjusted` and
    `p_equivalent_adjusted` to the family of `tests` tests; the verdict follows the latter.
    `shown_from` is the smallest true difference that the table shows with a power of 80 %, and
    `runs_needed` the number of runs that show the difference which was asked about. `better` is
    `A`, `B` or empty if no difference is shown, `equivalent` is True if the difference is shown to
    be smaller than `margin`. `runs` is A - B of each run by its name.

    Returns:
        Mappings with the keys NAMES.
    """
    lines = [
        {
            "dataset": judged.comparison.table.dataset,
            "backbone": judged.comparison.table.backbone,
            "a": judged.comparison.labels[0],
            "b": judged.comparison.labels[1],
            "metric": metric,
            **({} if interval is None else _numbers(interval)),
            **_tests(judged.verdicts[metric], family),
            "verdict": judged.words(metric),
            "shown_from": shown_from(family, judged, metric),
            "runs_needed": needed(family, judged, metric),
            "runs": _runs(judged.comparison, metric),
            "covers": judged.comparison.covers,
            "notes": list(judged.comparison.notes),
        }
        for family in families
        for judged in family.members
        for metric, interval in judged.comparison.intervals.items()
    ]
    return [{name: line.get(name) for name in NAMES} for line in lines]


def answer(families: Sequence[Family]) -> dict[str, Any]:
    """The comparisons for programs, with the level of intervals and that of verdicts."""
    return {
        "confidence": CONFIDENCE,
        "level": LEVEL,
        "comparisons": comparison_lines(families),
    }


def _runs(comparison: Comparison, metric: str) -> dict[str, float]:
    """A - B of each run; empty for an empty group."""
    return dict(zip(comparison.units, comparison.differences[metric], strict=False))


def _numbers(interval: Interval) -> dict[str, float | None]:
    i = interval
    return {
        "mean_a": i.a, "mean_b": i.b, "difference": i.difference, "low": i.low, "high": i.high,
        "se_images": i.se_images, "se_runs": i.se_runs,
    }  # fmt: skip


def _tests(verdict: Verdict | None, family: Family) -> dict[str, Any]:
    """The p-values of a verdict, and the verdict; empty without one."""
    if verdict is None:
        return {}
    v = verdict
    return {
        "p": v.p, "p_adjusted": v.p_adjusted, "margin": v.margin, "p_equivalent": v.p_equivalent,
        "p_equivalent_adjusted": v.p_equivalent_adjusted, "tests": family.tests,
        "better": v.better, "equivalent": v.equivalent,
    }  # fmt: skip
