"""A table as LaTeX."""

from __future__ import annotations

import re

from reports.latex_text import escape_latex
from reports.layout import COST_COLUMNS, NONE, body, columns, legend, mean_std
from reports.outputs import table_output
from reports.published.tables import published_latex
from reports.table import Mark, Summary, Table


@table_output(".tex")
def latex(table: Table) -> str:
    r"""A `table` environment for any article that loads booktabs.

    Characters outside what pdfLaTeX prints by default are written in ASCII.
    """
    metric = columns(table)
    heads = ["method", *(escape_latex(column.title) for column in metric)]
    heads += [column.title for column in COST_COLUMNS]
    sizes = [f"({escape_latex(c.size)})" if c.size else "" for c in metric]
    rows = body(table, escape_latex, escape_latex, _latex_value)
    label = re.sub(r"[^a-z0-9]+", "-", f"{table.dataset} {table.backbone}".lower())[:120].strip("-")
    remark = f" {escape_latex(table.remark)}" if table.remark else ""
    marked = legend(table, r"\textbf{bold}", r"\underline{underlined}")
    lines = [
        r"% Needs \usepackage{booktabs}.",
        *(f"% Warning: {escape_latex(line)}" for line in table.warnings),
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape_latex(table.caption)} {marked}{remark}}}",
        rf"\label{{tab:{label}}}",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{3pt}",
        rf"\begin{{tabular}}{{@{{}}l{'r' * (len(heads) - 1)}@{{}}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
    ]
    if any(sizes):
        lines.append(" & ".join(["", *sizes, *("" for _ in COST_COLUMNS)]) + r" \\")
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


def _latex_value(summary: Summary, mark: Mark | None) -> str:
    mean, std = mean_std(summary)
    # An en dash is as wide as a digit: with ".0" unseen behind it, decimal points stay in line.
    after = r"--\phantom{.0}" if std == NONE else std
    text = escape_latex(mean) if std is None else rf"{mean}{{\scriptsize\,$\pm$\,{after}}}"
    return {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}", None: text}[mark]
