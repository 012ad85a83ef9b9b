"""Tiny-ImageNet-LT on a small release made by the tests: 5 and 1 images in 200 classes."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.datasets import long_tail
from benchmarks.datasets.base import DataSet
from benchmarks.datasets.families import tiny_imagenet
from benchmarks.datasets.families.tiny_imagenet import TinyImageNetLT
from benchmarks.errors import DataError, DataMissing, UserError
from benchmarks.text import read_package
from tests.benchmarks.datasets.layouts import jpeg

WNIDS = read_package("tiny_imagenet").keys
NUMBERS = (0, 1, 2, 10, 11)  # sorted by name: _0, _1, _10, _11, _2
TRAIN, TEST = len(NUMBERS), 1


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data root that tests must not change."""
    folder = tmp_path_factory.mktemp("release") / "tiny-imagenet-200"
    (folder / "val/images").mkdir(parents=True)
    order = np.random.default_rng(0).permutation(200)
    (folder / "wnids.txt").write_text("".join(f"{WNIDS[i]}\n" for i in order))
    lines = []
    for n, i in enumerate(order):
        images = folder / "train" / WNIDS[i] / "images"
        images.mkdir(parents=True)
        (images.parent / f"{WNIDS[i]}_boxes.txt").write_text("")
        for k in NUMBERS:
            (images / f"{WNIDS[i]}_{k}.JPEG").write_bytes(jpeg(int(i) * 20 + k, 64, 64))
        (folder / f"val/images/val_{n}.JPEG").write_bytes(jpeg(int(i) * 20 + 19, 64, 64))
        lines.append(f"val_{n}.JPEG\t{WNIDS[i]}\t0\t0\t62\t62\n")
    (folder / "val/val_annotations.txt").write_text("".join(lines))
    return folder.parent


