"""LaTeX tables of a report, and articles that read them in, compiled by a real LaTeX."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from reports.latex.files import table_files
from reports.latex.floats import PACKAGES
from reports.latex.text import BREAK
from reports.latex.width import PAGE, Width
from reports.table import Table

TWO_COLUMNS = r"\documentclass[a4paper,twocolumn]{article}"
FAULTS = (
    "Overfull", "Float too large", "multiply defined", "multiply-defined", "undefined",
    "too narrow", "Missing character", "LaTeX Error", "siunitx Error", "Emergency stop",
)  # fmt: skip


def latex(table: Table, width: Width = PAGE) -> str:
    """All LaTeX of a table."""
    return "".join(table_files(table, "stem", "report", width).values())


def rows(text: str) -> list[list[str]]:
    r"""The cells of each line of a tabular, without the commands around their texts.

    A number and what is behind it are two cells; a dash is in the first of them.
    """
    inner = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    lines = [line for line in inner.replace(BREAK, "").splitlines() if line.endswith(r" \\")]
    return [[_plain(cell) for cell in re.split(r"(?<!\\)&", line[:-3])] for line in lines]


def _plain(cell: str) -> str:
    spanned = r"\\multicolumn\{\d\}\{@\{\}[rc]@\{\\hspace\{[\d.]+pt\}\}\}"
    cell = re.sub(rf"^{spanned}\{{(.*)\}}$", r"\1", cell.strip())
    cell = re.sub(r"^\\makebox\[0pt\]\{(.*)\}$", r"\1", cell)
    cell = re.sub(r"^\{\\hphantom\{[+\d.]+\}\\llap\{--\}\}$", "--", cell)
    cell = re.sub(r"^\\hphantom\{.*\}$", "", cell)
    cell = re.sub(r"\{\\llap\{\\underline\{\\phantom\{.*\}\}\}\}$", " second", cell)
    cell = re.sub(r"^\{\\scriptsize\\,(.*)\}$", r"\1", cell)
    return cell.replace(r"\bfseries ", "best ").replace(r"\,", " ")


WITHOUT_PDF = {"pdflatex": "-draftmode", "lualatex": "-draftmode", "xelatex": "-no-pdf"}
"""The option of each program that leaves the document itself out."""


@cache
def missing_latex(program: str = "pdflatex") -> str:
    """Names of what this machine lacks to compile the tables; empty if it has everything."""
    if shutil.which(program) is None or shutil.which("kpsewhich") is None:
        return program
    styles = [f"{package}.sty" for package in PACKAGES]
    found = subprocess.run(["kpsewhich", *styles], capture_output=True, text=True, check=False)
    return ", ".join(style for style in styles if style not in found.stdout)


def log_of(
    folder: Path,
    inputs: Mapping[str, str],
    document: str = TWO_COLUMNS,
    program: str = "pdflatex",
) -> str:
    r"""The log of LaTeX over a document.

    Args:
        folder: where to work; gets `article.tex` and the inputs.
        inputs: text of each file that is read in, by name.
        document: the `\documentclass`, with anything else for the preamble.
        program: one of `WITHOUT_PDF`.
    """
    if missing := missing_latex(program):
        pytest.skip(f"LaTeX cannot be tested: {missing} is not installed")
    for name, text in inputs.items():
        (folder / name).write_text(text, encoding="utf-8")
    packages = ",".join((*PACKAGES, "graphicx"))
    article = [document, rf"\usepackage{{{packages}}}", r"\begin{document}"]
    article += [rf"\input{{{name}}}\clearpage" for name in inputs]
    text = "\n".join([*article, r"\end{document}"])
    (folder / "article.tex").write_text(text, encoding="utf-8")
    # What a first run would leave: it saves half of the time.
    labels = re.findall(r"\\label\{(.*?)\}", "".join(inputs.values()))
    known = "".join(rf"\newlabel{{{label}}}{{{{1}}{{1}}}}" + "\n" for label in labels)
    (folder / "article.aux").write_text(f"\\relax\n{known}", encoding="utf-8")
    options = ["-interaction=nonstopmode", "-halt-on-error", WITHOUT_PDF[program]]
    ended = subprocess.run(
        [program, *options, "article.tex"],
        cwd=folder, capture_output=True, check=False,
        env={**os.environ, "max_print_line": "10000"},
    )  # fmt: skip
    log = (folder / "article.log").read_text(encoding="latin-1")
    assert ended.returncode == 0, log[-3000:]
    return log


def faults(log: str) -> list[str]:
    """The lines of a log that tell of something that does not fit or is not right."""
    found = [line for line in log.splitlines() if any(fault in line for fault in FAULTS)]
    # Which fonts a machine has is not the table's affair; what they lack is a missing character.
    found = [line for line in found if not line.startswith("LaTeX Font Warning")]
    # Less than half a point of a line cannot be seen.
    return [line for line in found if not re.search(r"Overfull \\hbox \(0\.[0-4]", line)]
