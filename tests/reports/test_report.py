from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.errors import UserError
from benchmarks.sweep.rows.comparability import MixedRecords
from reports import report
from reports.aggregate import build_tables
from reports.figures.options import FigureOptions
from reports.figures.registry import TABLE_FIGURES
from reports.report import file_stems, write_report
from reports.settings import Settings
from tests.benchmarks.damage import full_disk
from tests.reports.figures.made import full
from tests.results.factory import failed_record, make_record

TEXTS = [".csv", ".md", ".tex"]
PER_TABLE = [*TEXTS, "__groups.pdf", "__groups.png"]
OF_ALL = {"records.csv", "report.html"}
OVER_DATA_SETS = {"across.md", "across.tex", "across.csv"}


@pytest.mark.figures
def test_a_report_has_tables_and_figures_of_each_data_set_and_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(report.TABLE_FIGURES, "__head_tail")
    records = [make_record("ncm"), make_record("lift"), make_record("ncm", dataset="cifar100_lt")]
    files = write_report(records, tmp_path / "new" / "out")
    stems = ("cifar100_lt__glyph", "glyphs100_lt__glyph")
    expected = {f"{stem}{ending}" for stem in stems for ending in PER_TABLE} | OF_ALL
    expected |= OVER_DATA_SETS
    assert {file.name for file in files} == expected
    assert {file.name for file in (tmp_path / "new" / "out").iterdir()} == expected
    assert all(file.stat().st_size > 0 for file in files)


@pytest.mark.real_figures
def test_every_figure_that_has_something_to_show_is_written(tmp_path: Path) -> None:
    made = full()
    chosen = Settings(figures=FigureOptions(formats=("svg",)))
    files = write_report(made.records, tmp_path, read=made.read, settings=chosen)
    names = {file.name for file in files if file.suffix == ".svg"}
    assert names == {f"glyphs100_lt__glyph{ending}.svg" for ending in TABLE_FIGURES}
    assert len(names) >= 8
    only = write_report([make_record("ncm")], tmp_path / "one", settings=chosen)
    assert {file.name.partition("__glyph")[2] for file in only if file.suffix == ".svg"} == {
        "__groups.svg", "__head_tail.svg"
    }  # fmt: skip


def test_without_a_finished_cell_there_are_tables_but_no_figures(tmp_path: Path) -> None:
    files = write_report([failed_record("lift", error="out of memory")], tmp_path)
    assert {f.suffix for f in files} == {".md", ".tex", ".csv", ".html"}
    assert "out of memory" in (tmp_path / "glyphs100_lt__glyph.md").read_text(encoding="utf-8")


def test_multi_label_records_are_reported_too(tmp_path: Path) -> None:
    records = [make_record("lmpt", s, task="multi", metrics_balanced=None) for s in range(2)]
    write_report(records, tmp_path)
    text = (tmp_path / "glyphs100_lt__glyph.md").read_text(encoding="utf-8")
    assert "| method | mAP | many (2) |" in text


def test_a_mixture_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    records = [
        make_record("a", dataset="aa"),
        make_record("ncm"),
        make_record("b", precision="bf16"),
    ]
    console = Console(file=io.StringIO())
    with pytest.raises(MixedRecords):
        write_report(records, tmp_path / "out", console=console)
    assert console.file.getvalue() == ""
    assert not (tmp_path / "out").exists()
    files = write_report(records, tmp_path / "out", allow_mixed=True)
    assert len(files) == 2 * len(TEXTS) + len(OF_ALL) + len(OVER_DATA_SETS)


@pytest.mark.figures
def test_mixed_data_sets_of_different_sizes_can_still_be_drawn(tmp_path: Path) -> None:
    records = [
        make_record("a", counts=(300, 50, 5), dataset_config={"classes": 3}),
        make_record("b", counts=(300, 200, 50, 5), dataset_config={"classes": 4}),
    ]
    chosen = Settings(figures=FigureOptions(formats=("png",)))
    files = write_report(records, tmp_path, allow_mixed=True, settings=chosen)
    assert sum(file.suffix == ".png" for file in files) == 2


def test_stale_keys_reach_every_format(tmp_path: Path) -> None:
    records = [make_record("ncm", key="a"), make_record("lift", key="b")]
    console = Console(file=io.StringIO(), width=100)
    write_report(records, tmp_path, stale={"b": "edited"}, console=console)
    stem = tmp_path / "glyphs100_lt__glyph"
    assert "`lift` †" in stem.with_suffix(".md").read_text(encoding="utf-8")
    assert r"lift~$\dagger$" in stem.with_suffix(".tex").read_text(encoding="utf-8")
    assert ",True" in stem.with_suffix(".csv").read_text(encoding="utf-8")
    assert "lift †" in console.file.getvalue()


def test_no_records_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no records"):
        write_report([], tmp_path)


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"Cannot write the report to .*file"):
        write_report([make_record()], tmp_path / "file")


def test_a_report_on_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(UserError) as raised:
        write_report([make_record()], tmp_path)  # its PDF files are too large
    assert str(raised.value) == f"Cannot write the report to {tmp_path}: File too large."
    assert not [file for file in tmp_path.iterdir() if file.suffix in (".tmp", ".pdf")]


@pytest.mark.parametrize(
    ("backbone", "name"),
    [
        ("ViT-B-16-quickgelu/openai", "ViT-B-16-quickgelu-openai"),
        ("local-dir:../x", "local-dir-x"),
        ("hf-hub:org/model_v1.5", "hf-hub-org-model_v1.5"),
        ("../../etc", "etc"),
        ("a__b", "a-b"),
        ("***", "unnamed"),
        ("local-dir:/" + "d/" * 200 + "clip", ("d-" * 38 + "clip")),
    ],
)
def test_file_names_are_safe(backbone: str, name: str) -> None:
    (stem,) = file_stems(build_tables([make_record(backbone=backbone)]))
    assert stem == f"glyphs100_lt__{name}"


def test_names_that_would_collide_are_told_apart() -> None:
    records = [make_record(backbone=name) for name in ("a/b", "a:b", "A/B", "c")]
    stems = file_stems(build_tables(records))
    assert len({stem.lower() for stem in stems}) == 4
    assert "glyphs100_lt__c" in stems