@pytest.fixture
def damaged(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder that a test may damage: its validation images and three classes are copies."""
    monkeypatch.setenv("LONGTAIL_VLM_LINKS", str(release))
    folder, original = tmp_path / "data/tiny-imagenet-200", release / "tiny-imagenet-200"
    shutil.copytree(original / "val", folder / "val", copy_function=os.link)
    shutil.copy(original / "wnids.txt", folder)
    (folder / "train").mkdir()
    for i, wnid in enumerate(WNIDS):
        if i in (0, 7, 9):
            shutil.copytree(original / "train" / wnid, folder / "train" / wnid)
        else:
            (folder / "train" / wnid).symlink_to(original / "train" / wnid)
    return folder


def load(root: Path, **fields: object) -> DataSet:
    return TinyImageNetLT(**{"imbalance": 4.0, **fields}).load(root, split_seed=0)  # type: ignore[arg-type]


def test_the_draw_is_over_sorted_wnids_and_names(release: Path) -> None:
    dataset = load(release)
    counts = long_tail.class_counts(TRAIN, 200, 4)
    assert dataset.counts.tolist() == counts.tolist()
    assert (dataset.counts[0], dataset.counts[-1]) == (5, 1)
    names = [sorted(f"train/{w}_{k}.JPEG" for k in NUMBERS) for w in sorted(WNIDS)]
    drawn, _ = long_tail.draw(np.repeat(np.arange(200), TRAIN), counts, 0)
    assert dataset.train.ids == tuple(names[i // TRAIN][i % TRAIN] for i in drawn)
    assert dataset.recipe == "cao2019/name-order"


def test_labels_and_pixels_match_the_files(release: Path) -> None:
    dataset = load(release)
    for split in (dataset.train, dataset.test):
        for i in (0, 100, len(split) - 1):
            sid, wnid = split.ids[i], WNIDS[split.labels[i]]
            if sid.startswith("train/"):
                file = release / "tiny-imagenet-200/train" / wnid / "images" / sid[6:]
            else:
                file = release / "tiny-imagenet-200/val/images" / sid[4:]
                annotations = (release / "tiny-imagenet-200/val/val_annotations.txt").read_text()
                assert f"{sid[4:]}\t{wnid}\t" in annotations
            expected = np.asarray(Image.open(file).convert("RGB"))
            assert (split.images.read(i) == expected).all()
    assert np.bincount(dataset.test.labels).tolist() == [TEST] * 200
    assert dataset.texts.class_names[0] == "goldfish"  # n01443537


def test_the_data_root_may_be_the_folder_itself(release: Path) -> None:
    assert load(release / "tiny-imagenet-200").split_hash == load(release).split_hash


def test_another_split_seed_is_another_split(release: Path) -> None:
    family = TinyImageNetLT(imbalance=4)
    assert family.load(release, 1).split_hash != family.load(release, 0).split_hash


def test_a_smaller_collection_is_another_version(release: Path) -> None:
    dataset = load(release)
    assert dataset.version == "1-reduced-5-1"
    assert "not comparable" in dataset.notes[-1]


def test_validation_uses_images_that_were_not_drawn(release: Path) -> None:
    dataset = load(release)
    assert dataset.validation is not None
    spare = dataset.validation()
    assert not set(spare.ids) & {*dataset.train.ids, *dataset.test.ids}
    assert np.bincount(spare.labels, minlength=200).tolist() == (TRAIN - dataset.counts).tolist()
    assert load(release, imbalance=1).validation is None


def test_images_are_decoded_once(
    release: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(release).train.images.digest()
    with monkeypatch.context() as patch:
        patch.setattr(tiny_imagenet, "_pixels", _must_not_run)
        assert load(release).train.images.digest() == first
    assert len(list(cache.rglob("pixels.npy"))) == 2
    load(release, imbalance=7)  # has the same test images
    assert len(list(cache.rglob("pixels.npy"))) == 3


def test_a_changed_image_is_read_again(damaged: Path) -> None:
    before = load(damaged.parent)
    image = damaged / "train" / WNIDS[0] / "images" / before.train.ids[0][6:]
    image.write_bytes(jpeg(5000, 64, 64))
    assert load(damaged.parent).train.images.digest() != before.train.images.digest()


# ---- damage --------------------------------------------------------------------------------------


def test_missing_data_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataMissing) as error:
        load(tmp_path)
    for part in (
        f"download tiny_imagenet_lt --data-root {tmp_path}",
        "248 MB",
        "tiny-imagenet-200.zip",
    ):
        assert part in str(error.value)


def test_a_class_with_a_different_number_of_images(damaged: Path) -> None:
    next((damaged / "train" / WNIDS[7] / "images").iterdir()).unlink()
    shutil.rmtree(damaged / "train" / WNIDS[9])
    message = f"most have 5, but {WNIDS[7]} has 4, {WNIDS[9]} has 0"
    with pytest.raises(DataError, match=message):
        load(damaged.parent)


def test_missing_test_images_are_counted(damaged: Path) -> None:
    for n in (3, 5):
        (damaged / f"val/images/val_{n}.JPEG").unlink()
    with pytest.raises(
        DataError, match=r"2 of 200 test images are missing, for example val/images/val_3"
    ):
        load(damaged.parent)


@pytest.mark.parametrize("text", ["", "val_0.JPEG n01443537", "val_0.JPEG\tn00000000\t0"])
def test_damaged_annotations(text: str, damaged: Path) -> None:
    file = damaged / "val/val_annotations.txt"
    file.unlink()
    file.write_text(text)
    with pytest.raises(DataError, match=r"val_annotations\.txt: missing or damaged"):
        load(damaged.parent)


def test_a_release_with_other_classes(damaged: Path) -> None:
    (damaged / "wnids.txt").write_text("\n".join([*WNIDS[1:], "n99999999"]))
    with pytest.raises(DataError, match="not the 200 classes of Tiny-ImageNet"):
        load(damaged.parent)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (jpeg(1, 64, 64)[:300], "unreadable or truncated"),
        (jpeg(1, 32, 48), "is 32×48, expected 64×64"),
    ],
)
def test_an_unusable_image_is_named(data: bytes, message: str, damaged: Path) -> None:
    image = damaged / "train" / WNIDS[0] / "images" / f"{WNIDS[0]}_10.JPEG"
    image.write_bytes(data)
    with pytest.raises(DataError, match=message) as error:
        load(damaged.parent)
    assert str(image) in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"profile": "flat"}, "not one of exp, step, head_tail"),
        ({"imbalance": 0.5}, "field imbalance: 0.5 is less than 1"),
        ({"head_share": 0.1}, "needs profile=step"),
    ],
)
def test_invalid_fields(fields: dict[str, object], message: str, release: Path) -> None:
    with pytest.raises(UserError, match=message):
        load(release, **fields)


# ---- download and card ---------------------------------------------------------------------------


def test_download_unpacks_the_archive(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted((release / "tiny-imagenet-200").rglob("*")):
            archive.write(file, file.relative_to(release))
    (tmp_path / "tiny.zip").write_bytes(packed.getvalue())
    source = replace(tiny_imagenet._ARCHIVE, url=(tmp_path / "tiny.zip").as_uri(), checksum=None)
    monkeypatch.setattr(tiny_imagenet, "_ARCHIVE", source)
    root = tmp_path / "root"
    assert "unverified" in TinyImageNetLT().download(root)
    assert [p.name for p in root.iterdir()] == ["tiny-imagenet-200"]
    assert load(root).split_hash == load(release).split_hash
    assert "already" in TinyImageNetLT().download(root)


def test_card_counts_for_its_own_ratio() -> None:
    card = TinyImageNetLT(imbalance=10).card()
    expected = long_tail.class_counts(500, 200, 10)
    assert card["training images"].startswith(f"{expected.sum():,} (500 to 50 per class)")
    many, medium = (expected > 100).sum(), ((expected >= 20) & (expected <= 100)).sum()
    assert f"{many} / {medium} / 0 " in card["groups"]
    assert "this project's own split" in card["recipe"]
    assert TinyImageNetLT().sizes() == (long_tail.class_counts(500, 200, 100).sum(), 10_000)


def _must_not_run(*_: object) -> None:
    raise AssertionError("decoded although the cache has it")


def test_a_smaller_collection_is_another_cell(release: Path, tmp_path: Path) -> None:
    found = TinyImageNetLT().resolve(release)
    assert found.collection == f"{200 * TRAIN}-{200 * TEST}"
    assert TinyImageNetLT().resolve(tmp_path).collection == "official"
