"""Correctness bits: what they keep, and what becomes of files that are damaged or of other runs."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.errors import UserError
from reports.compare.parts import precision_parts
from reports.compare.runs import NEEDED
from results import correctness
from results.correctness import CorrectnessBits, bits_of, write
from results.predictions import Arrays, PredictionsError
from results.schema import Record
from results.store import Store
from tests.results.factory import make_record
from tests.results.test_predictions import ARRAYS, MULTI, RECORDS, SINGLE

RIGHT = [True, True, True, False, False, False]
OTHER = dataclasses.replace(RECORDS["single"], key="other")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Bits of one single-label run and one multi-label run."""
    multi = dataclasses.replace(RECORDS["multi"], key="multi")
    file = tmp_path / correctness.FILE
    write(file, {"k": bits_of(RECORDS["single"], SINGLE), "multi": bits_of(multi, MULTI)})
    return file


def test_bits_say_which_images_are_right(file: Path) -> None:
    found = CorrectnessBits(file).get(RECORDS["single"])
    assert found["ids"].tolist() == SINGLE["ids"].tolist()
    assert found["labels"].tolist() == SINGLE["labels"].tolist()
    assert found["right"].tolist() == RIGHT


def test_images_in_another_order_give_the_same_file(file: Path, tmp_path: Path) -> None:
    turned = {name: array[::-1] for name, array in SINGLE.items()}
    again = tmp_path / "again.npz"
    write(again, {"k": bits_of(RECORDS["single"], turned)})
    assert CorrectnessBits(again).get(RECORDS["single"])["right"].tolist() == RIGHT
    write(file, {"k": bits_of(RECORDS["single"], SINGLE)})
    assert file.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("decimals", [1, 6])
def test_the_order_keeps_all_that_average_precision_depends_on(decimals: int) -> None:
    """Also with ties between positives and negatives, and for every image left out in turn."""
    rng = np.random.default_rng(0)
    labels = (rng.random((80, 6)) < [0.02, 0.1, 0.2, 0.5, 0.9, 0.1]).astype(np.int8)
    labels[0], labels[:, 0] = 1, np.arange(80) == 3
    scores = np.round(rng.normal(labels, 1.0), decimals).astype(np.float32)
    predictions = {"ids": np.array([f"{i:02}" for i in range(80)]), "labels": labels}
    record = make_record(metrics=None, task="multi")
    bits = bits_of(record, {**predictions, "scores": scores})
    for c, positives in enumerate(labels.sum(0)):
        assert len(np.unique(bits["scores"][:, c])) <= 2 * positives + 1
    membership = np.array(["many"] * 2 + ["medium"] * 2 + ["few"] * 2)
    wanted = precision_parts(scores, labels, membership)
    found = precision_parts(bits["scores"], labels, membership)
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("task", RECORDS)
def test_a_store_takes_bits_where_predictions_are_absent(tmp_path: Path, task: str) -> None:
    store, record = Store(tmp_path), RECORDS[task]
    store.write(record, ARRAYS[task])
    write(tmp_path / correctness.FILE, {"k": bits_of(record, ARRAYS[task])})
    assert "right" not in store.predictions("k", NEEDED)  # predictions go first
    (store.folder / "k.npz").unlink()
    found = store.predictions("k", NEEDED)
    if task == "single":
        assert found["right"].tolist() == RIGHT
    else:
        assert found["scores"].argsort(0).tolist() == MULTI["scores"].argsort(0).tolist()
    for only in (None, (), {"ids", "labels", "top5", "scores"}):  # these want the predictions
        with pytest.raises(UserError, match="No predictions at"):
            store.predictions("k", only)


def test_a_run_that_the_file_does_not_have_has_no_predictions(tmp_path: Path, file: Path) -> None:
    store = Store(tmp_path)
    store.write(OTHER, SINGLE)
    (store.folder / "other.npz").unlink()
    with pytest.raises(UserError, match=r"No predictions at .*other\.npz"):
        store.predictions("other", NEEDED)
    file.unlink()
    with pytest.raises(UserError, match=r"No predictions at .*other\.npz"):
        Store(tmp_path).predictions("other", NEEDED)


