"""Places of columns beside or below each other, and of rows on pages.

Columns that do not fit beside each other become panels below each other. Labels break into lines
where that is better than one more panel. Rows that do not fit on a page become several floats, and
notes that would take much of a page leave the float.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.latex.measure import (
    INDENT,
    LEADING,
    NORMAL,
    NOTES,
    TABLE,
    label_lines,
    lines,
    widest,
    width,
)
from reports.latex.sheet import Sheet
from reports.latex.slots import GAP, ROOMY, TIGHT, Group, Slot, groups_of, heads_of, slots_of
from reports.latex.text import BREAK, parts

SHARE = 0.7
"""Smallest part of the width that a table with notes spans, so that these are not too narrow."""
_CAREFUL = 0.97
"""Part of the width that a table of an estimated width may take; in others, LaTeX breaks labels."""
_TALLEST = 480.0
"""Points of a float; the text of an article on letter paper, with ten points, is 550 high."""
_TALLEST_NOTES = 100.0
"""Points of notes within a float, if they are not a small part of it."""
_SMALL_PART = 0.4
_FEWEST_ROWS = 120.0
"""Points of rows that a float has, whatever is around them."""
_RULES = 22.0
"""Points of rules and of the space between caption and rows."""
_HEADS = 40.0
"""About the points that the heads of a panel take."""
_TORN = 0.15
"""Part of its height by which one more panel makes a table worse: its rows are torn apart."""


@dataclass(frozen=True)
class Layout:
    """A sheet on pages of one width."""

    slots: tuple[Slot, ...]
    panels: int
    heads: tuple[tuple[tuple[str, ...], ...], ...]
    """By panel and slot, the lines of the head."""
    groups: tuple[tuple[Group, ...], ...]
    """By panel."""
    span: float
    """Part of the available width that the table takes, its labels as wide as is left; 0 for its
    natural width, with each label on one line."""
    floats: tuple[tuple[int, int], ...]
    """First and last + 1 row of each float."""
    notes_inside: bool


def lay_out(sheet: Sheet, room: float) -> Layout:
    """The layout of a sheet in `room` points."""
    label = max(widest([line.label for line in sheet.lines], TABLE), width(sheet.stub, TABLE))
    panels, slots = 1, slots_of(sheet, 1, ROOMY)
    if _left(slots, room) < label:
        panels = _panels(sheet, room)
        slots = slots_of(sheet, panels, TIGHT)
    left = _left(slots, room)
    natural = room - left + label
    if natural > _CAREFUL * room:
        span, label = 1.0, max(left, _narrowest(sheet))
    else:
        span = SHARE if sheet.notes and natural < SHARE * room else 0.0
    heads = tuple(heads_of(sheet, slots, panel) for panel in range(panels))
    groups = tuple(groups_of(sheet, slots, panel) for panel in range(panels))
    above = LEADING[NORMAL] * lines(sheet.caption.replace(BREAK, ""), NORMAL, room) + _RULES
    for panel, own in zip(heads, groups, strict=True):
        grouped = max((len(group.head) for group in own), default=0)
        above += LEADING[TABLE] * (2 + max(map(len, panel), default=1) + grouped)
    rows = [panels * height for height in _heights(sheet, label)]
    notes = sum(LEADING[NOTES] * lines(note, NOTES, span * room or natural) for note in sheet.notes)
    inside = not rows or _fit_inside(notes, above + sum(rows))
    most = max(_TALLEST - above - (notes if inside else 0.0), _FEWEST_ROWS)
    return Layout(slots, panels, heads, groups, span, _split(rows, most), inside)


def _fit_inside(notes: float, others: float) -> bool:
    """True if notes belong into the float with all others of its parts."""
    return notes <= max(_TALLEST_NOTES, _SMALL_PART * others) and notes + others <= _TALLEST


def _left(slots: Sequence[Slot], room: float) -> float:
    """Points that are left for labels."""
    return room - sum(slot.width + GAP for slot in slots)


def _panels(sheet: Sheet, room: float) -> int:
    """The number of panels with which the rows are least high, labels broken into lines."""
    best, least = max(len(sheet.columns), 1), math.inf
    narrowest = _narrowest(sheet)
    for panels in range(1, len(sheet.columns) + 1):
        left = _left(slots_of(sheet, panels, TIGHT), room)
        height = panels * (sum(_heights(sheet, left)) + _HEADS) * (1 + _TORN * (panels - 1))
        if left >= narrowest and height < least:
            best, least = panels, height
    return best


def _narrowest(sheet: Sheet) -> float:
    """Points of the longest part of a label that cannot be broken."""
    return INDENT + widest([part for line in sheet.lines for part in parts(line.label)], TABLE)


def _heights(sheet: Sheet, label: float) -> list[float]:
    """Points that each row takes in one panel, with `label` points for its label."""
    found = []
    for line in sheet.lines:
        below = any(cell.below for cell in line.cells)
        # The second line of a label is not beside what is below the cells.
        number = label_lines(line.label, TABLE, label) + below
        found.append(LEADING[TABLE] * number)
    return found


def _split(heights: Sequence[float], most: float) -> tuple[tuple[int, int], ...]:
    """Rows in as few parts as possible that are at most `most` high, all about equally high."""
    total = sum(heights)
    count = max(1, -int(-total // most))
    enough = min(most, total / count + max(heights, default=0.0))
    found, start, height = [], 0, 0.0
    for i, own in enumerate(heights):
        if i > start and height + own > enough:
            found.append((start, i))
            start, height = i, 0.0
        height += own
    return (*found, (start, len(heights)))
