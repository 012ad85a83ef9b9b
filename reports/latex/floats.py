r"""A sheet as LaTeX: one or several floats, and long notes behind them.

The code needs the packages booktabs, siunitx (version 3), tabularx and threeparttable, and no
definitions of its own, so that a file can be read into any document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from reports.latex.layout import lay_out
from reports.latex.sheet import Sheet
from reports.latex.tabular import Rows
from reports.latex.text import breakable, escape_latex, shortened
from reports.latex.width import Width

PACKAGES = ("booktabs", "siunitx", "tabularx", "threeparttable")
HEADER = rf"% Needs \usepackage{{{','.join(PACKAGES)}}}."


def floats(sheet: Sheet, width: Width, report: str) -> str:
    r"""The LaTeX of a sheet.

    Args:
        sheet: what to print.
        width: the place that it has to fit into.
        report: name of the report, which makes labels of several reports differ.
    """
    sheet = _with_short_names(sheet)
    layout = lay_out(sheet, width.points)
    label = f"tab:{report}:{sheet.name}"
    lines = [f"% Warning: {escape_latex(text)}" for text in sheet.warnings]
    for first, last in layout.floats:
        notes = sheet.notes if layout.notes_inside and last == len(sheet.lines) else ()
        lines += [
            rf"\begin{{{width.environment}}}[tp]",
            r"\centering\sloppy",
            *_head(sheet, label, continued=first > 0),
            r"\footnotesize\setlength{\tabcolsep}{3pt}",
            *_body(Rows(sheet, layout, sheet.lines[first:last]), width, notes),
            rf"\end{{{width.environment}}}",
        ]
    if sheet.notes and not layout.notes_inside:
        lines += _notes_outside(sheet.notes, label)
    return "\n".join(lines) + "\n"


def _with_short_names(sheet: Sheet) -> Sheet:
    return replace(
        sheet,
        title=shortened(sheet.title),
        columns=tuple(replace(column, head=shortened(column.head)) for column in sheet.columns),
        lines=tuple(replace(line, label=shortened(line.label)) for line in sheet.lines),
    )


def _head(sheet: Sheet, label: str, *, continued: bool) -> list[str]:
    if continued:
        return [rf"Table~\ref{{{label}}}, continued.\par\smallskip"]
    return [
        rf"\caption[{breakable(sheet.title)}]{{{sheet.caption}}}",
        rf"\label{{{label}}}\smallskip",
    ]


def _body(rows: Rows, width: Width, notes: Sequence[str]) -> Iterator[str]:
    if not rows.lines:
        yield rf"\parbox{{{width.length}}}{{\sloppy"
        yield r"\par ".join(map(breakable, notes)) + "}"
        return
    yield r"\begin{threeparttable}"
    yield from rows.tabular(width)
    if notes:
        yield r"\begin{tablenotes}[flushleft]\scriptsize"
        yield from (rf"\item {breakable(note)}" for note in notes)
        yield r"\end{tablenotes}"
    yield r"\end{threeparttable}"


def _notes_outside(notes: Sequence[str], label: str) -> list[str]:
    return [
        "% The notes are too long for the float. They may be moved, for example to an appendix.",
        r"\par\begingroup\footnotesize\sloppy\noindent",
        rf"\textbf{{Notes to Table~\ref{{{label}}}.}}",
        " ".join(breakable(f"{note.rstrip(' .')}.") for note in notes),
        r"\par\endgroup",
    ]
