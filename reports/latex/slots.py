"""The columns of a sheet as they are set: below each other in panels, with their heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reports.latex.measure import SMALL, TABLE, widest, width
from reports.latex.sheet import Entry, Sheet

GAP = 6.0
"""Points between two columns."""
ROOMY, TIGHT = 80.0, 52.0
"""Points that a head may take before it breaks into lines: where there is room, and elsewhere."""
_THIN = 1.2
"""Points of a thin space, of which there is one before each part of what is behind a number."""
_PIECE = 12
"""Most characters of a head that stay on one line, whatever they are."""
_BOLD = 1.1
"""Width of bold characters, compared with others."""


@dataclass(frozen=True)
class Slot:
    """Columns below each other, one of each panel."""

    columns: tuple[int | None, ...]
    """Index of the column by panel; None if the last panel has fewer."""
    aligned: frozenset[int]
    """Columns whose numbers are set on one decimal point."""
    form: tuple[bool, int, int]
    """Form of these numbers: has signs, digits before and behind the decimal point."""
    after: str
    """The longest text behind a number; empty if there is none."""
    core: float
    """Points that the cells need, without what is below them."""
    width: float
    """Points that heads and cells need."""

    @property
    def overhang(self) -> float:
        """Points by which heads and what is below the cells stand out on each side."""
        return (self.width - self.core) / 2

    @property
    def parts(self) -> int:
        """Columns of LaTeX: one for numbers or texts, and one for what is behind numbers."""
        return 2 if self.aligned and self.after else 1

    @property
    def widest_number(self) -> str:
        """Digits that take as much room as any number."""
        signs, before, behind = self.form
        return "+" * signs + "8" * before + "." * bool(behind) + "8" * behind


@dataclass(frozen=True)
class Group:
    """Neighbouring slots with one head above theirs."""

    first: int
    last: int
    """The last one + 1."""
    head: tuple[str, ...]
    """The lines of the head; empty for slots that share none."""


def slots_of(sheet: Sheet, panels: int, head: float) -> tuple[Slot, ...]:
    """The slots of a sheet.

    Args:
        sheet: whose columns they hold.
        panels: number of panels.
        head: points that a head may take before it breaks into lines.
    """
    each = -(-len(sheet.columns) // panels)
    places = [
        [i if (i := panel * each + slot) < len(sheet.columns) else None for panel in range(panels)]
        for slot in range(each)
    ]
    slots = [_slot(sheet, tuple(own), head) for own in places]
    for panel in range(panels):
        for group in groups_of(sheet, slots, panel, head):
            own = slots[group.first : group.last]
            room = sum(slot.width + GAP for slot in own) - GAP
            more = max(widest(group.head, TABLE) - room, 0.0) / len(own)
            slots[group.first : group.last] = [replace(s, width=s.width + more) for s in own]
    return tuple(slots)


def _slot(sheet: Sheet, columns: tuple[int | None, ...], head: float) -> Slot:
    own = {i: sheet.cells(i) for i in columns if i is not None}
    decimals = {i: _decimals(cells) for i, cells in own.items()
                if sheet.columns[i].is_numeric(cells)}  # fmt: skip
    # Numbers with other decimals, such as ranks below accuracies, are texts here.
    aligned = [i for i, behind in decimals.items() if behind == next(iter(decimals.values()))]
    numbers = [n for i in aligned for cell in own[i] if (n := cell.number) is not None]
    every = [cell for cells in own.values() for cell in cells]
    longest = max((cell.after for cell in every), key=_after_width, default="")
    slot = Slot(
        columns,
        frozenset(aligned),
        (
            any(sign for sign, _, _ in numbers),
            max((len(whole) for _, whole, _ in numbers), default=1),
            max((len(rest) for _, _, rest in numbers), default=0),
        ),
        longest,
        core=0.0,
        width=0.0,
    )
    texts = [cell.text for i, cells in own.items() if i not in aligned for cell in cells]
    number = _BOLD * width(slot.widest_number, TABLE) + _after_width(longest) if aligned else 0.0
    core = max(number, _BOLD * widest(texts, TABLE))
    room = max(core, widest([cell.below for cell in every], SMALL))
    shown = [sheet.columns[i] for i in own]
    heads = [widest([*broken(c.head, max(room, head)), c.size], TABLE) for c in shown]
    return replace(slot, core=core, width=max(room, *heads))


def _decimals(cells: Sequence[Entry]) -> int:
    return max(len(number[2]) for cell in cells if (number := cell.number) is not None)


def _after_width(text: str) -> float:
    words = text.split()
    return widest(["".join(words)], SMALL) + _THIN * len(words)


def heads_of(sheet: Sheet, slots: Sequence[Slot], panel: int) -> tuple[tuple[str, ...], ...]:
    """The lines of the head of each slot; empty where the last panel has no column."""
    places = [(slot, slot.columns[panel]) for slot in slots]
    return tuple(
        () if place is None else tuple(broken(sheet.columns[place].head, slot.width))
        for slot, place in places
    )


def groups_of(
    sheet: Sheet, slots: Sequence[Slot], panel: int, head: float = 0.0
) -> tuple[Group, ...]:
    """The groups of a panel; together they are all slots.

    Args:
        sheet: whose columns the slots hold.
        slots: those of all panels.
        panel: its number.
        head: points that the head of a group may take at least before it breaks into lines.
    """
    places = [slot.columns[panel] for slot in slots]
    names = ["" if place is None else sheet.columns[place].group for place in places]
    starts = [i for i, name in enumerate(names) if not (name and i and names[i - 1] == name)]
    found = []
    for first, last in zip(starts, [*starts[1:], len(names)], strict=True):
        room = max(sum(slot.width + GAP for slot in slots[first:last]) - GAP, head)
        lines = tuple(broken(names[first], room)) if names[first] else ()
        found.append(Group(first, last, lines))
    return tuple(found)


def broken(head: str, room: float) -> list[str]:
    """A head in lines of at most `room` points where it has places to break."""
    found = [""]
    for piece in _pieces(head):
        if found[-1] and width((found[-1] + piece).rstrip(), TABLE) > room + 0.01:
            found.append("")
        found[-1] += piece
    return [line.strip() for line in found if line.strip()] or [""]


def _pieces(head: str) -> list[str]:
    pieces = [""]
    for character, after in zip(head, f"{head[1:]} ", strict=False):
        pieces[-1] += character
        if character in " _=,/-" or after == "(" or len(pieces[-1]) == _PIECE:
            pieces.append("")
    return [piece for piece in pieces if piece]
