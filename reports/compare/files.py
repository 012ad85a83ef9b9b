"""Comparisons as Markdown and as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
from reports.compare.families import Family, Judged
from reports.compare.lines import NAMES, comparison_lines
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
    """One line for each comparison and metric, unrounded, with the values of `lines.NAMES`.

    `runs` has A - B of each run: `seed 0: 1.25; seed 1: -0.5`.
    """
    lines = [
        line | {"runs": _runs(line["runs"]), "notes": " ".join(line["notes"])}
        for line in comparison_lines(families)
    ]
    return csv_text(NAMES, lines)


def _runs(differences: Mapping[str, float]) -> str:
    return "; ".join(f"{name}: {value:g}" for name, value in differences.items())
