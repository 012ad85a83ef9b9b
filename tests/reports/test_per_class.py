"""Rows class by class, against scikit-learn and numbers worked out by hand."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

import run_benchmarks
from benchmarks.errors import UserError
from benchmarks.metrics import multi_label_metrics, single_label_metrics
from reports import per_class as module
from reports.aggregate import build_tables
from reports.figures.confusion import confusion
from reports.figures.options import FigureOptions
from reports.per_class import PerClass, classes_csv, confusion_csv, grid, per_class
from reports.report import classes_of
from reports.settings import USUAL
from results.schema import Groups, Record
from results.store import Store
from tests.results.factory import make_record, with_key

KEYS = ("=jay", "crow", "red_star", "owl")
Runs = dict[str, dict[str, NDArray[Any]]]


def made(
    predicted: list[NDArray[np.int64]], labels: NDArray[np.int64]
) -> tuple[list[Record], Runs]:
    """A run of one method for each array of predicted classes, on four classes."""
    groups = np.array(["many", "many", "few", "few"])
    records, arrays = [], {}
    for seed, own in enumerate(predicted):
        top = np.stack([own, *[(own + k) % 4 for k in (1, 2, 3)]], 1).astype(np.int32)
        sure = np.tile(np.array([0.7, 0.1, 0.1, 0.1], dtype=np.float32), (len(own), 1))
        metrics = single_label_metrics(own, sure[:, 0], labels, groups)
        record = with_key(
            replace(
                make_record(seed=seed),
                class_names=("jay", "crow", "red star", "owl"),
                class_keys=KEYS,
                nearest=(),
                metrics=metrics,
                groups=Groups("lift", 2, 0, 2, (150, 120, 9, 3), tuple(groups.tolist())),
            )
        )
        records.append(record)
        true = np.where(own == labels, sure[:, 0], sure[:, 1])
        arrays[record.key] = {
            "ids": np.array([f"i{n}" for n in range(len(labels))]),
            "labels": labels.astype(np.int32), "top5": top, "top5_prob": sure, "true_prob": true,
        }  # fmt: skip
    return records, arrays


@pytest.fixture
def study() -> tuple[list[Record], Runs]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)  # no image of the last class
    predicted = [np.where(rng.random(60) < 0.6, labels, rng.integers(0, 4, 60)) for _ in range(2)]
    return made(predicted, labels)


def found_in(records: list[Record], arrays: Mapping[str, Any]) -> PerClass:
    (table,) = build_tables(records)
    return per_class(table, table.rows[0], lambda record: arrays[record.key])


def test_numbers_are_those_of_scikit_learn(study: tuple[list[Record], Runs]) -> None:
    records, arrays = study
    found = found_in(records, arrays)
    labels = np.concatenate([arrays[r.key]["labels"] for r in records])
    predicted = np.concatenate([arrays[r.key]["top5"][:, 0] for r in records])
    precision, recall, f1, count = precision_recall_fscore_support(
        labels, predicted, labels=range(4), zero_division=np.nan
    )
    tested = count > 0
    np.testing.assert_allclose(found.precision, 100 * precision)
    np.testing.assert_allclose(found.recall, 100 * recall)
    np.testing.assert_allclose(found.f1[tested], 100 * f1[tested])
    assert np.isnan(found.f1[~tested]).all() and (found.test == count / 2).all()
    text = confusion_csv(found)
    assert text is not None
    heads, *lines = csv.reader(io.StringIO(text))
    assert heads == ["class", "'=jay", *KEYS[1:]] and [line[0] for line in lines] == heads[1:]
    expected = confusion_matrix(labels, predicted, labels=range(4))
    assert [[int(n) for n in line[1:]] for line in lines] == expected.tolist()


def test_what_a_class_is_taken_for_and_names_are_the_users() -> None:
    labels = np.array([0] * 10 + [2] * 4)
    predicted = np.array([0] * 5 + [1] * 3 + [3] * 2 + [2] * 4)
    found = found_in(*made([predicted], labels))
    assert found.taken_for(0) == [("crow", 30.0), ("owl", 20.0)]
    assert found.taken_for(2) == []
    assert found.worst == [(0, 1), (0, 3)]
    lines = list(csv.DictReader(io.StringIO(classes_csv(found))))
    assert [line["class"] for line in lines] == ["'=jay", *KEYS[1:]]
    assert lines[0]["taken_for"] == "crow 30.0; owl 20.0" and lines[2]["taken_for"] == ""
    assert (lines[0]["train_images"], lines[0]["test_images"]) == ("150", "10")
    assert (lines[0]["precision"], lines[0]["recall"]) == ("100.0", "50.0")
    assert float(lines[0]["f1"]) == pytest.approx(200 / 3)
    assert (lines[1]["recall"], lines[1]["f1"], lines[1]["precision"]) == ("", "", "0.0")
    (_, cells), *_ = grid(found).lines
    assert cells[-1].text == "crow 30 %, owl 20 %"


def test_many_classes_stay_readable(
    study: tuple[list[Record], Runs], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = found_in(*study)
    small = confusion(found, FigureOptions())
    assert small is not None and len(small.axes) == 2  # with its colour bar
    monkeypatch.setattr(module, "MATRIX", 3)
    monkeypatch.setattr("reports.figures.confusion.MOST", 3)
    monkeypatch.setattr("reports.figures.confusion.PAIRS", 2)
    text = confusion_csv(found)
    assert text is not None
    lines = list(csv.DictReader(io.StringIO(text)))
    images = [int(line["images"]) for line in lines]
    assert images == sorted(images, reverse=True) and sum(images) == sum(found.pairs.values())
    large = confusion(found, FigureOptions())
    assert large is not None
    names = [label.get_text() for label in large.axes[0].get_yticklabels()]
    assert names[0] == " → ".join(KEYS[c] for c in found.worst[0]) and len(names) == 2


def test_multi_label_classes() -> None:
    labels = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    scores = np.array([[2.0, -1.0], [-1.0, 1.0], [1.0, 2.0], [-2.0, -2.0]], dtype=np.float32)
    groups = np.array(["many", "few"])
    metrics = multi_label_metrics(scores, labels, groups)
    record = replace(
        make_record(), task="multi", class_names=("a", "b"), nearest=(), metrics=metrics,
        groups=Groups("lmpt", 1, 0, 1, (150, 3), ("many", "few")),
    )  # fmt: skip
    record = with_key(record)
    arrays = {"ids": np.arange(4).astype(str), "labels": labels.astype(np.int8), "scores": scores}
    found = found_in([record], {record.key: arrays})
    assert found.precision.tolist() == [50.0, 100.0] and found.recall.tolist() == [50.0, 100.0]
    assert found.precision_at is not None
    assert found.precision_at.tolist() == list(metrics.per_class)
    assert confusion_csv(found) is None and confusion(found, FigureOptions()) is None
    assert classes_csv(found).splitlines()[0].split(",")[4] == "average_precision"
    softmax = with_key(replace(record, dataset_config={"scores": "softmax"}))
    with pytest.raises(UserError, match="are not logits"):
        found_in([softmax], {softmax.key: arrays})


def test_rows_without_predictions_are_refused(study: tuple[list[Record], Runs]) -> None:
    records, arrays = study
    bits = {key: {"labels": own["labels"], "right": np.ones(60)} for key, own in arrays.items()}
    with pytest.raises(UserError, match=r"the predictions of 'lift' on .* are not here"):
        found_in(records, bits)


def test_the_command(
    study: tuple[list[Record], Runs], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records, arrays = study
    store = Store(tmp_path / "runs")
    for record in records:
        store.write(record, arrays[record.key])
    words = ["report", str(tmp_path / "runs"), "--out", str(tmp_path / "r"), "--html"]
    assert run_benchmarks.main([*words, "--per-class", records[0].method]) == 0
    shown = capsys.readouterr().out
    assert "red_star" in shown and "Classes: " in shown
    names = sorted(
        p.name.partition("__" + records[0].method)[2] for p in (tmp_path / "r").iterdir()
    )
    assert names == [
        "", "__classes.csv", "__classes.md", "__confusion.csv", "__confusion.pdf",
        "__confusion.png",
    ]  # fmt: skip
    assert run_benchmarks.main([*words, "--per-class", "lfit"]) == 2
    assert "Unknown variant 'lfit'" in capsys.readouterr().err


def test_what_cannot_be_done_is_said_before_anything_is_written(
    study: tuple[list[Record], Runs], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records, arrays = study
    for record in records:
        Store(tmp_path / "runs").write(record, arrays[record.key])
    words = ["report", str(tmp_path / "runs"), "--out", str(tmp_path / "r"), "--html"]
    assert run_benchmarks.main([*words, "--per-class", "lfit"]) == 2
    assert run_benchmarks.main([*words, "--per-class", "lift", "--test-prior", "uniform"]) == 2
    assert "classes are of the test images as they are" in capsys.readouterr().err
    assert run_benchmarks.main([*words, "--per-class", ""]) == 2
    assert run_benchmarks.main([*words, "--test-prior", " "]) == 2
    error = capsys.readouterr().err
    assert "--per-class: name a row" in error and "name a test distribution" in error
    assert not (tmp_path / "r").exists()


def test_rows_that_a_file_system_could_confuse_have_files_of_their_own(
    study: tuple[list[Record], Runs],
) -> None:
    records, arrays = study
    first, second = records
    other = with_key(replace(second, method="LIFT"))
    runs = {first.key: arrays[first.key], other.key: arrays[second.key]}
    found = classes_of(
        [first, other], ["lift", "LIFT", "lift"], read=lambda r: runs[r.key], settings=USUAL
    )
    assert [classes.row.label for classes in found.values()] == ["lift", "LIFT"]
    assert len({name.lower() for name in found}) == 2
