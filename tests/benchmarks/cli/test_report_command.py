"""The verb `report`, also of folders with more than one sweep."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from benchmarks.sweep import plan
from benchmarks.sweep.fingerprints import fingerprint
from benchmarks.sweep.settings import read_sweep
from results.identity import cell_key
from results.store import Store
from tests.benchmarks.cli.commands import Command, the_line
from tests.results.factory import make_record, record_of, with_key

SWEEPS = {
    "equal.yaml": "methods: [ncm, linear_probe]\nprotocol: equal\n",
    "paper.yaml": "methods: [linear_probe, lift]\nprotocol: paper\n",
    "other.yaml": "methods: [lift]\nprotocol: paper\nseeds: [7]\n",
}


NAMES = {
    "list.yaml": "[lift]",
    "typo.yaml": "lfit: A",
    "same.yaml": "{lift: A, linear_probe: A}",
    "section.yaml": "methods: [lift]\ndatasets: [glyphs100_lt]\nreport: {sotr: rank}\n",
    "metric.yaml": "methods: [lift]\ndatasets: [glyphs100_lt]\nreport: {metric: fews}\n",
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of two sweeps of different protocols in one folder, and the files of three sweeps."""
    folder = tmp_path_factory.mktemp("written")
    store = Store(folder / "runs")
    for name, text in SWEEPS.items():
        file = folder / name
        file.write_text(f"{text}datasets: [glyphs100_lt, glyphs100_lt_ir10]\n", encoding="utf-8")
        for cell in plan.expand(read_sweep(file, {})).cells if name != "other.yaml" else ():
            store.write(record_of(cell), {})
    for name, text in NAMES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def runs(work: Path, written: Path) -> None:
    """Puts a copy of these files into the working folder."""
    shutil.copytree(written, work, dirs_exist_ok=True)


def rows(folder: Path) -> set[tuple[str, str, str]]:
    with (folder / "records.csv").open(encoding="utf-8") as stream:
        return {(r["dataset"], r["method"], r["protocol"]) for r in csv.DictReader(stream)}


def test_records_of_two_sweeps_are_refused_with_a_way_out(command: Command, runs: None) -> None:
    line = the_line(command("report", "runs"))
    assert "protocol equal (linear_probe, ncm), paper (lift, linear_probe)" in line
    assert "report --config" in line


def test_a_report_of_one_sweep_alone(command: Command, runs: None, work: Path) -> None:
    ended = command("report", "runs", "--config", "paper.yaml", "--out", "there")
    assert ended.status == 0
    both = ("glyphs100_lt", "glyphs100_lt_ir10")
    assert rows(work / "there") == {(d, m, "paper") for d in both for m in ("lift", "linear_probe")}
    assert "ncm" not in ended.out


def test_methods_and_data_sets_of_a_report(command: Command, runs: None, work: Path) -> None:
    words = ["report", "runs", "--out", "there"]
    assert command(*words, "--methods", "ncm").status == 0
    assert {method for _, method, _ in rows(work / "there")} == {"ncm"}
    words += ["--config", "equal.yaml", "--datasets", "glyphs100_lt_ir10"]
    assert command(*words, "--methods", "ncm,linear_probe").status == 0
    assert rows(work / "there") == {
        ("glyphs100_lt_ir10", method, "equal") for method in ("ncm", "linear_probe")
    }


def test_a_metric_over_data_sets(command: Command, runs: None, work: Path) -> None:
    words = ["report", "runs", "--config", "equal.yaml", "--out", "there", "--metric", "few"]
    ended = command(*words, "--rope", "1")
    assert ended.status == 0
    assert "few over 2 data sets / glyph" in ended.out
    assert "1 independent data set" in ended.out
    with (work / "there" / "across.csv").open(encoding="utf-8") as stream:
        assert {r["metric"] for r in csv.DictReader(stream)} == {"few"}
    ended = command(*words, "--datasets", "glyphs100_lt")
    assert ended.status == 0
    assert "nothing is compared over data sets" in " ".join(ended.out.split())


