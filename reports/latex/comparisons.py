"""Comparisons as sheets."""

from __future__ import annotations

from reports.compare.cells import (
    against_notes,
    family_notes,
    is_shown,
    pair_notes,
    sign_of,
    signed,
    signs_legend,
    title_of,
    titles,
)
from reports.compare.families import Family, Judged, Verdict
from reports.compare.intervals import Interval
from reports.latex.sheet import Column, Entry, Line, Sheet
from reports.latex.text import breakable
from reports.layout import NONE, number


def against_sheet(family: Family, name: str) -> Sheet:
    """One row for each comparison of a table with the same B.

    Args:
        family: the comparisons.
        name: of the label.
    """
    comparisons = [judged.comparison for judged in family.members]
    first = comparisons[0]
    heads = titles(comparisons)
    notes = against_notes(family)
    return Sheet(
        name=name,
        title=f"Differences to {first.b} on {first.table.dataset}",
        caption=breakable(f"{title_of(first.table)}: differences to {first.b}. {notes[0]}"),
        stub="A",
        columns=tuple(Column(head) for head in heads.values()),
        lines=tuple(
            Line(
                judged.comparison.a,
                tuple(
                    _difference(judged.comparison.intervals[metric], judged.verdicts[metric])
                    for metric in heads
                ),
            )
            for judged in family.members
        ),
        notes=tuple(notes[1:]),
    )


def pair_sheet(family: Family, judged: Judged, name: str) -> Sheet:
    """One row for each metric of a comparison.

    Args:
        family: the comparisons that are judged together.
        judged: one of them.
        name: of the label.
    """
    comparison = judged.comparison
    lines = []
    for metric, title in titles([comparison]).items():
        interval, verdict = comparison.intervals[metric], judged.verdicts[metric]
        values = [NONE] * 3
        if interval is not None:
            values = [number(interval.a), number(interval.b), _ends(interval)]
        a, b, ends = map(Entry, values)
        lines.append(Line(title, (a, b, _difference(interval, verdict, below=False), ends)))
    what = f"{title_of(comparison.table)}: {comparison.a} (A) and {comparison.b} (B)."
    return Sheet(
        name=name,
        title=f"{comparison.a} and {comparison.b} on {comparison.table.dataset}",
        caption=breakable(f"{what} {signs_legend(family)}"),
        stub="metric",
        columns=(Column("A"), Column("B"), Column("A − B"), Column("interval")),
        lines=tuple(lines),
        notes=(*pair_notes(family, judged), *family_notes(family, "arrows")),
    )


def _difference(interval: Interval | None, verdict: Verdict | None, *, below: bool = True) -> Entry:
    if interval is None:
        return Entry(NONE)
    return Entry(
        signed(interval.difference),
        sign_of(verdict),
        _ends(interval) if below else "",
        "best" if is_shown(verdict) else None,
    )


def _ends(interval: Interval) -> str:
    return f"[{signed(interval.low)}, {signed(interval.high)}]"
