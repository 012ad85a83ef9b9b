"""The table of records as CSV, JSON and Parquet."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import run_benchmarks
from reports.frames import records_frame
from reports.record_files import write_records
from reports.records_table import COLUMNS
from results.schema import Record, Tuning
from results.store import Store
from tests.results.factory import failed_record, make_record, with_key


@pytest.fixture(scope="module")
def records() -> list[Record]:
    tuning = Tuning("tuned-on-x, 8 trials", 8, ("lr", "tau"), stale=True)
    curves = {"loss": ((1, 0.5), (2, 0.25))}
    return [
        with_key(make_record("lift", 3, tuning=tuning, curves=curves, notes=("a", 'b "c"'))),
        with_key(make_record("sage", 1, overall=None, per_class=[None] * 6, remark="=1+1")),
        failed_record("ncm", error="too many\nlines"),
    ]


def test_json_has_every_field_but_those_by_class(records: list[Record], tmp_path: Path) -> None:
    files = write_records(records, tmp_path, ["json"])
    assert [file.name for file in files] == ["records.csv", "records.json"]
    lines = json.loads(files[1].read_text("utf-8"))
    for record, line in zip(records, lines, strict=True):
        whole = record.to_json()
        flat = {}
        for name, value in whole.items():
            if name in ("metrics", "groups", "selection", "tuning", "cost", "provenance"):
                flat |= {f"{name}.{key}": item for key, item in (value or {}).items()}
            else:
                flat[name] = value
        for name in ("class_names", "class_keys", "nearest", "metrics.per_class",
                     "groups.train_counts", "groups.membership"):  # fmt: skip
            flat.pop(name, None)
        assert {name: value for name, value in line.items() if name in flat} == flat
        assert {value for name, value in line.items() if name not in flat} <= {None}
        assert list(line) == [column.name for column in COLUMNS]


def test_parquet_is_the_frame_with_json_for_lists_and_mappings(
    records: list[Record], tmp_path: Path
) -> None:
    *_, file = write_records(records, tmp_path, ["parquet"])
    found, frame = pd.read_parquet(file), records_frame(records)
    assert found.columns.tolist() == frame.columns.tolist()
    texts = [column.name for column in COLUMNS if column.kind in ("list", "mapping")]
    others = [name for name in frame if name not in texts]
    pd.testing.assert_frame_equal(found[others], frame[others])
    for name in texts:
        for text, value in zip(found[name], frame[name], strict=True):
            if value is None:
                assert pd.isna(text)
            else:
                assert json.loads(text) == json.loads(json.dumps(value))
    assert json.loads(found["curves"][0]) == {"loss": [[1, 0.5], [2, 0.25]]}
    types = {field.name: str(field.type).removeprefix("large_") for field in pq.read_schema(file)}
    expected = {"seed": "int64", "metrics.few": "double", "deterministic": "bool",
                "method": "string", "tuning.fields": "string"}  # fmt: skip
    assert {name: types[name] for name in expected} == expected


def test_csv_has_the_fields_of_a_recipe(records: list[Record], tmp_path: Path) -> None:
    (file,) = write_records(records, tmp_path, [])
    with file.open(encoding="utf-8", newline="") as stream:
        first, second, third = csv.DictReader(stream)
    assert list(first) == [column.name for column in COLUMNS]
    assert (first["tuning.trials"], first["tuning.stale"]) == ("8", "True")
    assert json.loads(first["tuning.fields"]) == ["lr", "tau"]
    assert (second["tuning.trials"], second["metrics.overall"], second["remark"]) == (
        "",
        "",
        "'=1+1",
    )
    assert third["cost.fit_s"] == ""


@pytest.mark.figures
def test_a_report_writes_the_formats_asked_for(
    records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "runs")
    store.write(records[0], {})
    report = ["report", "runs", "--out", "there"]
    assert run_benchmarks.main([*report, "--format", "json,parquet"]) == 0
    names = {file.name for file in (tmp_path / "there").iterdir()}
    assert {"records.csv", "records.json", "records.parquet"} < names
    assert any(name.endswith(".png") for name in names)  # figures keep their usual formats
    assert run_benchmarks.main([*report[:-1], "here", "--format", "parquet,svg"]) == 0
    names = {file.name for file in (tmp_path / "here").iterdir()}
    assert "records.parquet" in names and "records.json" not in names
    assert any(name.endswith(".svg") for name in names)
    assert not any(name.endswith((".png", ".pdf")) for name in names)


def test_one_line_says_which_format_cannot_be_written(
    records: list[Record],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Store(tmp_path / "runs").write(records[0], {})
    (tmp_path / "x.yaml").write_text("methods: [lift]\ndatasets: [glyphs100_lt]\n"
                                     "report: {format: [json, parqet]}\n")  # fmt: skip
    report = ["report", "runs", "--out", "there"]
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for words, says in {
        ("--format", "json,parquet"): "Parquet files need pyarrow: `pip install 'pyarrow>=17'`, or "
        "leave parquet out of --format.",
        ("--format", "jsn"): "Unknown format in --format 'jsn'. Did you mean: json",
        ("--format", ""): "--format: name one or more of png, pdf, svg, pgf, json, parquet.",
        ("--config", "x.yaml"): "Unknown format in x.yaml, report, format 'parqet'",
    }.items():
        assert run_benchmarks.main([*report, *words]) == 2
        out, err = capsys.readouterr()
        assert err.startswith("error: ") and says in err and err.count("\n") == 1
        assert out == "" and not (tmp_path / "there").exists()
