"""Texts in figures: labels as they are, broken into lines, and legends of them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from benchmarks.visible import visible
from reports.figures.options import FigureOptions

LONGEST = 100
"""Largest number of characters of a label."""
LINE = 1.35
"""Height of a line of text, as a multiple of its size."""
_CHARACTER = 0.62
"""Width of a character, as a multiple of its size; few texts have wider ones on average."""
_SAMPLE = 34.0
"""Points that the sample of a legend and the gaps around it take."""


def drawn_text(text: str, longest: int = LONGEST) -> str:
    """A text to draw as it is: on one line, and no mathematics between dollars.

    Of one that is longer than `longest`, the middle is left out.
    """
    line = " ".join(visible(text).split())
    if len(line) > longest:
        line = f"{line[: (longest - 1) // 2]}…{line[-(longest // 2) :]}"
    line = line.replace("$", r"\$")
    return f" {line}" if line.startswith("_") else line  # matplotlib leaves _names out of legends


def wrap(label: str, columns: int = 24) -> str:
    """A label broken into lines that are not longer than `columns`, if its words allow it."""
    name, bracket, settings = drawn_text(label).partition(" (")
    if len(name) + len(bracket) + len(settings) <= columns:
        return name + bracket + settings
    lines = textwrap.wrap(bracket.strip() + settings, columns, break_on_hyphens=False)
    return "\n".join([*(textwrap.wrap(name, columns) or [""]), *lines])


def paragraphs(texts: Sequence[str], options: FigureOptions) -> list[str]:
    """The lines of notes below a figure."""
    columns = characters(options.width, options)
    return [line for text in texts for line in textwrap.wrap(drawn_text(text, 1000), columns)]


def characters(inches: float, options: FigureOptions) -> int:
    """Number of characters of a text that fit into a length."""
    return max(int(72 * inches / (_CHARACTER * options.font_size)), 8)


def line_height(options: FigureOptions) -> float:
    """Inches from one line of text to the next."""
    return LINE * options.font_size / 72


def axis_title(task: str) -> str:
    """Title of an axis of metrics."""
    return "average precision (%)" if task == "multi" else "accuracy (%)"


def legend(
    figure: Figure, handles: Sequence[Artist], options: FigureOptions, *, beside: bool = False
) -> float:
    """Add a legend above a figure, in the order of the handles from left to right, or beside it.

    Returns:
        The height of a legend above, in inches, by which the caller makes the figure higher.
    """
    if not handles:
        return 0.0
    names = [str(handle.get_label()) for handle in handles]
    ncols, labels = (1, [wrap(name) for name in names]) if beside else _columns(names, options)
    for handle, label in zip(handles, labels, strict=True):
        handle.set_label(label)
    figure.legend(
        # matplotlib fills column by column.
        handles=[handle for column in range(ncols) for handle in handles[column::ncols]],
        loc="outside right upper" if beside else "outside upper center",
        handlelength=2.6, ncols=ncols, columnspacing=1.2, borderaxespad=0.2, labelspacing=0.3,
    )  # fmt: skip
    if beside:
        return 0.0
    rows = [labels[start : start + ncols] for start in range(0, len(labels), ncols)]
    lines = sum(max(label.count("\n") + 1 for label in row) for row in rows)
    return line_height(options) * lines + 0.1


def _columns(names: Sequence[str], options: FigureOptions) -> tuple[int, list[str]]:
    """The number of columns of a legend, and its labels: on one line if that makes two columns."""
    character = _CHARACTER * options.font_size
    fewest = 2 if options.narrow else 3
    for ncols in range(len(names), 0, -1):
        room = characters((options.width - ncols * _SAMPLE / 72) / ncols, options)
        labels = [wrap(name, room if ncols <= fewest else LONGEST) for name in names]
        longest = [max(map(_longest_line, labels[column::ncols])) for column in range(ncols)]
        if sum(character * length + _SAMPLE for length in longest) <= 72 * options.width:
            return ncols, labels
    return 1, [wrap(name, characters(options.width - _SAMPLE / 72, options)) for name in names]


def _longest_line(label: str) -> int:
    return max(map(len, label.split("\n")))


def spread_out(wanted: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Centres as close as possible to `wanted` such that intervals of `sizes` do not overlap.

    A least-squares fit that merges neighbours that would overlap (isotonic regression), then
    shifted into [0, 1] if possible.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    offsets, total = [], 0.0
    for i in order:
        offsets.append(total + sizes[i] / 2)
        total += sizes[i]
    blocks: list[list[float]] = []  # [mean of wanted minus offset, members]
    for i, offset in zip(order, offsets, strict=True):
        blocks.append([wanted[i] - offset, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            value, members = blocks.pop()
            before, number = blocks.pop()
            both = number + members
            blocks.append([(before * number + value * members) / both, both])
    starts = [value for value, members in blocks for _ in range(int(members))]
    result = [0.0] * len(wanted)
    for i, offset, start in zip(order, offsets, starts, strict=True):
        result[i] = offset + min(max(start, 0.0), max(1.0 - total, 0.0))
    return result