def test_the_page_alone(command: Command, runs: None, work: Path) -> None:
    ended = command("report", "runs", "--config", "equal.yaml", "--out", "there", "--html")
    assert ended.status == 0
    assert [file.name for file in (work / "there").iterdir()] == ["report.html"]
    assert "glyphs100_lt_ir10" in (work / "there" / "report.html").read_text(encoding="utf-8")


def test_a_record_of_current_code_wins_over_a_newer_stale_one(command: Command, work: Path) -> None:
    today = fingerprint("lift", {})
    times = {today: "2026-01-01T00:00:00+00:00", "0" * 16: "2026-02-02T00:00:00+00:00"}
    for folder in ("one", "two"):  # in whichever folder
        for code, overall in ((today, 40.0), ("0" * 16, 60.0)):
            record = make_record(
                overall=overall, provenance_fingerprint=code, provenance_finished=times[code]
            )
            Store(work / folder).write(with_key(record), {})
    for words in (["one"], ["one", "two"], ["two", "one"]):
        ended = command("report", *words, "--out", "there")
        assert ended.status == 0
        assert "†" not in ended.out
        with (work / "there" / "records.csv").open(encoding="utf-8") as stream:
            assert [float(r["metrics.overall"]) for r in csv.DictReader(stream)] == [40.0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--config", "other.yaml"], "No records of the cells of other.yaml"),
        (["--config", "nothing.yaml"], "Cannot read nothing.yaml"),
        (["--methods", "nmc"], "Unknown method of these records 'nmc'. Did you mean: ncm?"),
        (["--datasets", "glyphs"], "Unknown data set of these records 'glyphs'"),
        (["--metric", "overal"], "Unknown metric 'overal'. Did you mean: overall?"),
        (["--metric", "per_class"], "Unknown metric 'per_class'"),
        (["--rope", "0"], "--rope: '0' is not a number of points between 0 and 100"),
        (["--rope", "nan"], "--rope: 'nan' is not a number"),
        (["--rope", "wide"], "--rope"),
        (["--columns", "few,ovrall"], "Unknown column 'ovrall'. Did you mean: overall,"),
        (["--columns", ","], "--columns: no column given"),
        (["--latex-width", "wide"], "--latex-width wide: give column, page or a width in inches"),
        (["--sort", "rnak"], "Unknown order 'rnak'. Did you mean: rank"),
        (["--sort", "asked"], "--sort asked: give --methods or --config, whose order it is."),
        (["--names", "nothing.yaml"], "Cannot read nothing.yaml"),
        (["--names", "list.yaml"], "list.yaml: names are a mapping such as 'lift: LIFT'"),
        (["--names", "typo.yaml"], "'lfit'. Did you mean: lift"),
        (["--names", "equal.yaml", "--methods", "ncm"], "the name of 'methods' is not a text"),
        (
            ["--names", "same.yaml", "--config", "paper.yaml"],
            "names: 'A' would be",
        ),
        (["--highlight", "nmc", "--config", "paper.yaml"], "Unknown row to highlight 'nmc'."),
        (["--format", "gif"], "Unknown format in --format 'gif'."),
        (["--style", "nothing.mplstyle"], "Cannot read nothing.mplstyle: No such file"),
        (["--config", "section.yaml"], "Unknown key in section.yaml, report 'sotr'"),
        (["--config", "metric.yaml"], "Unknown metric in metric.yaml, report, metric 'fews'"),
    ],
)
def test_bad_reports(command: Command, runs: None, words: list[str], says: str) -> None:
    assert says in the_line(command("report", "runs", *words))


def test_a_sweep_has_the_settings_of_its_report(command: Command, runs: None, work: Path) -> None:
    section = "report: {columns: [few, params], sort: asked, names: {ncm: Nearest Mean}}\n"
    with (work / "equal.yaml").open("a", encoding="utf-8") as stream:
        stream.write(section)
    words = ["report", "runs", "--config", "equal.yaml", "--out", "there"]
    assert command(*words).status == 0
    table = work / "there" / "glyphs100_lt__glyph.md"
    lines = [x for x in table.read_text("utf-8").splitlines() if x.startswith("| ")]
    assert lines[0] == "| method | few (2) | params |"
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| Nearest Mean", "| `linear_probe`"]
    assert command(*words, "--columns", "overall", "--methods", "linear_probe,ncm").status == 0
    lines = [x for x in table.read_text("utf-8").splitlines() if x.startswith("| ")]
    assert lines[0] == "| method | overall |"
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| `linear_probe`", "| Nearest Mean"]


