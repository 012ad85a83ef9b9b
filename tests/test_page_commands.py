"""Every command of the documentation is understood, and run unless the page says what it needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import run_benchmarks
from benchmarks.cli.parts.flags import sweep_from
from benchmarks.cli.parts.verbs import parse
from benchmarks.datasets.registry import is_own
from benchmarks.sweep import plan
from results.correctness import FILE
from tests.benchmarks.small import forgetting_plugins
from tests.page_commands import NEEDS, PAGES, ROOT, Command, commands

ALL = [command for page in PAGES for command in commands(page)]
OURS = [command for command in ALL if command.ours is not None]
TUTORIAL = [ROOT / "docs" / "tutorial" / f"{name}.md" for name in (
    "first_table", "own_method", "own_images", "paper_figure", "cluster")]  # fmt: skip


def runs_here(command: Command) -> bool:
    """True for a command that a test runs, also beside others that need something."""
    words = command.ours or ("-",)
    reads = words[0] in ("report", "compare") and words[1].startswith("results/reference/")
    return not command.needs or reads or words in (("list",), ("show", "lift"))


def test_pages_have_commands() -> None:
    assert len(ALL) > 100
    assert {page for page in TUTORIAL} == set((ROOT / "docs" / "tutorial").glob("*.md"))
    assert {word for command in ALL for word in command.needs} <= NEEDS.keys()


@pytest.mark.parametrize("command", [c for c in ALL if c.ours is None], ids=str)
def test_a_command_of_another_program_is_marked_and_names_what_there_is(command: Command) -> None:
    assert command.needs, f"mark it with `<!-- needs: {' | '.join(NEEDS)} -->`"
    words = list(command.words)
    if "-m" in words[:2] and words[2].startswith(("benchmarks.", "tests.")):
        path = ROOT / words[2].replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
    if words[0] == "make":
        assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for extra in re.findall(r"\.\[(\w+)\]", " ".join(words)):
        assert extra in project["optional-dependencies"]


@pytest.mark.parametrize("command", OURS, ids=str)
def test_a_command_is_understood(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = [word.replace("$text", "names") for word in command.ours or ()]  # a loop's variable
    _, options = parse(words)
    files = [word for word in words if re.match(r"(configs|docs|results/reference)/", word)]
    assert [word for word in files if not (ROOT / word).exists()] == []
    sweeps = options.verb in ("run", "plan", "submit") and words and not options.plugin
    if not sweeps or "files" in command.needs or is_own(options.datasets or ""):
        return
    here = {"device": "cpu", "precision": "fp32", "gpus": None, "per_gpu": None}
    assert plan.expand(sweep_from(options, options.config, **here)).cells


# ---- the commands run ----------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the parts of the repository that commands read, as the working directory."""
    for name in ("docs", "configs", "run_benchmarks.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "reference").symlink_to(ROOT / "results" / "reference")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def output_of(command: Command, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    with forgetting_plugins():
        status = run_benchmarks.main(list(command.ours or ()))
    printed = capsys.readouterr()
    assert status == 0, printed.err
    return printed.out


def pattern(text: str) -> list[str]:
    """Lines of an output without what differs between two runs: numbers, spaces, empty lines."""
    lines = (re.sub(r"[\d.,]*\d[\d.,]*k?|[–±]", "#", line) for line in text.splitlines())
    return [" ".join(line.split()) for line in lines if line.strip()]


def test_patterns_forget_numbers_alone() -> None:
    assert pattern(" ncm  91.6(1.7) 2.6k 0.3 s\n\n") == ["ncm #(#) # # s"]
    assert pattern("a.md") == ["a.md"]


@pytest.mark.slow
@pytest.mark.real_figures
def test_the_tutorial_prints_what_its_pages_show(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for page in TUTORIAL:
        printed = [
            line
            for command in commands(page)
            if runs_here(command)
            for line in pattern(output_of(command, capsys))
        ]
        (shown,) = re.findall(r"^```text\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
        rest = iter(printed)
        missing = [line for line in pattern(shown) if line not in rest]
        assert not missing, page.name


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [c for c in OURS if runs_here(c) and c.page not in TUTORIAL], ids=str
)
def test_a_command_runs(
    command: Command, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command.ours or ()
    if words[0] == "compare" and not (ROOT / words[1] / FILE).is_file():
        pytest.skip(f"{words[1]} has no {FILE}, from which intervals follow")
    assert output_of(command, capsys)


def test_a_page_without_a_mark_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text:\n\n    make demo   # comment\n\n<!-- needs: time, network -->\n\n"
        "    python run_benchmarks.py list \\\n        --json > x\n\n"
        "Text\n\n    pip install x && cd y\n"
    )
    found = [(c.line, c.words, c.needs) for c in commands(page)]
    assert found == [
        (3, ("make", "demo"), ()),
        (7, ("python", "run_benchmarks.py", "list", "--json"), ("time", "network")),
        (12, ("pip", "install", "x"), ()),
        (12, ("cd", "y"), ()),
    ]
