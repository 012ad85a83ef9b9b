"""VOC-LT and COCO-LT with their public lists."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.base import DataSet
from benchmarks.datasets.families.voc_coco import CocoLT, VocLT, check_labels
from benchmarks.errors import DataError, DataMissing, UserError
from benchmarks.protocol import GROUPS, group_of
from tests.benchmarks.datasets.layouts import place, write_list

Make = Callable[..., Path]
FAMILIES = {"voc_lt": VocLT, "coco_lt": CocoLT}


def lines_of(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def images(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with an empty file at each path of the public lists."""
    root = tmp_path_factory.mktemp("images")
    for name in FAMILIES:
        for split in ("train", "test"):
            file = shared / "data/splits" / name / f"{name}_{split}.txt"
            place(root, [line.split()[0] for line in lines_of(file)], images=False)
    return root


@pytest.fixture
def make(shared: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make data roots with the public lists and links to the image folders."""
    monkeypatch.setenv("LONGTAIL_VLM_LINKS", str(images))

    def made(
        name: str = "voc_lt", at: str = "", root: Path = tmp_path, strip: bool = False
    ) -> Path:
        shutil.copytree(shared / "data/splits" / name, root / name)
        (root / at).mkdir(parents=True, exist_ok=True)
        home = images / "VOCdevkit" if strip else images
        for folder in home.iterdir():
            (root / at / folder.name).symlink_to(folder)
        return root

    return made


def load(root: Path, name: str = "voc_lt") -> DataSet:
    return FAMILIES[name]().load(root, split_seed=0)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", FAMILIES)
def test_checksums_match_the_public_files(name: str, shared: Path) -> None:
    sources = FAMILIES[name].release.lists.values()
    for source in sources:
        data = (shared / "data/splits" / name / source.file).read_bytes()
        assert source.checksum == f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.mark.parametrize(
    ("name", "train", "groups"), [("voc_lt", 1142, [6, 6, 8]), ("coco_lt", 1909, [22, 33, 25])]
)
def test_the_public_lists(
    name: str, train: int, groups: list[int], shared: Path, make: Make
) -> None:
    dataset = load(make(name), name)
    assert (dataset.version, dataset.task, dataset.notes) == ("1", "multi", ())
    assert len(dataset.train) == train
    membership = group_of(dataset.counts, "lmpt")
    assert [int((membership == g).sum()) for g in GROUPS] == groups
    assert " / ".join(map(str, groups)) in FAMILIES[name]().card()["groups"]
    lines = lines_of(shared / "data/splits" / name / f"{name}_train.txt")
    for i in (0, 7, train - 1):
        path, *labels = lines[i].split()
        assert dataset.train.ids[i] == path
        assert np.flatnonzero(dataset.train.labels[i]).tolist() == sorted(map(int, labels))
    assert FAMILIES[name]().sizes() == (train, len(dataset.test))


def test_voc_counts_match_the_authors(make: Make) -> None:
    # richard-peng-xia/LMPT, issue 4: the author's example of class counts.
    known = [6, 34, 8, 14, 154, 17, 249, 29, 479, 4, 240, 48, 11, 20, 775, 100, 5, 82, 7, 64]
    assert load(make()).counts.tolist() == known


def test_coco_test_images_without_a_label_are_kept(make: Make) -> None:
    dataset = load(make("coco_lt"), "coco_lt")
    assert len(dataset.test) == 5000
    assert int((dataset.test.labels.sum(1) == 0).sum()) == 48


@pytest.mark.parametrize("name", FAMILIES)
def test_captions_match_their_images(name: str, make: Make) -> None:
    dataset = load(root := make(name), name)
    assert dataset.test.captions is None
    assert dataset.train.captions is not None
    known = dict(line.split(" ", 1) for line in lines_of(root / name / f"{name}_captions.txt"))
    for path, caption in zip(dataset.train.ids, dataset.train.captions, strict=True):
        assert caption == known[path].strip()
        assert len(caption) > 10


@pytest.mark.parametrize(("at", "strip"), [("voc", False), ("VOC", True), ("", True)])
def test_voc_in_its_usual_places(at: str, strip: bool, make: Make) -> None:
    dataset = load(make(at=at, strip=strip))
    assert dataset.train.ids[0].startswith("VOCdevkit/VOC2012/JPEGImages/")


@pytest.mark.parametrize("at", ["coco", "coco/images", "coco_lt"])
def test_coco_in_its_usual_places(at: str, make: Make) -> None:
    dataset = load(make("coco_lt", at=at), "coco_lt")
    assert dataset.train.images.files[0].startswith(f"{at}/train2017/")  # type: ignore[attr-defined]


def test_a_class_without_training_images_does_not_shift_others(make: Make) -> None:
    file = make() / "voc_lt/voc_lt_train.txt"
    kept = [line for line in lines_of(file) if "9" not in line.split()[1:]]  # no cow
    write_list(file, kept)
    before = load(make(root=file.parent / "whole"))
    dataset = load(file.parents[1])
    assert dataset.version == "1-reduced-1138-4952"
    assert dataset.counts[9] == 0
    assert dataset.texts == before.texts
    row = dataset.train.ids.index("VOCdevkit/VOC2012/JPEGImages/2008_000023.jpg")
    assert np.flatnonzero(dataset.train.labels[row]).tolist() == [4, 14, 19]


def test_scores_can_be_set(make: Make) -> None:
    root = make()
    assert load(root).scores == "logits"
    assert VocLT(scores="softmax").load(root, 0).scores == "softmax"
    with pytest.raises(UserError, match="field scores: 'sigmoid' is not one of logits, softmax"):
        VocLT(scores="sigmoid").resolve(root)  # type: ignore[arg-type]


def test_there_are_no_official_validation_images(make: Make) -> None:
    dataset = load(make())
    assert dataset.validation is None
    assert not dataset.validation_source


# ---- damage --------------------------------------------------------------------------------------


def test_a_training_image_without_a_caption(make: Make) -> None:
    file = make() / "voc_lt/voc_lt_captions.txt"
    lines = lines_of(file)
    write_list(file, [lines[0].split(" ", 1)[0], *lines[3:]])
    with pytest.raises(DataError, match="3 of 1,142 training images have no caption, for example"):
        load(file.parents[1])


def test_missing_images_are_counted(make: Make) -> None:
    root = make(at="voc", strip=True)
    (root / "voc/VOC2007").unlink()
    file = root / "voc_lt/voc_lt_train.txt"
    write_list(file, [*lines_of(file), "VOCdevkit/VOC2012/JPEGImages/none.jpg 1"])
    with pytest.raises(DataMissing) as error:
        load(root)
    assert "1 of 1,143 training images, 4,952 of 4,952 test images" in str(error.value)
    assert "for example voc/VOC2012/JPEGImages/none.jpg, " in str(error.value)
    assert "download voc_lt" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 0\nc 1\nb 2\n", "line 2: 'c 1', expected 'b 1'"),
        ("a 0\nb 1\n", "2 classes, expected 3"),
        ("a 0\nb 1\nc 2\nd 3\n", "4 classes, expected 3"),
        ("a 0\nb 2\nc 1\n", "line 2: 'b 2', expected 'b 1'"),
    ],
)
def test_a_label_file_in_another_order(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        check_labels(file, ("a", "b", "c"))


def test_extra_spaces_in_a_label_file_are_ignored(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes(b"\xef\xbb\xbfhot dog 0\r\nbicycle  1 \r\n\r\ncar 2")
    check_labels(file, ("hot dog", "bicycle", "car"))
