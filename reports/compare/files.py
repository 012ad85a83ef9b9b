"""Comparisons as Markdown and as CSV."""

from __future__ import annotations

from collections.abc import Sequence

from reports.compare.cells import (
    STRIP_LEGEND,
    against_notes,
    ends,
    family_notes,
    is_shown,
    pair_heads,
    pair_notes,
    pair_rows,
    strips,
    title_of,
    titles,
    with_sign,
)
from reports.compare.comparison import Comparison
from reports.compare.designs import needed, shown_from
from reports.compare.families import Family, Judged, Verdict
from reports.compare.intervals import Interval
from reports.csv_text import csv_text
from reports.layout import NONE
from reports.markdown_text import code, escape_markdown, pipes


def pairs_markdown(family: Family) -> str:
    """A Markdown section for each comparison, with one line for each metric."""
    sections = [_pair_section(family, judged) for judged in family.members]
    sections[-1] += _bullets(family_notes(family))
    return "\n".join("\n".join(section) + "\n" for section in sections)


def _pair_section(family: Family, judged: Judged) -> list[str]:
    comparison = judged.comparison
    lines = [
        f"## {escape_markdown(title_of(comparison.table))}",
        "",
        f"A: {code(comparison.a)}, B: {code(comparison.b)}",
        "",
        pipes(pair_heads()),
        pipes([":--", "--:", "--:", "--:", "--:", ":--"]),
    ]
    for name, cells in zip(titles([comparison]), pair_rows(judged), strict=True):
        shown = is_shown(judged.verdicts[name])
        lines.append(pipes([*cells[:-1], f"**{cells[-1]}**" if shown else cells[-1]]))
    if dots := strips(comparison):
        lines += ["", STRIP_LEGEND, "", *(f"    {line}" for line in dots)]
    return [*lines, "", *_bullets(pair_notes(family, judged))]


def against_markdown(family: Family) -> str:
    """A Markdown section with one row for each comparison of a table with the same B."""
    comparisons = [judged.comparison for judged in family.members]
    heads = titles(comparisons)
    lines = [
        f"## {escape_markdown(title_of(comparisons[0].table))}: differences to "
        f"{code(comparisons[0].b)}",
        "",
        pipes(["A", *heads.values()]),
        pipes([":--"] + ["--:"] * len(heads)),
    ]
    for judged in family.members:
        cells = [code(judged.comparison.a)]
        for name in heads:
            i, verdict = judged.comparison.intervals[name], judged.verdicts[name]
            if i is None:
                cells.append(NONE)
                continue
            mean = with_sign(i, verdict)
            cells.append(f"{f'**{mean}**' if is_shown(verdict) else mean}<br>{ends(i)}")
        lines.append(pipes(cells))
    return "\n".join([*lines, "", *_bullets(against_notes(family))]) + "\n"


def _bullets(notes: Sequence[str]) -> list[str]:
    return [f"- {escape_markdown(line)}" for line in notes]


def comparisons_csv(families: Sequence[Family]) -> str:
    """One line for each comparison and metric, unrounded; values of an empty group are empty.

    `p` and `p_equivalent` belong to the comparison by itself, `p_adjusted` and
    `p_equivalent_adjusted` to the family of `tests` tests; the verdict follows the latter.
    `shown_from` is the smallest true difference that the table shows with a power of 80 %, and
    `runs_needed` the number of runs for the difference of `--power`.
    `runs` has A - B of each run: `seed 0: 1.25; seed 1: -0.5`.
    """
    lines = [
        {
            "dataset": judged.comparison.table.dataset,
            "backbone": judged.comparison.table.backbone,
            "a": judged.comparison.a,
            "b": judged.comparison.b,
            "metric": metric,
            **({} if interval is None else _numbers(interval)),
            **_tests(judged.verdicts[metric], family),
            "verdict": judged.words(metric),
            "shown_from": shown_from(family, judged, metric),
            "runs_needed": needed(family, judged, metric),
            "runs": _runs(judged.comparison, metric),
            "covers": judged.comparison.covers,
        }
        for family in families
        for judged in family.members
        for metric, interval in judged.comparison.intervals.items()
    ]
    return csv_text(_NAMES, lines)


_NAMES = (
    "dataset", "backbone", "a", "b", "metric", "mean_a", "mean_b", "difference", "low", "high",
    "se_images", "se_runs", "p", "p_adjusted", "margin", "p_equivalent", "p_equivalent_adjusted",
    "tests", "verdict", "shown_from", "runs_needed", "runs", "covers",
)  # fmt: skip


def _runs(comparison: Comparison, metric: str) -> str:
    named = zip(comparison.units, comparison.differences[metric], strict=False)
    return "; ".join(f"{name}: {value:g}" for name, value in named)


def _numbers(interval: Interval) -> dict[str, float | None]:
    i = interval
    return {
        "mean_a": i.a, "mean_b": i.b, "difference": i.difference, "low": i.low, "high": i.high,
        "se_images": i.se_images, "se_runs": i.se_runs,
    }  # fmt: skip


def _tests(verdict: Verdict | None, family: Family) -> dict[str, float | int | None]:
    """The p-values of a verdict; empty without one."""
    if verdict is None:
        return {}
    v = verdict
    return {
        "p": v.p, "p_adjusted": v.p_adjusted, "margin": v.margin, "p_equivalent": v.p_equivalent,
        "p_equivalent_adjusted": v.p_equivalent_adjusted, "tests": family.tests,
    }  # fmt: skip
