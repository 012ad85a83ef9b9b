"""Style and saving of all figures.

A figure has the width that it is printed with, so that its text has its size in print: 8 points.
Figures are legible in print and in grey, see `looks`. They are built without pyplot, so no global
state changes and no display is needed.
"""

from __future__ import annotations

import io
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.backends.backend_pgf import FigureCanvasPgf
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter

from benchmarks.errors import UserError, did_you_mean
from benchmarks.input_files import MB, read_text
from benchmarks.safe_files import replacing
from reports.figures.options import FigureOptions
from reports.latex.text import escape_latex

DPI = 200
GRID: dict[str, Any] = {"color": "#dddddd", "lw": 0.6, "zorder": 0}
"""Lines of a grid behind everything else."""

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same on every machine
    "axes.labelsize": "medium",
    "axes.titlesize": "medium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.labelsize": "medium",
    "ytick.labelsize": "medium",
    "legend.fontsize": "medium",
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "lines.markeredgewidth": 0.8,
    "hatch.linewidth": 0.6,
    "pdf.fonttype": 42,  # publishers refuse Type 3 fonts
    "svg.hashsalt": "figure",  # equal figures have equal names inside
    "pgf.texsystem": "pdflatex",
    "pgf.rcfonts": False,  # the document's own fonts
}
_KEPT: dict[Any, Any] = {
    "savefig.bbox": None,  # "tight" would change the width
    "figure.autolayout": False,
    "figure.constrained_layout.use": False,
}
"""Settings that no style replaces."""
_UNUSED = ("backend", "interactive", "toolbar", "timezone", "docstring.", "webagg.", "tk.")
"""Beginnings of the settings that are about matplotlib's windows, which a style may not change."""


@contextmanager
def style(options: FigureOptions | None = None) -> Iterator[None]:
    """Settings of the figures, independent of the user's matplotlibrc."""
    options = options or FigureOptions()
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({**STYLE, "font.size": options.font_size})
        if options.style is not None:
            mpl.rcParams.update(read_style(options.style))
        mpl.rcParams.update(_KEPT)
        yield


@cache
def read_style(file: Path) -> dict[Any, Any]:
    """The settings in a matplotlib style file.

    Raises:
        UserError: it cannot be read, or has a setting that is unknown, wrong or of no use here.
    """
    try:
        lines = read_text(file, MB).splitlines()
        for number, line in enumerate(lines, 1):
            text = line.strip()
            key, colon, _ = text.partition(":")
            if text and not text.startswith("#"):
                if not colon:
                    raise UserError(f"{file}, line {number}: '{text}' is not NAME: VALUE.")
                if key.strip() not in mpl.rcParamsDefault:
                    raise did_you_mean(f"setting in {file}", key.strip(), mpl.rcParamsDefault)
        found = mpl.rc_params_from_file(file, fail_on_error=True, use_default_template=False)
    except OSError as error:
        raise UserError(f"Cannot read {file}: {error.strerror or error}.") from error
    except ValueError as error:
        raise UserError(f"{file}: {' '.join(str(error).split())}") from error
    if found.get("text.usetex"):
        raise UserError(
            f"{file}: text.usetex would take labels for TeX: leave it out; --format pgf sets texts "
            "in the fonts of your document."
        )
    settings = {key: value for key, value in found.items() if not key.startswith(_UNUSED)}
    with mpl.rc_context(settings):
        try:
            font_manager.findfont(font_manager.FontProperties(), fallback_to_default=False)
        except ValueError:
            families = ", ".join(mpl.rcParams["font.family"])
            raise UserError(f"{file}: there is no font '{families}' on this machine.") from None
    return settings


def check_tex(where: str) -> None:
    """Refuse the format pgf without the program that measures its texts.

    Raises:
        UserError: there is none.
    """
    if shutil.which("pdflatex") is None:
        raise UserError(f"{where}: pgf needs pdflatex, which is not on this machine.")


def save(figure: Figure, stem: Path, options: FigureOptions | None = None) -> list[Path]:
    """Write `stem` with the ending of each format; equal figures yield equal bytes."""
    options = options or FigureOptions()
    files = []
    with style(options), warnings.catch_warnings():
        # A character that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        dpi = DPI if mpl.rcParams["savefig.dpi"] == "figure" else mpl.rcParams["savefig.dpi"]
        figure.set_dpi(dpi)
        figure.draw_without_rendering()  # lays out the figure, once for all formats but pgf
        figure.set_layout_engine("none")
        for ending in sorted(options.formats, key=lambda name: (name == "pgf", name)):
            if ending == "pgf":
                _set_for_tex(figure)
            # Drawn in memory: matplotlib's errors on a full disk do not tell its reason.
            content = io.BytesIO()
            figure.savefig(content, format=ending, dpi=dpi, **_METADATA[ending])
            file = stem.parent / f"{stem.name}.{ending}"
            with replacing(file) as stream:
                stream.write(content.getbuffer())
            files.append(file)
    return files


_METADATA: dict[str, dict[str, Any]] = {
    "png": {"metadata": {"Software": None}},
    "pdf": {"metadata": {"CreationDate": None, "Creator": None, "Producer": None}},
    "svg": {"metadata": {"Date": None, "Creator": None}},
    "pgf": {},
}
"""Leaves out dates and versions, with which equal figures would differ."""


def _set_for_tex(figure: Figure) -> None:
    """Escape all texts for LaTeX and lay the figure out by the sizes that LaTeX gives them."""
    ticks: set[int] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            formatter = axis.get_major_formatter()
            # Only ticks that have names are of this kind; axes may share them.
            if isinstance(formatter, FuncFormatter) and not isinstance(formatter, _NamesForTex):
                axis.set_major_formatter(_NamesForTex(formatter))
            # The others are numbers, some of them in TeX's own notation.
            ticks.update(map(id, axis.get_ticklabels(which="both")))
    for text in figure.findobj(Text):
        if id(text) not in ticks:
            text.set_text(_for_tex(text.get_text()))
    FigureCanvasPgf(figure)
    figure.set_layout_engine("constrained")


class _NamesForTex(FuncFormatter):
    """Names of ticks, escaped for LaTeX.

    Args:
        names: returns a name as it is.
    """

    def __init__(self, names: FuncFormatter) -> None:
        super().__init__(lambda place, index: _for_tex(names(place, index)))


def _for_tex(text: str) -> str:
    """The lines of a drawn text, escaped for LaTeX."""
    return "\n".join(escape_latex(line.replace(r"\$", "$")) for line in text.split("\n"))
