from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks.datasets.base import ArrayImages, DataSet, Split, TaskKind, Texts
from benchmarks.datasets.folds import STAYS, fold_of, held_out

COUNTS = (60, 40, 25, 12, 9, 8, 5, 4, 3, 2, 1, 0)


def _data(labels: np.ndarray, task: TaskKind = "single") -> DataSet:
    number, classes = len(labels), labels.shape[1] if task == "multi" else len(COUNTS)
    images = np.zeros((number, 2, 2, 3), dtype=np.uint8)
    ids = tuple(f"train/{i}" for i in range(number))
    test = Split(ArrayImages(images[:1]), labels[:1], ("test/0",))
    texts = Texts(tuple(f"c{i}" for i in range(classes)), ("a {}.",))
    return DataSet(
        "folded", task, "1", "none", texts, Split(ArrayImages(images), labels, ids), test
    )


@pytest.fixture
def single() -> DataSet:
    return _data(np.repeat(np.arange(len(COUNTS)), COUNTS))


def _multi() -> DataSet:
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 5)) < [0.5, 0.2, 0.05, 0.02, 0]).astype(np.int64)
    labels[7, 4] = 1
    return _data(labels, "multi")


@pytest.mark.parametrize("folds", [2, 5, 40])
def test_every_class_of_two_or_more_images_is_held_out_evenly(single: DataSet, folds: int) -> None:
    found = fold_of(single, folds, 0)
    labels = single.train.labels
    for c, count in enumerate(COUNTS):
        held = np.bincount(found[labels == c] + 1, minlength=folds + 1)
        if count < 2:
            assert held[1:].sum() == 0
            continue
        assert held[STAYS + 1] == 0
        assert held[1:].max() - held[1:].min() <= 1
        assert held[1:].max() < count  # each training set keeps an image of the class
    sizes = np.bincount(found[found != STAYS], minlength=folds)
    assert sizes.max() - sizes.min() <= 1


def test_a_fold_takes_the_place_of_the_validation_images(single: DataSet) -> None:
    seen: list[str] = []
    for fold in range(3):
        view = held_out(single, 3, fold, 0)
        assert view.validation is not None
        out = view.validation()
        assert not set(out.ids) & set(view.train.ids)
        assert {*out.ids, *view.train.ids} == set(single.train.ids)
        assert view.group_counts is not None
        assert view.group_counts.tolist() == list(COUNTS)
        assert f"fold {fold + 1} of 3" in view.validation_source
        seen += out.ids
    assert len(seen) == len(set(seen)) == sum(COUNTS) - 1
    own = dataclasses.replace(single, group_counts=np.arange(len(COUNTS)))
    kept = held_out(own, 3, 0, 0).group_counts
    assert kept is not None
    assert kept.tolist() == list(range(len(COUNTS)))


def test_more_folds_than_images_are_no_validation_images() -> None:
    few = _data(np.array([0, 0, 1]))
    assert held_out(few, 3, 0, 0).validation is None
    assert held_out(few, 2, 0, 0).validation is not None


@pytest.mark.parametrize("task", ["single", "multi"])
def test_folds_depend_on_split_seed_and_sample_id_only(single: DataSet, task: str) -> None:
    data = single if task == "single" else _multi()

    def by_id(data: DataSet, seed: int) -> dict[str, int]:
        return dict(zip(data.train.ids, fold_of(data, 5, seed).tolist(), strict=True))

    order = np.random.default_rng(1).permutation(len(data.train))
    moved = Split(
        data.train.images, data.train.labels[order], tuple(data.train.ids[i] for i in order)
    )
    assert by_id(data, 0) == by_id(dataclasses.replace(data, train=moved), 0)
    assert by_id(data, 0) != by_id(data, 1)


def test_multi_label_folds_share_every_class_that_has_two_images() -> None:
    data = _multi()
    labels, found = data.train.labels, fold_of(data, 4, 0)
    assert data.counts.tolist()[3:] == [int(labels[:, 3].sum()), 1]
    stays = (labels[:, 4] > 0) | ~labels.any(1)
    assert ((found == STAYS) == stays).all()
    held = np.stack([labels[found == fold].sum(0) for fold in range(4)])
    spread = held.max(0) - held.min(0)
    assert spread[3] <= 1  # the rarest class chooses first
    assert (spread <= 2 + 0.1 * data.counts).all()
    assert (held.max(0)[:4] < data.counts[:4]).all()
