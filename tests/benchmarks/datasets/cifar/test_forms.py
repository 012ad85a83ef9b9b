"""CIFAR-LT from every form on disk: splits, groups, texts."""

from __future__ import annotations

import hashlib
import io
import pickle
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.datasets import long_tail
from benchmarks.datasets.families.cifar import Cifar10LT, Cifar100LT
from benchmarks.datasets.files.cifar_files import CIFAR10, CIFAR100, Form, read
from benchmarks.datasets.files.texts import assemble
from benchmarks.errors import DataError, DataMissing
from benchmarks.protocol import GROUPS, group_of
from benchmarks.text import read_package
from tests.benchmarks.datasets.cifar.small import CLASSES, TEST, TRAIN, content, copied, load, pack

pytestmark = pytest.mark.usefixtures("cache")


# ---- forms ---------------------------------------------------------------------------------------


def test_pickles_give_the_published_draw(pickles: Path) -> None:
    dataset = load(pickles)
    assert dataset.recipe == "cao2019"
    expected = long_tail.class_counts(TRAIN, 10, 10)
    assert dataset.counts.tolist() == expected.tolist()
    assert len(dataset.test) == 10 * TEST
    entries = [pickle.loads((pickles / CIFAR10.folder / n).read_bytes()) for n in CIFAR10.train]
    labels = np.concatenate([e["labels"] for e in entries])
    files = [f for e in entries for f in e["filenames"]]
    drawn, _ = long_tail.draw(labels, expected, 0)
    assert dataset.train.ids == tuple(f"train/{CLASSES[labels[i]]}/{files[i]}" for i in drawn)
    pixels = np.concatenate([e["data"] for e in entries])[drawn[0]]
    assert (dataset.train.images.read(0) == pixels.reshape(3, 32, 32).transpose(1, 2, 0)).all()


def test_official_pickles_have_their_checksums(pickles: Path) -> None:
    """A smaller collection is another data set; one of the official size is the official one."""
    form = Form("pickles", pickles / CIFAR10.folder)
    whole = replace(CIFAR10, per_class=(TRAIN, TEST))
    with pytest.raises(DataError) as raised:
        read(form, whole)
    assert str(raised.value).startswith(
        f"{form.path / 'data_batch_1'}: damaged, or not the official file (its MD5 sum is "
    )
    names = (*CIFAR10.train, CIFAR10.test, CIFAR10.meta)
    md5 = tuple(hashlib.md5((form.path / name).read_bytes()).hexdigest() for name in names)
    found = read(form, replace(whole, md5=md5))
    assert len(found["train"].labels) == 10 * TRAIN


def test_official_archive_is_the_same_data_set(pickles: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / CIFAR10.archive, "w:gz") as tar:
        tar.add(pickles / CIFAR10.folder, CIFAR10.folder)
    assert load(tmp_path).train.ids == load(pickles).train.ids
    assert content(load(tmp_path)) == content(load(pickles))


def test_tree_draws_by_name_and_says_so(pickles: Path, tree: Path) -> None:
    by_name, official = load(tree), load(pickles)
    assert by_name.recipe == "cao2019/name-order"
    assert by_name.split_hash != official.split_hash


def test_name_order_is_one_split_whatever_the_form(
    pickles: Path, tree: Path, tmp_path: Path
) -> None:
    expected = load(pickles, recipe="cao2019/name-order")
    roots = [
        tree,
        tree / "cifar10",
        pack(tree, tmp_path / "cifar10.tar.gz", ""),
        pack(tree, tmp_path / "b" / "cifar10_folders.tar.gz", "cifar10/"),
        pack(tree, tmp_path / "c" / "cifar10.tar.gz", "./"),
    ]
    for root in roots:
        dataset = load(root)
        assert dataset.split_hash == expected.split_hash
        assert dataset.train.ids == expected.train.ids
        assert content(dataset) == content(expected)


@pytest.mark.parametrize("ending", [".PNG", ".bmp"])
def test_lossless_copies_are_the_same_data_set(tree: Path, tmp_path: Path, ending: str) -> None:
    copy = load(copied(tree, tmp_path, ending))
    assert copy.train.ids == load(tree).train.ids and copy.split_hash == load(tree).split_hash
    assert content(copy) == content(load(tree))
    assert (copy.version, copy.notes) == (load(tree).version, load(tree).notes)


@pytest.mark.parametrize("ending", [".jpg", ".JPEG", ".webp"])
def test_lossy_copies_are_a_data_set_of_their_own(tree: Path, tmp_path: Path, ending: str) -> None:
    copied(tree, tmp_path, ending)
    packed = pack(tmp_path, tmp_path / "packed" / "cifar10.tar.gz", "")
    for root, collection in ((tmp_path, "20-3-lossy"), (packed, "lossy")):
        copy = load(root)
        assert copy.train.ids == load(tree).train.ids  # the same images are drawn
        assert content(copy) != content(load(tree))
        assert copy.version == "1-reduced-20-3-lossy"
        assert any("lossy copies" in note for note in copy.notes)
        found = Cifar10LT().resolve(root)
        assert found.collection == found.pinned()["collection"] == collection


def test_another_split_seed_is_another_split(pickles: Path) -> None:
    hashes = {Cifar10LT().load(pickles, seed).split_hash for seed in (0, 1)}
    assert len(hashes) == 2