def refused(tmp_path: Path, record: Record = RECORDS["single"]) -> str:
    """The line about the bits of a record whose predictions are absent."""
    store = Store(tmp_path)
    store.write(record, ARRAYS[record.task])
    (store.folder / f"{record.key}.npz").unlink()
    with pytest.raises(UserError) as caught:
        store.predictions(record.key, NEEDED)
    line = str(caught.value)
    assert str(tmp_path / correctness.FILE) in line and "\n" not in line
    return line


def test_bits_of_another_run_under_the_same_key_are_refused(tmp_path: Path) -> None:
    other = make_record(per_class=[0.0, 0.0, 0.0, 100.0, 100.0, 100.0])
    swapped = {**SINGLE, "top5": SINGLE["top5"][::-1]}
    swapped["top5"] = np.array([[c, 0] for c in (1, 2, 0, 3, 4, 5)])
    write(tmp_path / correctness.FILE, {"k": bits_of(other, swapped)})
    assert "other values by class than the record" in refused(tmp_path)


def test_bits_that_do_not_fit_their_record_are_not_made() -> None:
    with pytest.raises(PredictionsError, match="other values by class"):
        bits_of(make_record(per_class=[100.0] * 6), SINGLE)


def test_bits_of_another_task_are_refused(tmp_path: Path) -> None:
    write(tmp_path / correctness.FILE, {"k": bits_of(RECORDS["multi"], MULTI)})
    assert "'labels'" in refused(tmp_path)


@pytest.mark.parametrize("number", [40, pytest.param(2000, marks=pytest.mark.slow)])
def test_flipped_bits_are_refused_or_mean_nothing(file: Path, tmp_path: Path, number: int) -> None:
    whole, draw = file.read_bytes(), random.Random(0)
    said = 0
    for _ in range(number):
        changed = bytearray(whole)
        changed[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        file.write_bytes(changed)
        try:
            found = CorrectnessBits(file).get(RECORDS["single"])
        except PredictionsError:
            said += 1
        else:  # a bit that means nothing, such as a time in the archive
            assert found["right"].tolist() == RIGHT
    assert said > number / 2
    file.write_bytes(whole[:-30])
    assert "Damaged bits" in refused(tmp_path) and "git checkout" in refused(tmp_path)


def test_a_change_that_keeps_all_values_by_class_is_refused(tmp_path: Path) -> None:
    """Both images are of one class, and another one of them is right."""
    pair = {
        "ids": np.array(["a", "b"]), "labels": np.array([0, 0]), "top5": np.array([[0], [1]])
    }  # fmt: skip
    record = make_record(key="k", per_class=[50.0, *[None] * 5])
    file = tmp_path / correctness.FILE
    write(file, {"k": bits_of(record, pair)})
    with np.load(file) as data:
        arrays = dict(data)
    np.savez(file, **arrays | {"right_0": np.array([[0b01000000]], np.uint8)})
    with pytest.raises(PredictionsError, match="checksum"):
        CorrectnessBits(file)


def unchecked(file: Path, change: Callable[[Arrays], Any]) -> None:
    """Change arrays of a file and give it the checksum that fits them."""
    with np.load(file) as data:
        arrays = {name: data[name] for name in data.files if name != "sha256"}
    change(arrays)
    digest = bytes.fromhex(correctness._sum_of(arrays))
    np.savez(file, **arrays, sha256=np.frombuffer(digest, np.uint8))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda arrays: arrays.pop("ids_0"), "'ids_0' is missing"),
        (lambda arrays: arrays.pop("right_0"), "'right_0' is missing"),
        (lambda arrays: arrays.update(right_0=arrays["right_0"][:0]), "'right_0' has the shape"),
        (lambda arrays: arrays.update(ids_0=np.repeat(arrays["ids_0"], 2)), "'right_0' has the sh"),
        (lambda arrays: arrays.update(ids_0=arrays["ids_0"][:5]), "'labels' has the shape"),
        (lambda arrays: arrays.update(labels_0=arrays["labels_0"] + 1), "'labels' has values out"),
        (lambda arrays: arrays.update(right_0=~arrays["right_0"]), "other values by class"),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(
    file: Path, tmp_path: Path, change: Callable[[Arrays], Any], says: str
) -> None:
    unchecked(file, change)
    assert says in refused(tmp_path)


def test_python_objects_are_not_made(file: Path, tmp_path: Path) -> None:
    np.savez(file, keys_0=np.array([{}], dtype=object))
    assert "Object arrays" in refused(tmp_path)
