r"""The `tabular` of rows of a sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reports.latex.layout import Layout
from reports.latex.measure import INDENT
from reports.latex.sheet import Entry, Line, Sheet
from reports.latex.slots import GAP, Slot
from reports.latex.text import breakable, escape_latex
from reports.latex.width import Width
from reports.layout import NONE

_THIN = r"\,"


class Rows:
    """Rows of a sheet that are in one float."""

    def __init__(self, sheet: Sheet, layout: Layout, lines: Sequence[Line]) -> None:
        self.lines = lines
        self._sheet, self._layout = sheet, layout
        slots = layout.slots
        around = [0.0, *(slot.overhang for slot in slots), 0.0]
        self._gaps = [
            rf"@{{\hspace{{{GAP * (0 < i < len(slots)) + around[i] + around[i + 1]:.1f}pt}}}}"
            for i in range(1, len(slots) + 1)
        ]
        """Space behind each slot."""

    def tabular(self, width: Width) -> Iterator[str]:
        layout = self._layout
        if layout.span:
            begin = rf"\begin{{tabularx}}{{{width.part(layout.span)}}}"
            label = rf">{{\raggedright\arraybackslash\hangindent={INDENT:g}pt}}X"
        else:
            begin, label = r"\begin{tabular}", "l"
        first = GAP + (layout.slots[0].overhang if layout.slots else 0.0)
        yield rf"{begin}{{@{{}}{label}@{{\hspace{{{first:.1f}pt}}}}%"
        for slot, gap in zip(layout.slots, self._gaps, strict=True):
            yield f"  {self._column(slot)}{gap}%"
        yield "}"
        yield r"\toprule"
        for panel in range(layout.panels):
            yield from [r"\midrule"] if panel else []
            yield from self._heads(panel)
            yield r"\midrule"
            for line in self.lines:
                yield from self._line(line, panel)
        yield r"\bottomrule"
        yield r"\end{tabularx}" if layout.span else r"\end{tabular}"

    def _column(self, slot: Slot) -> str:
        if not slot.aligned:
            return "r"
        signs, before, behind = slot.form
        form = f"{'+' * signs}{before}.{behind}"
        options = f"table-format={form},retain-explicit-plus,mode=text,reset-text-series=false"
        return f"S[{options}]" + ("@{}l" if slot.after else "")

    def _heads(self, panel: int) -> Iterator[str]:
        yield from self._group_heads(panel)
        heads = self._layout.heads[panel]
        height = max((len(head) for head in heads), default=1)
        for i in range(height):
            stub = escape_latex(self._sheet.stub) if i == height - 1 else ""
            at = [i - height + len(head) for head in heads]
            texts = [head[i] if i >= 0 else "" for head, i in zip(heads, at, strict=True)]
            yield self._head(stub, texts)
        columns = [slot.columns[panel] for slot in self._layout.slots]
        sizes = ["" if i is None else self._sheet.columns[i].size for i in columns]
        if any(sizes):
            yield self._head("", sizes)

    def _group_heads(self, panel: int) -> Iterator[str]:
        """Lines of the heads above several columns, and rules below them."""
        groups = self._layout.groups[panel]
        height = max((len(group.head) for group in groups), default=0)
        for i in range(height):
            cells = [""]
            for group in groups:
                at = i - height + len(group.head)
                text = escape_latex(group.head[at]) if at >= 0 else ""
                cells.append(self._over(group.first, text, until=group.last))
            yield _row(cells)
        ends = [2]
        for slot in self._layout.slots:
            ends.append(ends[-1] + slot.parts)
        rules = [
            rf"\cmidrule(lr){{{ends[group.first]}-{ends[group.last] - 1}}}"
            for group in groups
            if group.head
        ]
        yield from ["".join(rules)] if rules else []

    def _head(self, stub: str, texts: Sequence[str]) -> str:
        cells = [stub]
        for place, (slot, text) in enumerate(zip(self._layout.slots, texts, strict=True)):
            written = escape_latex(text)
            cells.append(self._over(place, written) if slot.aligned else written)
        return _row(cells)

    def _line(self, line: Line, panel: int) -> Iterator[str]:
        cells, below = [breakable(line.label)], [""]
        for place, slot in enumerate(self._layout.slots):
            column = slot.columns[panel]
            cell = Entry("") if column is None else line.cells[column]
            cells.append(self._cell(place, cell, aligned=column in slot.aligned))
            small = rf"\scriptsize {escape_latex(cell.below)}" if cell.below else ""
            below.append(self._over(place, small) if slot.aligned else small)
        yield _row(cells)
        if any(cell.below for cell in line.cells):
            yield _row(below)

    def _cell(self, place: int, cell: Entry, *, aligned: bool) -> str:
        slot, text = self._layout.slots[place], escape_latex(cell.text)
        small = _small(cell.after)
        bold = cell.mark == "best"
        if aligned and cell.text == NONE:
            return self._none(slot)
        if not aligned or cell.number is None:
            text = (rf"\textbf{{{text}}}" if bold else text) + small
            return self._over(place, text, "r") if slot.aligned else text
        number = "".join(cell.number[:2]).replace("−", "-")
        number += f".{cell.number[2]}" if cell.number[2] else ""
        if bold:
            number = rf"\bfseries {number}"
        elif cell.mark == "second":
            number += rf"{{\llap{{\underline{{\phantom{{{text}}}}}}}}}"
        return number + (f" & {small}" if slot.after else "")

    def _none(self, slot: Slot) -> str:
        """A dash; as wide as a number, since a float may have no number in the column."""
        dash = rf"{{\hphantom{{{slot.widest_number}}}\llap{{--}}}}"
        return dash + (rf" & \hphantom{{{_small(slot.after)}}}" if slot.after else "")

    def _over(self, place: int, text: str, align: str = "c", *, until: int | None = None) -> str:
        """A text over all parts of one or several slots; one in the middle takes no room."""
        last = place + 1 if until is None else until
        number = sum(slot.parts for slot in self._layout.slots[place:last])
        inner = rf"\makebox[0pt]{{{text}}}" if text and align == "c" else text
        return rf"\multicolumn{{{number}}}{{@{{}}{align}{self._gaps[last - 1]}}}{{{inner}}}"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _small(after: str) -> str:
    return rf"{{\scriptsize\,{escape_latex(after).replace(' ', _THIN)}}}" if after else ""
