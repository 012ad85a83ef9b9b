"""A table as Markdown."""

from __future__ import annotations

from reports.layout import COST_COLUMNS, body, columns, legend, mean_std
from reports.markdown_text import code, escape_markdown, pipes
from reports.outputs import table_output
from reports.published.tables import published_markdown
from reports.table import Mark, Summary, Table


@table_output(".md")
def markdown(table: Table) -> str:
    """A GitHub-flavoured Markdown section: heading, caption, table, footnotes, warnings."""
    metric = columns(table)
    heads = ["method", *(column.head for column in metric)]
    heads += [column.title for column in COST_COLUMNS]
    rows = body(table, code, escape_markdown, _markdown_value)
    lines = [
        f"## {escape_markdown(table.dataset)} / {escape_markdown(table.backbone)}",
        "",
        f"{escape_markdown(table.caption)} {legend(table, '**bold**', '<u>underlined</u>')} "
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


def _markdown_value(summary: Summary, mark: Mark | None) -> str:
    mean, std = mean_std(summary)
    text = mean if std is None else f"{mean} ± {std}"
    return {"best": f"**{text}**", "second": f"<u>{text}</u>", None: text}[mark]
