from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.conformance.tiny import tiny_data
from benchmarks.datasets.base import ArrayImages, DataSet, Split, TaskKind, Texts
from benchmarks.datasets.carving import with_validation
from benchmarks.datasets.files.image_files import FileImages

COUNTS = (100, 34, 12, 10, 9, 1, 0)


def _data(labels: np.ndarray, task: TaskKind = "single") -> DataSet:
    """Return a data set whose image i is filled with the value i."""
    number = len(labels)
    images = np.zeros((number, 2, 2, 3), dtype=np.uint8) + np.arange(number)[:, None, None, None]
    ids = tuple(f"train/{i}" for i in range(number))
    captions = tuple(f"image {i}" for i in range(number))
    classes = labels.shape[1] if task == "multi" else len(COUNTS)
    test = Split(ArrayImages(images[:1]), labels[:1], ("test/0",))
    texts = Texts(tuple(f"c{i}" for i in range(classes)), ("a {}.",))
    train = Split(ArrayImages(images.astype(np.uint8)), labels, ids, captions)
    return DataSet("carved", task, "1", "none", texts, train, test)


@pytest.fixture
def single() -> DataSet:
    return _data(np.repeat(np.arange(len(COUNTS)), COUNTS))


def _validation(data: DataSet) -> Split:
    assert data.validation is not None
    return data.validation()


def test_a_tenth_of_large_classes_is_carved_and_nothing_of_small_ones(single: DataSet) -> None:
    carved = with_validation(single, 0)
    spare = _validation(carved)
    assert np.bincount(spare.labels, minlength=7).tolist() == [10, 3, 1, 1, 0, 0, 0]
    assert carved.counts.tolist() == [90, 31, 11, 9, 9, 1, 0]
    assert not set(spare.ids) & set(carved.train.ids)
    assert {*spare.ids, *carved.train.ids} == set(single.train.ids)
    assert "15 training images of 4 classes" in carved.validation_source
    assert carved.test is single.test


def test_images_labels_and_captions_stay_together(single: DataSet) -> None:
    carved = with_validation(single, 0)
    for split in (carved.train, _validation(carved)):
        for i, sample in enumerate(split.ids):
            number = int(sample.removeprefix("train/"))
            assert split.images.read(i)[0, 0, 0] == number
            assert split.labels[i] == single.train.labels[number]
            assert split.captions is not None
            assert split.captions[i] == f"image {number}"


def test_groups_stay_those_of_the_whole_training_set(single: DataSet) -> None:
    groups = with_validation(single, 0).group_counts
    assert groups is not None
    assert groups.tolist() == list(COUNTS)
    own = dataclasses.replace(single, group_counts=np.arange(7))
    kept = with_validation(own, 0).group_counts
    assert kept is not None
    assert kept.tolist() == list(range(7))


def test_the_carve_depends_on_split_seed_and_sample_id_only(single: DataSet) -> None:
    once, again, other = (set(_validation(with_validation(single, s)).ids) for s in (0, 0, 1))
    assert once == again
    assert once != other
    order = np.random.default_rng(0).permutation(len(single.train))
    moved = Split(
        ArrayImages(np.stack([single.train.images.read(i) for i in order])),
        single.train.labels[order],
        tuple(single.train.ids[i] for i in order),
    )
    assert (
        set(_validation(with_validation(dataclasses.replace(single, train=moved), 0)).ids) == once
    )


def test_multi_label_images_with_a_rare_class_are_not_carved() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((400, 6)) < [0.6, 0.3, 0.1, 0.06, 0.015, 0]).astype(np.int64)
    data = _data(labels, "multi")
    carved = with_validation(data, 0)
    spare = _validation(carved)
    counts, taken = data.counts, spare.labels.sum(0)
    rare = counts < 10
    assert rare.tolist() == [False] * 4 + [True] * 2
    assert not taken[rare].any()
    assert (spare.labels.sum(1) > 0).all()
    assert (taken[~rare] >= 0.7 * np.round(0.1 * counts[~rare])).all()
    assert (taken <= 0.2 * counts + 1).all()
    assert not set(spare.ids) & set(carved.train.ids)
    assert len(spare) + len(carved.train) == 400


def test_existing_validation_images_are_kept() -> None:
    assert with_validation(tiny_data(), 0) is tiny_data()


def test_nothing_to_carve() -> None:
    data = _data(np.repeat(np.arange(7), 9))
    assert with_validation(data, 0) is data


def test_a_subset_of_images_in_files(single: DataSet, tmp_path: Path) -> None:
    files = tuple(f"{i}.png" for i in range(len(single.train)))
    for i, file in enumerate(files):
        Image.fromarray(single.train.images.read(i)).save(tmp_path / file)
    stored = dataclasses.replace(
        single, train=dataclasses.replace(single.train, images=FileImages(tmp_path, files))
    )
    here, there = (with_validation(data, 0) for data in (single, stored))
    assert here.train.ids == there.train.ids
    for i in (0, 5, len(there.train) - 1):
        np.testing.assert_array_equal(here.train.images.read(i), there.train.images.read(i))
    digests = {s.images.digest() for s in (there.train, _validation(there), stored.train)}
    assert len(digests) == 3