def test_a_record_of_todays_code_is_preferred_to_a_newer_stale_one(
    command: Command, work: Path
) -> None:
    file = work / "one.yaml"
    file.write_text("methods: [ncm]\ndatasets: [glyphs100_lt]\n", encoding="utf-8")
    (cell,) = plan.expand(read_sweep(file, {})).cells
    today = record_of(cell, overall=40.0, provenance_finished="2026-01-01T00:00:00+00:00")
    stale = record_of(
        cell, overall=60.0, key=cell_key(cell.identity, "0" * 16),
        provenance_fingerprint="0" * 16, provenance_finished="2026-02-01T00:00:00+00:00",
    )  # fmt: skip
    for folder, record in (("today", today), ("stale", stale)):
        Store(work / folder).write(record, {})
    for folders in (["today", "stale"], ["stale", "today"]):
        assert command("report", *folders, "--out", "there").status == 0
        with (work / "there" / "records.csv").open(encoding="utf-8") as stream:
            assert [row["key"] for row in csv.DictReader(stream)] == [cell.key]


def test_report_counts_a_cell_once(command: Command, fast: list[str], work: Path) -> None:
    """Otherwise the seeds of a copied folder would count twice and ± would be too small."""
    command(*fast)
    shutil.copytree("runs/records", "copy/records")
    ended = command("report", "runs", "copy", "runs", "--out", "there")
    assert ended.status == 0
    assert "linear_probe" in ended.out
    assert "3 run seeds" in ended.out
    assert "Tables and plots: there/" in ended.out
    kinds = {p.suffix for p in (work / "there").iterdir()}
    assert kinds == {".md", ".tex", ".csv", ".html"}
    with (work / "there" / "records.csv").open(encoding="utf-8") as stream:
        assert len(list(csv.reader(stream))) == 1 + 4


def test_the_width_of_latex_tables_is_a_flag_or_a_setting(
    command: Command, runs: None, work: Path
) -> None:
    sweep = (work / "paper.yaml").read_text("utf-8")
    (work / "narrow.yaml").write_text(f"{sweep}report: {{latex_width: column}}\n")
    given = ("report", "runs", "--config", "narrow.yaml", "--out", "there")
    assert command(*given).status == 0
    files = sorted((work / "there").glob("*.tex"))
    assert [file.name for file in files] == [
        "across.tex", "glyphs100_lt__glyph.tex", "glyphs100_lt_ir10__glyph.tex"
    ]  # fmt: skip
    texts = [file.read_text("utf-8") for file in files]
    assert all(r"\begin{table}" in text and "table*" not in text for text in texts)
    assert all(r"\label{tab:there:" in text for text in texts)
    assert command(*given, "--latex-width", "6.5").status == 0
    assert r"\begin{table*}" in files[0].read_text("utf-8")


@pytest.mark.figures
def test_figures_follow_flags_and_settings(command: Command, runs: None, work: Path) -> None:
    sweep = (work / "equal.yaml").read_text("utf-8")
    section = "report: {figure_width: 3.3, format: [svg], highlight: ncm}\n"
    (work / "figures.yaml").write_text(sweep + section)
    given = ("report", "runs", "--config", "figures.yaml", "--out", "there")
    given += ("--datasets", "glyphs100_lt")
    assert command(*given).status == 0
    file = work / "there" / "glyphs100_lt__glyph__groups.svg"
    assert 'width="237.6pt"' in file.read_text("utf-8")
    assert not [*(work / "there").glob("*.png"), *(work / "there").glob("*.pdf")]
    grey = "#b4b4b4"
    assert grey in file.read_text("utf-8")
    wider = ("--figure-width", "7", "--highlight", "ncm,linear_probe")
    assert command(*given, *wider).status == 0
    text = file.read_text("utf-8")
    assert 'width="504pt"' in text and grey not in text
