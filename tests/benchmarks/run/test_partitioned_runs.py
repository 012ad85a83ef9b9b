"""`run --groups FILE`: the partition is in the records, their keys and the report."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import run_benchmarks
from benchmarks.datasets.families.glyphs import Glyphs
from results.identity import check_key
from results.schema import Record, RecordError
from results.store import Store
from tests.results.factory import make_record

KNOBS = {"classes": 4, "n_max": 12, "imbalance": 4, "test_per_class": 3}
NAMES = Glyphs(**KNOBS)._classes().names  # type: ignore[arg-type]


def run(out: Path, *more: str, verb: str = "run") -> int:
    words = [verb, "--methods", "ncm", "--datasets", "glyphs100_lt", "--out", str(out)]
    for field, value in KNOBS.items():
        words += ["--set", f"glyphs100_lt.{field}={value}"]
    return run_benchmarks.main([*words, "--device", "cpu", "--seeds", "0", *more])


def test_the_partition_is_in_the_record_and_its_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, file = tmp_path / "out", tmp_path / "mine.yaml"
    file.write_text(f"left: [{NAMES[0]}, {NAMES[2]}]\nright: [{NAMES[1]}, {NAMES[3]}]\n", "utf-8")
    assert run(out) == 0
    assert run(out, "--groups", str(file)) == 0
    assert run(out, "--groups", "coverage") == 0
    said = capsys.readouterr().out
    assert "left" in said and "not covered" in said
    records = {record.partition: record for record in Store(out).all()[0]}
    (pinned,) = records.keys() - {"", "coverage"}
    assert pinned.startswith("mine.yaml@")
    assert len({record.key for record in records.values()}) == 3
    plain, mine = records[""].groups, records[pinned].groups
    assert plain is not None and mine is not None
    assert (plain.named, plain.order) == ((), ())
    assert mine.named == ("left", "right", "left", "right")
    assert mine.order == ("left", "right")
    assert (mine.rule, mine.membership) == (plain.rule, plain.membership)
    assert records[pinned].metrics == records[""].metrics  # the same run
    for record in records.values():
        check_key(record)
    with pytest.raises(RecordError):
        check_key(dataclasses.replace(records[pinned], partition="mine.yaml@0"))
    # Other content is another cell, the same content is not.
    assert run(out, "--groups", str(file), verb="plan") == 0
    assert "0 to run" in capsys.readouterr().out
    file.write_text(f"all: [{', '.join(NAMES)}]\n", "utf-8")
    assert run(out, "--groups", str(file), verb="plan") == 0
    assert "1 to run" in capsys.readouterr().out


def test_a_class_that_is_missing_is_said_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(f"class,group\n{NAMES[0]},a\n{NAMES[1]},b\n", "utf-8")
    for verb in ("plan", "run"):
        assert run(tmp_path / "out", "--groups", str(file), verb=verb) == 2
        said = capsys.readouterr().err
        assert "2 of 4 classes are in no group" in said and said.count("\n") == 1
    assert run(tmp_path / "out", "--groups", "laion400m", verb="plan") == 2
    assert "laion400m of the classes of glyphs100_lt" in capsys.readouterr().err
    assert run(tmp_path / "out", "--groups", "thrids", verb="plan") == 2
    assert "not one of auto, lift" in capsys.readouterr().err
    assert not (tmp_path / "out" / "records").exists()


def test_groups_that_contradict_the_record_are_refused() -> None:
    record = make_record("a", groups_named=("x",) * 6, groups_order=("x", "y"), partition="p")
    assert Record.from_json(record.to_json()) == record
    for wrong in ({"groups_named": ("x",) * 5}, {"groups_order": ("y",)}):
        broken = make_record("a", **{"groups_named": ("x",) * 6, "groups_order": ("x",), **wrong})
        with pytest.raises(RecordError):
            Record.from_json(broken.to_json())
