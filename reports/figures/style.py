"""Size, style, legends and saving of all figures.

Figures have the full width of a two-column page (7 inches, so that 8-point text stays 8-point).
They are legible in print and in grey: methods differ in lightness, dashes, markers and hatching as
well as in hue. They are built without pyplot, so no global state changes and no display is needed.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from benchmarks.safe_files import replacing
from benchmarks.visible import visible

WIDTH = 7.0
"""Inches."""

DPI = 200
MOST = 24
"""Largest number of rows in a figure; more lines would be indistinguishable."""
LONGEST = 100
"""Largest number of characters of a label."""
T = TypeVar("T")

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same on every machine
    "font.size": 8,
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "hatch.linewidth": 0.6,
    "pdf.fonttype": 42,  # publishers refuse Type 3 fonts
}


class Look(NamedTuple):
    """Appearance of a row in lines and bars."""

    colour: str
    dashes: tuple[float, tuple[float, ...]]
    marker: str
    hatch: str


_SOLID = (0.0, ())
# Neighbours differ in lightness and in every other property.
_LOOKS = (
    Look("#000000", _SOLID, "o", ""),
    Look("#e69f00", _SOLID, "s", "///"),
    Look("#0060a8", (0.0, (5.0, 1.5)), "^", ""),
    Look("#3fa34d", (0.0, (1.2, 1.2)), "D", "\\\\\\"),
    Look("#7a1e1e", (0.0, (6.0, 1.5, 1.2, 1.5)), "v", "xxx"),
    Look("#56b4e9", _SOLID, "P", "..."),
    Look("#c2337f", (0.0, (3.0, 1.2)), "X", "---"),
    Look("#8f8f8f", (0.0, (8.0, 2.0)), "<", "|||"),
    Look("#5b3a98", (0.0, (1.2, 1.2, 4.0, 1.2)), ">", "+++"),
    Look("#a8692b", (0.0, (2.0, 2.0)), "*", "ooo"),
)


def look(index: int) -> Look:
    """Appearance of the row `index`, the same in every figure of a table."""
    again, place = divmod(index, len(_LOOKS))
    # Colours repeat with other markers and hatches.
    shape = _LOOKS[(place + 3 * again) % len(_LOOKS)]
    return _LOOKS[place]._replace(marker=shape.marker, hatch=shape.hatch)


@contextmanager
def style() -> Iterator[None]:
    """Settings of the figures, independent of the user's matplotlibrc."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `stem`.png (200 dpi) and `stem`.pdf; equal figures yield equal bytes."""
    png, pdf = (stem.parent / f"{stem.name}.{ending}" for ending in ("png", "pdf"))
    with style(), warnings.catch_warnings():
        # A character that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        figure.set_dpi(DPI)
        figure.draw_without_rendering()  # lays out the figure, once for both files
        figure.set_layout_engine("none")
        no_date = {"CreationDate": None, "Creator": None, "Producer": None}
        for file, metadata in ((png, {"Software": None}), (pdf, no_date)):
            # Drawn in memory: matplotlib's errors on a full disk do not tell its reason.
            content = io.BytesIO()
            figure.savefig(content, format=file.suffix[1:], dpi=DPI, metadata=metadata)
            with replacing(file) as stream:
                stream.write(content.getbuffer())
    return [png, pdf]


def shown(items: Sequence[T]) -> tuple[Sequence[T], str]:
    """The highest of the sorted rows that fit in a figure, and a note on those left out.

    The note is empty if all fit.
    """
    if len(items) <= MOST:
        return items, ""
    return items[-MOST:], f"the {MOST} highest of {len(items)} rows"


def drawn_text(text: str) -> str:
    """A text to draw as it is: on one line, and no mathematics between dollars.

    Of one that is longer than LONGEST, the middle is left out.
    """
    line = " ".join(visible(text).split()).replace("$", r"\$")
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"
    return f" {line}" if line.startswith("_") else line  # matplotlib leaves _names out of legends


def wrap(label: str) -> str:
    """A label broken into lines that fit next to a figure."""
    name, bracket, settings = drawn_text(label).partition(" (")
    lines = textwrap.wrap(bracket.strip() + settings, 24, break_on_hyphens=False)
    return "\n".join([name, *lines])


def axis_title(task: str) -> str:
    """Title of an axis of metrics."""
    return "Average precision (%)" if task == "multi" else "Accuracy (%)"


def legend(figure: Figure, handles: Sequence[Artist], ncols: int, handlelength: float) -> None:
    """Add a legend above a figure, in the order of the handles from left to right."""
    figure.legend(
        # matplotlib fills column by column.
        handles=[handle for column in range(ncols) for handle in handles[column::ncols]],
        loc="outside upper center", frameon=False, handlelength=handlelength, ncols=ncols,
        columnspacing=1.4,
    )  # fmt: skip


def legend_columns(labels: Sequence[str]) -> int:
    """Largest number of columns of labels that fits the width of a figure."""
    for ncols in range(len(labels), 1, -1):
        longest = [max(map(len, labels[column::ncols])) for column in range(ncols)]
        # In points: a character of 8-point text, then the patch and the gaps around it.
        if sum(4.9 * length + 36 for length in longest) <= 72 * WIDTH:
            return ncols
    return 1
