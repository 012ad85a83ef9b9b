"""A table as Markdown."""

from __future__ import annotations

from reports.grid import table_grid
from reports.layout import legend
from reports.markdown_grid import markdown_grid
from reports.markdown_text import escape_markdown
from reports.outputs import table_output
from reports.published.tables import published_markdown
from reports.table import Table


@table_output(".md")
def markdown(table: Table) -> str:
    """A GitHub-flavoured Markdown section: heading, caption, table, footnotes, warnings."""
    caption = (
        escape_markdown(table.caption),
        legend(table, "**bold**", "<u>underlined</u>"),
        escape_markdown(table.remark),
    )
    lines = [
        f"## {escape_markdown(table.name)} / {escape_markdown(table.backbone_name)}",
        "",
        " ".join(filter(None, caption)),
        "",
        *markdown_grid(table_grid(table)),
        "",
        *(f"- {escape_markdown(line)}" for line in table.footnotes),
        *(f"- **Warning:** {escape_markdown(line)}" for line in table.warnings),
    ]
    text = "\n".join(lines).rstrip() + "\n"
    if table.published is None:
        return text
    return "\n".join([text, *published_markdown(table.published)]) + "\n"
