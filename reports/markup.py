"""A table as Markdown and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable

from reports.aggregate import Summary, Table
from reports.escaping import code, escape_latex, escape_markdown, pipes
from reports.layout import COST_COLUMNS, NONE, Mark, columns, cost, flags, marks, mean_std
from reports.published.published_tables import published_latex, published_markdown


def markdown(table: Table) -> str:
    """A GitHub-flavoured Markdown section: heading, caption, table, footnotes, warnings."""
    metric = columns(table)
    heads = ["method", *(f"{c.title} ({c.size})" if c.size else c.title for c in metric)]
    heads += [column.title for column in COST_COLUMNS]
    rows = _body(table, code, escape_markdown, _markdown_value)
    lines = [
        f"## {escape_markdown(table.dataset)} / {escape_markdown(table.backbone)}",
        "",
        f"{escape_markdown(table.caption)} Best in **bold**, second <u>underlined</u>. "
        f"{escape_markdown(table.remark)}".rstrip(),
        "",
        pipes(heads),
        pipes([":--"] + ["--:"] * (len(heads) - 1)),
        *map(pipes, rows),
        "",
        *(f"- {escape_markdown(line)}" for line in table.footnotes),
        *(f"- **Warning:** {escape_markdown(line)}" for line in table.warnings),
    ]
    text = "\n".join(lines).rstrip() + "\n"
    if table.published is None:
        return text
    return "\n".join([text, *published_markdown(table.published)]) + "\n"


def latex(table: Table) -> str:
    r"""A `table` environment for any article that loads booktabs.

    Characters outside what pdfLaTeX prints by default are written in ASCII.
    """
    metric = columns(table)
    heads = ["method", *(column.title for column in metric)]
    heads += [column.title for column in COST_COLUMNS]
    sizes = [f"({escape_latex(c.size)})" if c.size else "" for c in metric]
    rows = _body(table, escape_latex, escape_latex, _latex_value)
    label = re.sub(r"[^a-z0-9]+", "-", f"{table.dataset} {table.backbone}".lower()).strip("-")
    remark = f" {escape_latex(table.remark)}" if table.remark else ""
    lines = [
        r"% Needs \usepackage{booktabs}.",
        *(f"% Warning: {escape_latex(line)}" for line in table.warnings),
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape_latex(table.caption)} Best in \textbf{{bold}}, second "
        rf"\underline{{underlined}}.{remark}}}",
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


Write = Callable[[str], str]


def _body(
    table: Table, label: Write, text: Write, value: Callable[[Summary, Mark | None], str]
) -> list[list[str]]:
    """The rows of the table, cell by cell, written in one of the two languages."""
    rows = [[f"{label(row.label)} {text(flags(row))}".rstrip()] for row in table.rows]
    for column in columns(table):
        for cells, row, mark in zip(rows, table.rows, marks(table, column.key), strict=True):
            cells.append(value(row.values[column.key], mark))
    for column in COST_COLUMNS:
        for cells, row in zip(rows, table.rows, strict=True):
            cells.append(text(cost(column.key, row.values[column.key])))
    return rows


def _markdown_value(summary: Summary, mark: Mark | None) -> str:
    mean, std = mean_std(summary)
    text = mean if std is None else f"{mean} ± {std}"
    return {"best": f"**{text}**", "second": f"<u>{text}</u>", None: text}[mark]


def _latex_value(summary: Summary, mark: Mark | None) -> str:
    mean, std = mean_std(summary)
    # An en dash is as wide as a digit: with ".0" unseen behind it, decimal points stay in line.
    after = r"--\phantom{.0}" if std == NONE else std
    text = escape_latex(mean) if std is None else rf"{mean}{{\scriptsize\,$\pm$\,{after}}}"
    return {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}", None: text}[mark]
