"""Articles that read in the tables and figures of the reference results, as they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import run_benchmarks
from tests.conftest import ROOT
from tests.reports.latex.articles import TWO_COLUMNS, faults, log_of

pytestmark = [pytest.mark.slow, pytest.mark.real_figures]
REFERENCE = ROOT / "results" / "reference"
FIGURE = (
    r"\begin{figure*}[tp]\includegraphics[width=\linewidth]{%s}\caption{x}\end{figure*}\clearpage"
)


@pytest.mark.parametrize("width", ["column", "page"])
def test_all_tables_and_figures_fit_into_a_two_column_article(width: str, tmp_path: Path) -> None:
    inputs = {}
    for folder in sorted(path for path in REFERENCE.iterdir() if path.is_dir()):
        out = tmp_path / folder.name
        words = ["report", str(folder), "--out", str(out), "--latex-width", width]
        assert run_benchmarks.main(words) == 0
        for file in sorted(out.glob("*.tex")):
            inputs[f"{folder.name}-{file.name}"] = file.read_text("utf-8")
        drawn = sorted(out.glob("*.pdf"))
        assert drawn
        figures = [FIGURE % f"{{{folder.name}/{file.stem}}}.pdf" for file in drawn]
        inputs[f"{folder.name}-figures.tex"] = "\n".join(figures)
    assert len(inputs) > 20
    assert not faults(log_of(tmp_path, inputs, TWO_COLUMNS))


def test_the_article_of_the_documentation_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "paper.md").read_text("utf-8").replace("\\\n", " ")
    (command,) = (line for line in page.splitlines() if "run_benchmarks.py report" in line)
    example = ROOT / "docs" / "examples" / "paper"
    shutil.copytree(example, tmp_path / "paper")
    monkeypatch.chdir(tmp_path / "paper")
    words = command.split()[2:]
    words[1] = str((example / words[1]).resolve())
    assert run_benchmarks.main(words) == 0
    body = Path("article.tex").read_text("utf-8").split(r"\begin{document}")[1]
    text = body.replace(r"\end{document}", "").replace(
        r"\input{tables/glyphs100_lt__glyph}",
        Path("tables/glyphs100_lt__glyph.tex").read_text("utf-8"),
    )
    preamble = rf"{TWO_COLUMNS}\usepackage{{graphicx}}\graphicspath{{{{tables/}}}}"
    assert not faults(log_of(tmp_path / "paper", {"text.tex": text}, preamble))
