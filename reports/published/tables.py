"""Published values and ours, for the terminal, as Markdown and as LaTeX."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from reports.latex_text import escape_latex
from reports.layout import NONE
from reports.markdown_text import code, escape_markdown, pipes
from reports.published.matching import decimals
from reports.table import PublishedValue, PublishedValues

BEYOND = "!"
HEADS = ("method", "value", "published", "ours", "difference", "source")
TITLE = "Published values"
LEGEND = (
    "Difference: ours minus published, in points; "
    f"{BEYOND} marks a difference beyond the tolerance given with the source."
)


def print_published(found: PublishedValues, console: Console) -> None:
    """Print the published values of a table."""
    console.print(Text(TITLE, style="bold"))
    if found.values:
        grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
        for head in HEADS:
            left = head in HEADS[:2]
            grid.add_column(
                head, justify="left" if left else "right", no_wrap=head != "method",
                overflow="fold",
            )  # fmt: skip
        for cells in _rows(found):
            grid.add_row(*map(Text, cells))
        console.print(grid)
    for text in _texts(found):
        console.print(Padding(Text(text), (0, 0, 0, 1)))


def published_markdown(found: PublishedValues) -> list[str]:
    """The lines of a Markdown section."""
    lines = [f"### {TITLE}", ""]
    if found.values:
        lines += [pipes(HEADS), pipes([":--", ":--", "--:", "--:", "--:", "--:"])]
        for label, *rest in _rows(found):
            lines.append(pipes([code(label), *map(escape_markdown, rest)]))
        lines.append("")
    return [*lines, *(f"- {escape_markdown(text)}" for text in _texts(found))]


def published_latex(found: PublishedValues, dataset: str, backbone: str, label: str) -> list[str]:
    r"""The lines of a separate `table` environment.

    Args:
        found: the published values of a table.
        dataset: data set of the table.
        backbone: backbone of the table.
        label: `\label` of the table.
    """
    title = f"{TITLE} on {dataset} with {backbone}, and ours."
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape_latex(title)}}}",
        rf"\label{{{label}-published}}",
        r"\footnotesize",
    ]
    if found.values:
        lines += [r"\begin{tabular}{@{}llrrrr@{}}", r"\toprule"]
        lines += [" & ".join(HEADS) + r" \\", r"\midrule"]
        lines += [" & ".join(map(escape_latex, cells)) + r" \\" for cells in _rows(found)]
        lines += [r"\bottomrule", r"\end{tabular}"]
    notes = r"\par ".join(map(escape_latex, _texts(found)))
    lines.append(rf"\par\smallskip\parbox{{\linewidth}}{{\scriptsize\raggedright {notes}}}")
    return [*lines, r"\end{table}"]


def _rows(found: PublishedValues) -> list[tuple[str, ...]]:
    """Cells under HEADS, with as many decimals as were published."""
    rows: list[tuple[str, ...]] = []
    for value in found.values:
        ours, like = value.ours, value.published
        mean = NONE if ours.mean is None else decimals(ours.mean, like)
        std = "" if ours.std is None else f" ± {decimals(ours.std, like)}"
        number = found.sources.index(value.source) + 1
        figures = (decimals(like), mean + std, _gap(value))
        rows.append((value.name, value.title, *figures, f"({number})"))
    return rows


def _gap(value: PublishedValue) -> str:
    if value.difference is None:
        return NONE
    size = decimals(abs(value.difference), value.published)
    sign = "" if float(size) == 0 else "+" if value.difference > 0 else "−"
    return f"{sign}{size}{f' {BEYOND}' if value.beyond else ''}"


def _texts(found: PublishedValues) -> list[str]:
    """Legend, sources and values that are not compared."""
    texts = [f"({i}) {text}" for i, text in enumerate(found.sources, 1)]
    legend = (
        [LEGEND] if found.values else ["No row of this table is the variant of a published value."]
    )
    others = "; ".join(found.others)
    unread = "; ".join(found.unread)
    return [
        *legend,
        *texts,
        *([f"Other variants, not compared: {others}."] if others else []),
        *([f"Published values not read: {unread}."] if unread else []),
    ]
