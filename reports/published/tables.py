"""Published values and ours, for the terminal and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

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
    for text in texts(found):
        console.print(Padding(Text(text), (0, 0, 0, 1)))


def published_markdown(found: PublishedValues) -> list[str]:
    """The lines of a Markdown section."""
    lines = [f"### {TITLE}", ""]
    if found.values:
        lines += [pipes(HEADS), pipes([":--", ":--", "--:", "--:", "--:", "--:"])]
        for label, *rest in _rows(found):
            lines.append(pipes([code(label), *map(escape_markdown, rest)]))
        lines.append("")
    return [*lines, *(f"- {escape_markdown(text)}" for text in texts(found))]


@dataclass(frozen=True)
class ValueCells:
    """The printed cells of a published value, with as many decimals as were published."""

    title: str
    published: str
    mean: str
    spread: str
    """`± 0.31`, or empty."""
    difference: str
    beyond: str
    """BEYOND, or empty."""
    source: str


def value_cells(found: PublishedValues, value: PublishedValue) -> ValueCells:
    """The cells of one of the published values."""
    ours, like = value.ours, value.published
    return ValueCells(
        title=value.title,
        published=decimals(like),
        mean=NONE if ours.mean is None else decimals(ours.mean, like),
        spread="" if ours.std is None else f"± {decimals(ours.std, like)}",
        difference=_gap(value),
        beyond=BEYOND if value.beyond else "",
        source=f"({found.sources.index(value.source) + 1})",
    )


def _rows(found: PublishedValues) -> list[tuple[str, ...]]:
    """Cells under HEADS."""
    rows: list[tuple[str, ...]] = []
    for value in found.values:
        c = value_cells(found, value)
        mean, gap = f"{c.mean} {c.spread}".rstrip(), f"{c.difference} {c.beyond}".rstrip()
        rows.append((value.name, c.title, c.published, mean, gap, c.source))
    return rows


def _gap(value: PublishedValue) -> str:
    if value.difference is None:
        return NONE
    size = decimals(abs(value.difference), value.published)
    sign = "" if float(size) == 0 else "+" if value.difference > 0 else "−"
    return f"{sign}{size}"


def texts(found: PublishedValues) -> list[str]:
    """Legend, sources and values that are not compared."""
    sources = [f"({i}) {text}" for i, text in enumerate(found.sources, 1)]
    legend = (
        [LEGEND] if found.values else ["No row of this table is the variant of a published value."]
    )
    others = "; ".join(found.others)
    unread = "; ".join(found.unread)
    return [
        *legend,
        *sources,
        *([f"Other variants, not compared: {others}."] if others else []),
        *([f"Published values not read: {unread}."] if unread else []),
    ]
