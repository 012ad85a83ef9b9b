"""A table as LaTeX."""

from __future__ import annotations

import re

from reports.grid import table_grid
from reports.latex_text import escape_latex
from reports.layout import Cell, legend
from reports.outputs import table_output
from reports.published.tables import published_latex
from reports.table import Table


@table_output(".tex")
def latex(table: Table) -> str:
    r"""A `table` environment for any article that loads booktabs.

    Characters outside what pdfLaTeX prints by default are written in ASCII.
    """
    grid = table_grid(table)
    heads = [grid.stub, *(escape_latex(_joined(head.text, head.flags)) for head in grid.columns)]
    sizes = [escape_latex(head.below) for head in grid.columns]
    rows = [[escape_latex(head.on_one_line), *map(_latex_cell, own)] for head, own in grid.lines]
    label = re.sub(r"[^a-z0-9]+", "-", f"{table.dataset} {table.backbone}".lower())[:120].strip("-")
    marked = legend(table, r"\textbf{bold}", r"\underline{underlined}")
    caption = filter(None, (escape_latex(table.caption), marked, escape_latex(table.remark)))
    lines = [
        r"% Needs \usepackage{booktabs}.",
        *(f"% Warning: {escape_latex(line)}" for line in table.warnings),
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{' '.join(caption)}}}",
        rf"\label{{tab:{label}}}",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{3pt}",
        rf"\begin{{tabular}}{{@{{}}l{'r' * (len(heads) - 1)}@{{}}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
    ]
    if any(sizes):
        lines.append(" & ".join(["", *sizes]) + r" \\")
    lines += [r"\midrule", *(" & ".join(row) + r" \\" for row in rows)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.footnotes:
        # A paragraph of its own, so that long notes wrap at the text width and not at the table's.
        notes = r"\par ".join(escape_latex(line) for line in table.footnotes)
        lines.append(rf"\par\smallskip\parbox{{\linewidth}}{{\scriptsize\raggedright {notes}}}")
    lines.append(r"\end{table}")
    if table.published is not None:
        named = (table.dataset, table.backbone, f"tab:{label}")
        lines += ["", *published_latex(table.published, *named)]
    return "\n".join(lines) + "\n"


def _joined(*parts: str) -> str:
    return " ".join(filter(None, parts))


def _latex_cell(cell: Cell) -> str:
    text = escape_latex(cell.value)
    if cell.after:
        text += rf"{{\scriptsize\,{escape_latex(cell.after)}}}"
    return {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}", None: text}[
        cell.mark
    ]
