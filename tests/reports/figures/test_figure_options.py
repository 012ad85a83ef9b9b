"""The user's choices for figures: checked at once, and followed by every figure and file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib.text import Text

from benchmarks.errors import UserError
from reports.figures.drawing import Drawing
from reports.figures.groups import groups
from reports.figures.looks import GREY
from reports.figures.options import FigureOptions
from reports.figures.registry import TABLE_FIGURES
from reports.figures.settings import figure_options
from reports.figures.style import save, style
from reports.report import write_report
from reports.settings import Settings
from reports.table import Row
from tests.reports.figures.made import full
from tests.results.factory import make_record


def options(**values: Any) -> FigureOptions:
    return figure_options(
        {name: (value, f"--{name.replace('_', '-')}") for name, value in values.items()}
    )


def test_values_of_flags_and_of_yaml() -> None:
    assert options() == FigureOptions()
    found = options(figure_width="3.3", font_size=9, format="pdf,svg", highlight="a (b, c),d")
    assert found == FigureOptions(3.3, 9.0, None, ("pdf", "svg"), ("a (b, c)", "d"))
    assert options(figure_width=7, format=["svg", "png", "svg"], highlight=["x, y", "z"]) == (
        FigureOptions(7.0, formats=("svg", "png"), highlight=("x", "y", "z"))
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"figure_width": "1"}, "--figure-width: '1' is not a number of inches from 2.5 to 20."),
        ({"figure_width": "nan"}, "--figure-width: .*'nan'"),
        ({"figure_width": "wide"}, "--figure-width: .*'wide'"),
        ({"font_size": 100}, "--font-size: '100' is not a number of points from 4 to 30."),
        ({"format": "pdg"}, "Unknown format in --format 'pdg'. Did you mean: p"),
        ({"format": ""}, "--format: name one or more of png, pdf, svg, pgf."),
        ({"style": ""}, "--style: '' is not a path."),
        ({"style": "no/such.mplstyle"}, "Cannot read no/such.mplstyle: No such file"),
    ],
)
def test_unusable_values_are_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        options(**values)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("font.sze: 9", "Unknown setting in .*'font.sze'. Did you mean: font.size"),
        ("font.size: large-ish", "could not convert|not a valid|large-ish"),
        ("# fine\nfont.size 9", "line 2: 'font.size 9' is not NAME: VALUE."),
        ("text.usetex: True", "text.usetex would take labels for TeX"),
        ("font.family: No Such Font", "there is no font 'No Such Font' on this machine"),
        ("\xff", "."),
    ],
)
def test_a_style_file_is_checked_before_anything_is_drawn(
    text: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "own.mplstyle"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=message) as raised:
        options(style=file)
    assert "\n" not in str(raised.value)


def test_a_style_of_ones_own_changes_figures_but_for_their_width(tmp_path: Path) -> None:
    file = tmp_path / "own.mplstyle"
    file.write_text(
        "font.size: 11\nfigure.figsize: 2, 2\nsavefig.bbox: tight\nbackend: TkAgg\n"
        "savefig.dpi: 50\naxes.facecolor: ff0000\n"
    )
    chosen = options(style=file, figure_width=3.3)
    with style(chosen):
        assert mpl.rcParams["font.size"] == 11
        assert mpl.rcParams["savefig.bbox"] is None
        assert mpl.rcParams["backend"] != "TkAgg"
    made = full()
    figure = groups(made.table(), Drawing(chosen))
    assert figure is not None and figure.get_size_inches()[0] == 3.3
    assert figure.axes[0].get_facecolor() == (1.0, 0.0, 0.0, 1.0)
    (_, png) = save(figure, tmp_path / "figure", chosen)
    width = int.from_bytes(png.read_bytes()[16:20], "big")
    assert width == 3.3 * 50


@pytest.mark.parametrize("name", sorted(TABLE_FIGURES))
@pytest.mark.parametrize("width", [3.3, 7.0])
def test_every_figure_has_its_width_and_all_of_it_is_inside(name: str, width: float) -> None:
    made = full(("short", "a setting with a name so long that it takes several lines"))
    figure = TABLE_FIGURES[name](made.table(), made.drawing(width=width))
    assert figure is not None
    assert figure.get_size_inches()[0] == width
    figure.draw_without_rendering()
    sizes = {text.get_fontsize() for text in figure.findobj(Text) if text.get_visible()}
    assert sizes == {8.0}
    box, (_, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= -0.02 and box.y0 >= -0.02
    assert box.x1 <= width + 0.02 and box.y1 <= height + 0.02
    assert min(axes.get_window_extent().height for axes in figure.axes) > 20


def test_highlighted_rows_are_in_colour_and_the_others_grey() -> None:
    rows = [Row(f"m{i}", f"M{i}", f"m{i}", {}, None, (), (), False) for i in range(12)]

    def coloured(*highlight: str, named: bool = False) -> tuple[list[str], str]:
        drawing = Drawing(FigureOptions(highlight=highlight))
        shown = drawing.shown(rows, lambda row: float(row.label[1:]), named=named)
        assert [row for row, _ in shown] == rows
        return [row.label for row, look in shown if look is not GREY], shown.note

    assert coloured() == ([f"m{i}" for i in range(2, 12)], "grey: the other 2")
    assert coloured("m3", "m1") == (["m1", "m3"], "grey: the other 10")
    assert coloured(named=True) == ([f"m{i}" for i in range(12)], "")
    assert coloured("m3", named=True) == (["m3"], "")
    # A row that another table of the report has.
    assert coloured("other")[1] == "grey: the other 2"


def test_highlighted_rows_are_drawn_however_low() -> None:
    rows = [Row(f"m{i:02}", f"M{i:02}", f"m{i:02}", {}, None, (), (), False) for i in range(60)]
    drawing = Drawing(FigureOptions(highlight=("m00",)))
    shown = drawing.shown(rows, lambda row: float(row.label[1:]))
    assert [row.label for row in shown.rows] == ["m00", *(f"m{i}" for i in range(21, 60))]
    assert shown.note == "the 40 highest of 60 rows; grey: the other 39"


def test_an_unknown_row_to_highlight_is_one_line_before_anything_is_written(tmp_path: Path) -> None:
    chosen = FigureOptions(highlight=("lift", "sagee"))
    with pytest.raises(UserError, match="Unknown row to highlight 'sagee'"):
        write_report(
            [make_record("lift"), make_record("sage")],
            tmp_path / "out",
            settings=Settings(figures=chosen),
        )
    assert not (tmp_path / "out").exists()


def test_formats_are_those_that_are_asked_for(tmp_path: Path) -> None:
    chosen = FigureOptions(formats=("svg", "pdf"))
    figure = groups(full().table())
    assert figure is not None
    files = save(figure, tmp_path / "a", chosen)
    assert [file.name for file in files] == ["a.pdf", "a.svg"]
    assert files[1].read_bytes().startswith(b"<?xml")
    again = groups(full().table())
    assert again is not None
    for one, other in zip(files, save(again, tmp_path / "b", chosen), strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_pgf_without_tex_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="--format: pgf needs pdflatex, which is not on this"):
        options(format="pdf,pgf")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pgf needs pdflatex")
def test_pgf_has_escaped_texts(tmp_path: Path) -> None:
    made = full(("a_b & c% #1 $x$ {y}", "plain"))
    chosen = options(format="pgf", figure_width=3.3)
    for name, draw in TABLE_FIGURES.items():
        figure = draw(made.table(), made.drawing(width=3.3))
        assert figure is not None
        (file,) = save(figure, tmp_path / name, chosen)
        text = file.read_text(encoding="utf-8")
        assert r"\begin{pgfpicture}" in text
        assert "a_b" not in text