def test_resolve_sets_the_draw(pickles: Path, tree: Path, tmp_path: Path) -> None:
    assert Cifar10LT().resolve(pickles).recipe == "cao2019"
    assert Cifar10LT().resolve(tree).recipe == "cao2019/name-order"
    assert Cifar10LT().resolve(tmp_path / "nowhere").recipe == "cao2019"
    assert repr(Cifar10LT(imbalance=50).resolve(tmp_path)) == repr(
        Cifar10LT(imbalance=50.0).resolve(tmp_path)
    )


def test_official_order_is_not_faked_from_a_tree(tree: Path) -> None:
    with pytest.raises(DataMissing, match="needs the official pickles"):
        load(tree, recipe="cao2019")


def test_a_smaller_collection_is_another_version(
    pickles: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert load(pickles).version == "1-reduced-20-3"
    assert "not comparable" in caplog.text


def test_group_counts_of_ratio_100(pickles: Path) -> None:
    assert load(pickles).group_counts is None
    dataset = load(pickles, group_counts="ir100")
    assert dataset.group_counts is not None
    assert dataset.group_counts.tolist() == long_tail.class_counts(TRAIN, 10, 100).tolist()


def test_validation_uses_images_that_were_not_drawn(pickles: Path) -> None:
    dataset = load(pickles)
    assert dataset.validation is not None
    validation = dataset.validation()
    used = set(dataset.train.ids) | set(dataset.test.ids)
    assert not used & set(validation.ids)
    left = TRAIN - dataset.counts
    assert np.bincount(validation.labels, minlength=10).tolist() == np.minimum(left, 20).tolist()
    assert "9 of 10 classes" in dataset.validation_source
    assert load(pickles).validation().ids == validation.ids  # type: ignore[misc]


def test_validation_excludes_duplicates_of_test_images(damaged: Path) -> None:
    before = load(damaged).validation().ids  # type: ignore[misc]
    copied = before[0]
    test_image = next((damaged / "cifar10/test").rglob("*.png"))
    shutil.copy(test_image, damaged / "cifar10" / copied)
    assert load(damaged).validation().ids == before[1:]  # type: ignore[misc]


def test_a_balanced_set_has_no_validation_images(pickles: Path) -> None:
    dataset = Cifar10LT(imbalance=1).load(pickles, 0)
    assert dataset.validation is None
    assert not dataset.validation_source


def test_classes_without_images_are_reported(tree: Path) -> None:
    dataset = Cifar10LT(imbalance=1000).load(tree, split_seed=0)
    empty = int((dataset.counts == 0).sum())
    assert empty > 0
    names = dataset.texts.class_names[-empty:]
    assert dataset.gaps[0].startswith(f"{empty} of 10 classes have no training images: {names[0]}")
    assert not load(tree).gaps


def test_a_smaller_tree_is_another_cell(tree: Path) -> None:
    found = Cifar10LT().resolve(tree)
    assert found.collection == "20-3"
    assert found.pinned()["collection"] == "20-3"
    nothing = Cifar10LT().resolve(tree / "nowhere")
    assert nothing.pinned() == {k: v for k, v in found.pinned().items() if k != "collection"} | {
        "recipe": "cao2019"
    }


# ---- texts and card ------------------------------------------------------------------------------


@pytest.mark.parametrize(("layout", "size"), [(CIFAR10, 10), (CIFAR100, 100)])
def test_texts_are_complete(layout: type, size: int) -> None:
    package = read_package(layout.key)  # type: ignore[attr-defined]
    texts, notes = assemble(package.names, package.templates, package.descriptions)
    assert not notes
    assert len(set(texts.class_names)) == size
    assert list(texts.class_names) == sorted(texts.class_names)
    assert len(set(texts.templates)) == 18
    assert all(t.count("{}") == 1 for t in texts.templates)
    assert texts.descriptions is not None
    assert len(set(texts.descriptions)) == size
    for name, description in zip(texts.class_names, texts.descriptions, strict=True):
        assert description.endswith(".")
        assert name not in description.lower().replace(",", "").split()


def test_card_counts_for_its_own_ratio() -> None:
    card = Cifar100LT(imbalance=50).card()
    assert card["training images"].startswith("12,608")
    assert "41 / 41 / 18" in card["groups"]
    assert "35 / 35 / 30" in Cifar100LT(imbalance=50, group_counts="ir100").card()["groups"]
    assert "100 descriptions; text hash 8bc65443aa0159a2" in card["texts"]
    assert card["class names"].startswith("apple, aquarium fish, baby, ")
    assert card["class names"].endswith(", and 94 more")
    assert card["templates"].startswith("a photo of a {}.; a blurry photo of a {}.; and 16 more")


# ---- the real images -----------------------------------------------------------------------------


@pytest.mark.slow
def test_real_cifar100(shared: Path) -> None:
    dataset = Cifar100LT().load(shared / "data", split_seed=0)
    assert dataset.version == "1"
    assert (len(dataset.train), len(dataset.test)) == (10_847, 10_000)
    membership = group_of(dataset.counts, "lift")
    assert [int((membership == g).sum()) for g in GROUPS] == [35, 35, 30]
    assert (np.bincount(dataset.test.labels) == 100).all()
    ids = dataset.train.ids + dataset.test.ids
    assert len(set(ids)) == len(ids)
    assert dataset.validation is not None
    assert len(dataset.validation()) == 99 * 20
    with tarfile.open(shared / "data" / "cifar100_folders.tar.gz", "r|gz") as tar:
        member = next(m for m in tar if m.name in set(ids))
        stream = tar.extractfile(member)
        assert stream is not None
        pixels = np.asarray(Image.open(io.BytesIO(stream.read())))
    split = dataset.train if member.name in set(dataset.train.ids) else dataset.test
    assert (split.images.read(split.ids.index(member.name)) == pixels).all()
