"""Scores of a search on a user's own data, most of whose classes are small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import balanced_accuracy_score

from benchmarks.errors import UserError
from benchmarks.sweep.recipe_files import read_recipe
from tests.benchmarks.cli.parts.tuning.searches import Tune
from tests.benchmarks.datasets.own_files import describe, tree
from tests.benchmarks.oracles import sklearn_precisions

SIZES = (60, 40, 25, 12, 9, 8, 5, 4, 3, 2)


@pytest.fixture
def own(search: Tune, tmp_path: Path) -> str:
    """The path of the description of a user's own data."""
    root = tmp_path / "birds"
    tree(root / "photos/train", {f"class{i}": size for i, size in enumerate(SIZES)})
    tree(root / "photos/test", {f"class{i}": 1 for i in range(len(SIZES))})
    for i, file in enumerate((root / "photos/test").rglob("*.png")):
        Image.new("RGB", (6, 4), (i, 200, 100)).save(file)  # none is a training image
    return describe(root, images="photos")


def test_classes_that_validation_leaves_out_are_named(search: Tune, own: str) -> None:
    ended = search(datasets=own, trials=1)
    scored = ended.recipe["tuning"]["scored"]
    assert scored == {"images": 13, "classes": "4 of 10", "medium": "3 of 3", "few": "1 of 7"}
    shown = " ".join(ended.shown.split())
    assert "Scored on 13 validation images of 4 of 10 classes (medium 3 of 3, few 1 of 7)" in shown
    assert "Never scored: 6 classes with 2 to 9 training images; the choice is blind" in shown
    assert "--folds 5" in shown
    for record in ended.store.all()[0]:
        notes = " ".join(record.notes)
        assert "6 of 10 classes have no validation images" in notes
        assert "scored on 13 training images of 4 classes" in notes
        assert "test images" not in notes


def test_a_group_that_is_not_scored_is_named(search: Tune, tmp_path: Path) -> None:
    tree(tmp_path / "photos/train", {"crow": 30, "jay": 25, "wren": 9, "owl": 1})
    tree(tmp_path / "photos/test", {"crow": 1, "jay": 1, "wren": 1, "owl": 1})
    ended = search(datasets=describe(tmp_path, images="photos"), trials=1)
    shown = " ".join(ended.shown.split())
    assert "Never scored: 2 classes with 1 to 9 training images, all of the group few" in shown


def test_with_folds_every_class_of_two_images_is_scored(search: Tune, own: str) -> None:
    ended = search(datasets=own, trials=1, folds=3)
    recipe = ended.recipe
    assert recipe["tuning"]["folds"] == 3
    assert recipe["origin"] == "tuned-on-birds, 1 trial of 3 folds"
    scored = recipe["tuning"]["scored"]
    assert scored == {"images": 168, "classes": "10 of 10", "medium": "3 of 3", "few": "7 of 7"}
    assert "Never scored" not in ended.shown
    records, _ = ended.store.all()
    assert len(records) == 3
    for trial in ended.trials:
        found = [
            ended.store.predictions(record.key)
            for record in records
            if record.config["lr"] == trial["lr"]
        ]
        ids = np.concatenate([arrays["ids"] for arrays in found])
        assert len(set(ids)) == len(ids) == sum(SIZES)
        labels = np.concatenate([arrays["labels"] for arrays in found])
        said = np.concatenate([arrays["top5"][:, 0] for arrays in found])
        expected = 100 * balanced_accuracy_score(labels, said)
        assert trial["score"] == pytest.approx(expected, abs=1e-3)
    for record in records:
        assert record.groups is not None
        assert min(record.groups.train_counts) >= 1
        assert record.groups.membership == ("medium",) * 3 + ("few",) * 7


def test_folds_work_where_validation_images_do_not(search: Tune) -> None:
    with pytest.raises(UserError, match="no validation images"):
        search(datasets="plain_lt")
    ended = search(datasets="plain_lt", folds=2, trials=1)
    assert ended.status == 0
    assert "measured on 2 folds of the training images" in " ".join(ended.shown.split())


def test_folds_pool_multi_label_data(search: Tune) -> None:
    ended = search("mine", "glyphscenes_lt.n_max=12", datasets="glyphscenes_lt", trials=1, folds=2)
    assert ended.recipe["tuning"]["objective"].startswith(
        "mAP (%) on the predictions pooled over 2"
    )


@pytest.mark.parametrize("folds", [0, 2])
def test_a_softmax_over_the_classes_is_scored_where_the_test_is_scored_by_one(
    search: Tune, folds: int
) -> None:
    ended = search(
        "linear_probe", "linear_probe.epochs=1", "glyphscenes_lt.scores=softmax",
        "glyphscenes_lt.n_max=12", datasets="glyphscenes_lt", trials=1, folds=folds,
    )  # fmt: skip
    records, _ = ended.store.all()
    arrays = [ended.store.predictions(record.key) for record in records]
    labels, scores = (np.concatenate([a[name] for a in arrays]) for name in ("labels", "scores"))
    np.testing.assert_allclose(np.exp(scores).sum(1), 1.0, rtol=1e-5)
    there = labels.any(0)
    expected = 100 * sklearn_precisions(scores[:, there], labels[:, there]).mean()
    assert ended.trials[0]["score"] == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize("folds", [1, -1, 5000])
def test_a_number_of_folds_that_cannot_be_is_refused(search: Tune, folds: int) -> None:
    with pytest.raises(UserError, match="--folds"):
        search(folds=folds)


def test_more_folds_than_images_are_refused(search: Tune) -> None:
    with pytest.raises(UserError, match="too few training images for 200 folds"):
        search(datasets="plain_lt", folds=200)


def test_another_way_to_score_is_another_recipe(search: Tune) -> None:
    file = Path("there.yaml")
    search(trials=1, write=file)
    with pytest.raises(UserError, match=r"was scored on validation images, this .* on 2 folds"):
        search(trials=1, folds=2, write=file)
    assert read_recipe(file).folds == 0
