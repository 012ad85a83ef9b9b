"""Predictions that are damaged, of another cell, or not what their record says."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.errors import UserError
from results.schema import RecordError
from results.store import Store
from tests.results.factory import change_file, make_record

IDS = np.array([f"{i}.png" for i in range(6)])
LABELS = np.array([0, 1, 2, 3, 4, 5], dtype=np.int32)
SINGLE = {
    "ids": IDS,
    "labels": LABELS,
    "top5": np.array([[c, (c + 1) % 6] for c in (0, 1, 2, 0, 0, 0)], dtype=np.int32),
    "top5_prob": np.full((6, 2), 0.5, dtype=np.float32),
    "true_prob": np.full(6, 0.25, dtype=np.float32),
}
SCORES = np.array([[3, 2, 1, 0, -1, -2]] * 6, dtype=np.float32)
MULTI = {"ids": IDS, "labels": np.eye(6, dtype=np.int8), "scores": SCORES}
RECORDS = {
    "single": make_record(key="k", per_class=[100.0, 100.0, 100.0, 0.0, 0.0, 0.0]),
    "multi": make_record(key="k", per_class=[100.0 / 6] * 6, task="multi"),
}
ARRAYS: dict[str, dict[str, np.ndarray]] = {"single": SINGLE, "multi": MULTI}
COMPARED = {"ids", "labels", "top5", "scores"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def refused(store: Store, only: set[str] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        Store(store.folder.parent).predictions("k", only)
    line = str(caught.value)
    assert str(store.folder / "k.npz") in line and "\n" not in line
    assert "run the cell again with --rerun always" in line
    return line


@pytest.mark.parametrize("task", RECORDS)
def test_what_is_written_is_read(store: Store, task: str) -> None:
    arrays = ARRAYS[task] | {"logits": SCORES}
    store.write(RECORDS[task], arrays)
    assert store.predictions("k").keys() == arrays.keys()
    assert store.predictions("k", COMPARED).keys() == COMPARED & arrays.keys()


def another(name: str, value: Any) -> Callable[[dict[str, np.ndarray]], None]:
    return lambda arrays: arrays.update({name: np.asarray(value)})


WRONG: dict[str, tuple[str, Callable[[dict[str, np.ndarray]], Any], str]] = {
    "labels too large": ("single", another("labels", LABELS + 10**9), "'labels' has values out"),
    "a label too large": ("single", another("labels", LABELS + 1), "'labels' has values out"),
    "negative labels": ("single", another("labels", LABELS - 1), "'labels' has values out"),
    "labels of floats": ("single", another("labels", LABELS * 1.0), "'labels' is float64"),
    "classes too large": ("single", another("top5", SINGLE["top5"] + 4), "'top5' has values out"),
    "six likeliest": ("single", another("top5", [LABELS] * 6), "'top5' has the shape (6, 6)"),
    "one likeliest": ("single", another("top5", LABELS), "'top5' is int32 of 1 dimensions"),
    "fewer samples": ("single", another("labels", LABELS[1:]), "'labels' has the shape (5,)"),
    "fewer names": ("single", another("ids", IDS[1:]), "has the shape"),
    "numbers for names": ("single", another("ids", LABELS), "'ids' is int32"),
    "a probability above 1": (
        "single", another("true_prob", [1.01] + [0.5] * 5), "'true_prob' has values out"
    ),
    "a negative one": ("single", another("top5_prob", [[-0.1, 0.5]] * 6), "'top5_prob' has values"),
    "NaN": ("single", another("top5_prob", [[np.nan, 0.5]] * 6), "'top5_prob' has values out"),
    "a sum above 1": ("single", another("top5_prob", [[0.6, 0.6]] * 6), "that sum to more than 1"),
    "labels that are no 0 and 1": ("multi", another("labels", np.eye(6, dtype=int) * 2), "values"),
    "labels of one column": ("multi", another("labels", LABELS), "'labels' is int32 of 1"),
    "scores of fewer classes": ("multi", another("scores", SCORES[:, 1:]), "has the shape (6, 5)"),
    "NaN scores": ("multi", another("scores", SCORES * np.nan), "'scores' has values out"),
    "logits of fewer classes": ("multi", another("logits", SCORES[:, 1:]), "has the shape"),
}  # fmt: skip
OF_OTHERS: dict[str, tuple[str, Callable[[dict[str, np.ndarray]], Any], str]] = {
    "nothing right": ("single", another("top5", SINGLE["top5"][::-1]), "other values by class"),
    "scores reversed": ("multi", another("scores", -SCORES + np.eye(6)), "other values by class"),
    "no labels": ("single", lambda arrays: arrays.pop("labels"), "'labels' is missing"),
    "no scores": ("multi", lambda arrays: arrays.pop("scores"), "'scores' is missing"),
}


@pytest.mark.parametrize("case", WRONG | OF_OTHERS)
def test_arrays_that_do_not_fit_an_old_record_are_refused(store: Store, case: str) -> None:
    """Old records have no checksum of their predictions."""
    task, change, says = (WRONG | OF_OTHERS)[case]
    arrays = dict(ARRAYS[task])
    store.write(RECORDS[task], arrays)
    change_file(store.folder / "k.json", lambda data: data.pop("predictions_sha256"))
    assert Store(store.folder.parent).predictions("k", COMPARED)
    change(arrays)
    np.savez(store.folder / "k.npz", **arrays)  # type: ignore[arg-type]
    assert says in refused(store, COMPARED | arrays.keys())


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arrays_are_not_written(store: Store, case: str) -> None:
    task, change, says = WRONG[case]
    arrays = dict(ARRAYS[task])
    change(arrays)
    with pytest.raises(RecordError) as caught:
        store.write(RECORDS[task], arrays)
    assert says in str(caught.value)
    assert not store.folder.exists()


def test_the_file_must_be_the_one_that_was_written_with_the_record(store: Store) -> None:
    for key, seed in (("k", 0), ("other", 1)):
        store.write(make_record(key=key, seed=seed), SINGLE)
    file = store.folder / "k.npz"
    np.savez(file, **SINGLE)  # type: ignore[arg-type]
    assert "not the file that was written with the record" in refused(store)


def flip(file: Path, whole: bytes, draw: random.Random) -> None:
    """Flip a bit of a file."""
    changed = bytearray(whole)
    changed[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
    file.write_bytes(changed)


@pytest.mark.parametrize("number", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_flipped_bits_are_refused(store: Store, number: int) -> None:
    store.write(RECORDS["single"], SINGLE)
    file = store.folder / "k.npz"
    whole = file.read_bytes()
    draw = random.Random(0)
    for _ in range(number):
        flip(file, whole, draw)
        assert "not the file" in refused(store)


@pytest.mark.parametrize("number", [150, pytest.param(2000, marks=pytest.mark.slow)])
def test_flipped_bits_of_an_old_file_are_refused_or_mean_nothing(store: Store, number: int) -> None:
    store.write(RECORDS["single"], SINGLE)
    change_file(store.folder / "k.json", lambda data: data.pop("predictions_sha256"))
    file = store.folder / "k.npz"
    whole = file.read_bytes()
    draw = random.Random(0)
    for _ in range(number):
        flip(file, whole, draw)
        try:
            found = Store(store.folder.parent).predictions("k", COMPARED)
        except UserError as error:
            assert str(file) in str(error) and "\n" not in str(error)
        else:  # a bit that means nothing, such as a time in the archive
            assert found.keys() == COMPARED & SINGLE.keys()
            for name, array in found.items():
                np.testing.assert_array_equal(array, SINGLE[name])


def test_what_is_no_readable_file_is_refused(store: Store, tmp_path: Path) -> None:
    store.write(RECORDS["single"], SINGLE)
    file = store.folder / "k.npz"
    file.unlink()
    os.mkfifo(file)
    assert "a folder, a pipe or a device" in refused(store)
    file.unlink()
    file.symlink_to(tmp_path / "nowhere")
    assert "No predictions at" in refused(store)
    file.unlink()
    file.mkdir()
    assert "a folder, a pipe or a device" in refused(store)


def test_predictions_of_a_damaged_record_are_refused(store: Store) -> None:
    store.write(RECORDS["single"], SINGLE)
    (store.folder / "k.json").write_text("{")
    with pytest.raises(UserError, match=r"k\.json: not JSON.*run the cell again"):
        store.predictions("k")


def test_an_object_array_is_refused_without_running_it(store: Store, tmp_path: Path) -> None:
    class Touch:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    store.write(RECORDS["single"], SINGLE)
    change_file(store.folder / "k.json", lambda data: data.pop("predictions_sha256"))
    np.savez(store.folder / "k.npz", labels=np.array([Touch()], dtype=object))
    assert "Object arrays" in refused(store)
    assert not (tmp_path / "ran").exists()
