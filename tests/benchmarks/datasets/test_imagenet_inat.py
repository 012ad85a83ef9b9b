"""ImageNet-LT and iNaturalist 2018 with small trees and lists made by the tests."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.datasets.base import DataSet
from benchmarks.datasets.families.imagenet_lt import ImageNetLT
from benchmarks.datasets.families.inat2018 import INat2018
from benchmarks.datasets.files.fetch import Archive
from benchmarks.errors import DataError, DataMissing
from tests.benchmarks.datasets.layouts import place, write_list

WNIDS = ("n01440764", "n01443537", "n01484850")  # the first three of the sorted list
IMAGENET = {
    "train": [f"train/{w}/{w}_{i}.JPEG {y}" for y, w in enumerate(WNIDS) for i in range(5 - y)],
    "val": [f"train/{w}/{w}_9{i}.JPEG {y}" for y, w in enumerate(WNIDS) for i in range(2)],
    "test": [
        f"val/{w}/ILSVRC2012_val_{y}{i}.JPEG {y}" for y, w in enumerate(WNIDS) for i in (0, 1)
    ],
}


# ---- ImageNet-LT ---------------------------------------------------------------------------------


def make_imagenet(root: Path, folder: str, *, flat: bool = False) -> DataSet:
    for split, lines in IMAGENET.items():
        paths = write_list(root / "imagenet_lt" / f"ImageNet_LT_{split}.txt", lines)
        if flat and split == "test":
            paths = [f"val/{path.rsplit('/', 1)[1]}" for path in paths]
        place(root / folder, paths, images=False)
    return ImageNetLT().load(root, split_seed=0)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("folder", ["imagenet", "", "ILSVRC/Data/CLS-LOC", "ILSVRC2012"])
def test_imagenet_in_its_usual_layouts(folder: str, flat: bool, tmp_path: Path) -> None:
    dataset = make_imagenet(tmp_path, folder, flat=flat)
    assert dataset.counts.tolist()[:4] == [5, 4, 3, 0]
    assert dataset.test.ids[0] == "val/n01440764/ILSVRC2012_val_00.JPEG"
    inside = "" if flat else "n01440764/"
    file = f"{folder}/val/{inside}ILSVRC2012_val_00.JPEG".lstrip("/")
    assert dataset.test.images.files[0] == file  # type: ignore[attr-defined]
    assert dataset.split_hash == make_imagenet(tmp_path / "b", "imagenet").split_hash
    assert dataset.validation is not None
    assert len(dataset.validation()) == 6


def test_imagenet_names_shared_by_classes_get_a_footnote(tmp_path: Path) -> None:
    notes = make_imagenet(tmp_path, "imagenet").notes
    assert any("missile" in note and "sunglasses" in note for note in notes)


def test_the_card_says_what_is_unverified_about_imagenet_lt() -> None:
    card = ImageNetLT().card()
    assert card["groups"] == "unverified"
    assert "ImageNet_LT_test.txt (checksum unverified)" in card["lists"]
    assert card["training images"] == "115,846"


# ---- iNaturalist ---------------------------------------------------------------------------------

CATEGORIES = [
    {"id": i, "name": name, "supercategory": kind}
    for i, (name, kind) in enumerate(
        [("Ursus arctos", "Mammalia"), ("Quercus robur", "Plantae"), ("Apis mellifera", "Insecta")]
    )
]


def inat_paths(kind: str) -> list[tuple[str, int]]:
    return [
        (f"train_val2018/{c['supercategory']}/{c['id']}/{kind}{i}.jpg", int(str(c["id"])))
        for c in CATEGORIES
        for i in range(4 - int(str(c["id"])) if kind == "t" else 1)
    ]


def annotations(kind: str) -> dict[str, object]:
    """Return annotations in the published form: unsorted, with ids that are not positions."""
    pairs = list(enumerate(inat_paths(kind), 1000))
    return {
        "images": [{"id": i, "file_name": path} for i, (path, _) in reversed(pairs)],
        "annotations": [{"id": i, "image_id": i, "category_id": y} for i, (_, y) in pairs],
        "categories": [{"id": c["id"], "name": "obfuscated"} for c in CATEGORIES],
    }


def make_inat(
    root: Path, form: str = "json", *, images: str = "inat2018", strip: bool = False
) -> Path:
    folder = root / "inat2018"
    folder.mkdir(parents=True)
    (folder / "categories.json").write_text(json.dumps(CATEGORIES))
    for kind, name, text in (
        ("t", "train2018", "iNaturalist18_train"),
        ("v", "val2018", "iNaturalist18_val"),
    ):
        paths = [path for path, _ in inat_paths(kind)]
        if strip:
            paths = [path.split("/", 1)[1] for path in paths]
        place(root / images, paths, images=False)
        if form == "json":
            (folder / f"{name}.json").write_text(json.dumps(annotations(kind)))
        else:
            write_list(folder / f"{text}.txt", [f"{path} {y}" for path, y in inat_paths(kind)])
    return root


def test_inat_annotations_and_lists_give_the_same_data_set(tmp_path: Path) -> None:
    a, b = (
        INat2018().load(make_inat(tmp_path / form, form), split_seed=0) for form in ("json", "txt")
    )
    assert a.split_hash == b.split_hash
    assert a.counts.tolist() == [4, 3, 2]
    assert a.texts.class_names == ("Ursus arctos", "Quercus robur", "Apis mellifera")
    assert a.texts.digest == b.texts.digest
    assert a.version == "1-reduced-9-3"


@pytest.mark.parametrize(
    ("images", "strip"), [("", False), ("iNat2018", False), ("inat2018", True)]
)
def test_inat_in_its_usual_places(images: str, strip: bool, tmp_path: Path) -> None:
    dataset = INat2018().load(make_inat(tmp_path, images=images, strip=strip), 0)
    assert dataset.train.ids[0] == "train_val2018/Mammalia/0/t0.jpg"


@pytest.mark.parametrize("form", ["json", "txt"])
def test_other_inat_annotations_have_their_own_key(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_inat(tmp_path, form)
    assert INat2018().resolve(root).lists.startswith("other@")
    monkeypatch.setattr(
        INat2018, "release", replace(INat2018.release, official={"train": 9, "test": 3})
    )
    for file in root.rglob("iNaturalist18_*.txt"):
        file.write_text(file.read_text().rstrip())  # a last line without a line break counts
    assert INat2018().resolve(root).lists == "public"
    assert INat2018().load(root, 0).version == "1"


def test_inat_has_no_validation_images(tmp_path: Path) -> None:
    dataset = INat2018().load(make_inat(tmp_path), 0)
    assert dataset.validation is None
    assert not dataset.validation_source
    assert "none" in INat2018().card()["validation"]


def test_inat_without_categories(tmp_path: Path) -> None:
    make_inat(tmp_path)
    (tmp_path / "inat2018/categories.json").unlink()
    with pytest.raises(DataMissing, match=r"no categories\.json under .*download inat2018"):
        INat2018().load(tmp_path, 0)
    assert "unverified" in INat2018().card()["texts"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d["annotations"][0].update(category_id=3), r"categories\.json has 3"),
        (lambda d: d["annotations"].append(d["annotations"][0]), "is listed twice"),
        (lambda d: d.pop("images"), "no annotations for images"),
        (lambda d: d["annotations"][0].update(category_id=1), "another order"),
    ],
)
def test_inat_damaged_annotations(damage: object, message: str, tmp_path: Path) -> None:
    make_inat(tmp_path)
    data = annotations("t")
    damage(data)  # type: ignore[operator]
    (tmp_path / "inat2018/train2018.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match=message):
        INat2018().load(tmp_path, 0)


def test_inat_truncated_annotations(tmp_path: Path) -> None:
    make_inat(tmp_path)
    file = tmp_path / "inat2018/val2018.json"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"val2018\.json: cannot be read as JSON"):
        INat2018().load(tmp_path, 0)


def test_own_texts_of_inat_are_templates(tmp_path: Path) -> None:
    root = make_inat(tmp_path)
    own, public = (INat2018(texts=which).load(root, 0).texts for which in ("own", "public"))
    assert own.class_names == public.class_names
    assert own.templates != public.templates


def test_inat_download_unpacks_the_annotations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = make_inat(tmp_path / "origin") / "inat2018"
    lists = {}
    for role, source in INat2018.release.lists.items():
        assert isinstance(source, Archive)
        packed = tmp_path / source.file
        with tarfile.open(packed, "w:gz") as tar:
            data = (origin / source.holds).read_bytes()
            info = tarfile.TarInfo(source.holds)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        lists[role] = replace(source, url=packed.as_uri(), checksum=None)
    monkeypatch.setattr(INat2018, "release", replace(INat2018.release, lists=lists))
    root = tmp_path / "root"
    message = INat2018().download(root)
    assert "127.9 GB" in message
    assert sorted(p.name for p in (root / "inat2018").iterdir()) == [
        "categories.json", "train2018.json", "val2018.json",
    ]  # fmt: skip
    shutil.copytree(origin / "train_val2018", root / "train_val2018")
    assert INat2018().load(root, 0).split_hash == INat2018().load(origin.parent, 0).split_hash
