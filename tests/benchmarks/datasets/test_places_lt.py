"""Data sets with public split lists, tested on Places-LT with its own and with small lists."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.base import DataSet
from benchmarks.datasets.families.places_lt import PlacesLT
from benchmarks.datasets.files.fetch import Source
from benchmarks.datasets.files.split_lists import read_list
from benchmarks.errors import DataError, DataMissing, UserError
from benchmarks.protocol import GROUPS, group_of
from tests.benchmarks.datasets.layouts import first_of_each, place, write_list

CLASSES = ("airfield", "airplane_cabin", "airport_terminal")
TRAIN = [f"train/{c}/{i:08d}.jpg {y}" for y, c in enumerate(CLASSES) for i in range(6 - 2 * y)]
VALIDATION = [f"train/{c}/{i:08d}.jpg {y}" for y, c in enumerate(CLASSES) for i in (90, 91)]
TEST = [f"val/{c}/Places365_val_{y}{i}.jpg {y}" for y, c in enumerate(CLASSES) for i in range(3)]
LISTS = {"train": TRAIN, "val": VALIDATION, "test": TEST}


def make(
    root: Path, folder: str = "places", lists: str = "places_lt", **changed: list[str]
) -> Path:
    """Write a small Places-LT to `root`; `changed` lists replace those above."""
    for split, lines in (LISTS | changed).items():
        paths = write_list(root / lists / f"Places_LT_{split}.txt", lines)
        place(root / folder, paths, images=False)
    return root


def load(root: Path) -> DataSet:
    return PlacesLT().load(root, split_seed=0)


def public(shared: Path, name: str) -> Path:
    return shared / "data/splits/places_lt" / name


# ---- the public lists ----------------------------------------------------------------------------


def test_checksums_match_the_public_lists(shared: Path) -> None:
    for source in PlacesLT.release.lists.values():
        digest = hashlib.sha256(public(shared, source.file).read_bytes()).hexdigest()
        assert source.checksum == f"sha256:{digest}"


@pytest.mark.parametrize(
    ("rule", "sizes"),
    [("lift", [131, 163, 71]), ("oltr", [132, 156, 77]), ("lmpt", [132, 162, 71])],
)
def test_groups_of_the_public_list(rule: str, sizes: list[int], shared: Path) -> None:
    counts = np.bincount(read_list(public(shared, "Places_LT_train.txt"), 365).labels)
    groups = group_of(counts, rule)
    assert [int((groups == g).sum()) for g in GROUPS] == sizes
    assert " / ".join(map(str, sizes)) in PlacesLT().card()["groups"]


def test_the_message_counts_missing_images_in_all_splits(shared: Path, tmp_path: Path) -> None:
    shutil.copytree(shared / "data/splits/places_lt", tmp_path / "places_lt")
    present = read_list(public(shared, "Places_LT_train.txt"), 365).files
    place(tmp_path / "places365_standard", present[:400], images=False)
    with pytest.raises(DataMissing) as error:
        load(tmp_path)
    text = str(error.value)
    assert (
        "62,100 of 62,500 training images, 7,300 of 7,300 validation images, "
        "36,500 of 36,500 test images are missing"
    ) in text
    assert f"for example places365_standard/{present[400]}, " in text
    for part in ("Expected layout", "places365standard_easyformat.tar", "--datasets glyphs100_lt"):
        assert part in text
    assert "\n" not in text


@pytest.mark.slow
def test_the_complete_places_lt(shared: Path, tmp_path: Path) -> None:
    shutil.copytree(shared / "data/splits/places_lt", tmp_path / "places_lt")
    lists = [read_list(public(shared, f"Places_LT_{s}.txt"), 365) for s in ("train", "val", "test")]
    for found in lists:
        place(tmp_path / "places", found.files, images=False)
    dataset = load(tmp_path)
    assert (dataset.version, dataset.notes) == ("1", ())
    assert (len(dataset.train), len(dataset.test)) == (62_500, 36_500)
    assert dataset.validation is not None
    assert len(dataset.validation()) == 7_300
    assert dataset.train.ids == lists[0].files
    assert "by hand" not in PlacesLT().download(tmp_path)


def test_every_class_has_its_own_name(shared: Path) -> None:
    # LIFT's classnames.txt gives five labels another class's name; the lists' folders do not.
    folders = set()
    for split in ("train", "val", "test"):
        found = read_list(public(shared, f"Places_LT_{split}.txt"), 365)
        folders |= {
            (label, path.split("/")[1])
            for path, label in zip(found.files, found.labels.tolist(), strict=True)
        }
    assert PlacesLT()._package().keys == tuple(folder for _, folder in sorted(folders))
    lines = public(shared, "classnames.txt").read_text().splitlines()
    differing = [i for i, folder in sorted(folders) if lines[i].split()[0] != folder]
    assert differing == [116, 117, 118, 141, 142]
    own = PlacesLT(texts="own")._package()
    assert dict(zip(own.keys, own.names, strict=True))["desert-sand"] == "sandy desert"


# ---- layouts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder",
    ["places", "places_lt", "places365", "places365_standard", "places/places365_standard"],
)
@pytest.mark.parametrize("lists", ["places_lt", "places", ""])
def test_usual_places(folder: str, lists: str, tmp_path: Path) -> None:
    dataset = load(make(tmp_path, folder, lists))
    assert dataset.counts.tolist()[:4] == [6, 4, 2, 0]
    assert dataset.train.ids[0] == "train/airfield/00000000.jpg"
    assert dataset.train.images.files[0] == f"{folder}/train/airfield/00000000.jpg"  # type: ignore[attr-defined]
    assert dataset.split_hash == load(make(tmp_path / "b", "")).split_hash


def test_train_and_val_may_be_in_different_folders(tmp_path: Path) -> None:
    make(tmp_path)
    shutil.move(tmp_path / "places/val", tmp_path / "val")
    files = load(tmp_path).test.images.files  # type: ignore[attr-defined]
    assert files[0] == "val/airfield/Places365_val_00.jpg"


def test_the_folder_with_most_images_is_used(tmp_path: Path) -> None:
    make(tmp_path, "places365_standard")
    place(tmp_path / "places", [TRAIN[0].split()[0]], images=False)  # one image only
    assert load(tmp_path).train.images.files[0].startswith("places365_standard/")  # type: ignore[attr-defined]


def test_classes_without_images_do_not_shift_others(tmp_path: Path) -> None:
    lines = [line for line in TRAIN if not line.endswith(" 1")]
    dataset = load(make(tmp_path, train=lines))
    assert dataset.counts.tolist()[:3] == [6, 0, 2]
    assert dataset.texts.class_names[:3] == ("airfield", "airplane cabin", "airport terminal")
    assert len(dataset.counts) == 365


def test_shorter_lists_are_another_version(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = load(make(tmp_path))
    assert dataset.version == "1-reduced-12-9"
    assert "not comparable" in dataset.notes[-1]
    assert "12 training / 6 validation / 9 test" in caplog.text


def test_results_on_other_lists_have_their_own_key(shared: Path, tmp_path: Path) -> None:
    nowhere = PlacesLT().resolve(tmp_path / "nowhere")
    other = PlacesLT().resolve(make(tmp_path / "other"))
    shutil.copytree(shared / "data/splits/places_lt", tmp_path / "public" / "places_lt")
    assert nowhere == PlacesLT().resolve(tmp_path / "public") == PlacesLT(lists="public")
    assert other.lists.startswith("other@")
    assert other.pinned() != nowhere.pinned()
    assert other.resolve(tmp_path / "other") == other
    assert PlacesLT().resolve(make(tmp_path / "b", train=TRAIN[1:])).lists != other.lists
    with pytest.raises(UserError, match=r"the lists under .* are 'public'"):
        other.resolve(tmp_path / "public")


def test_lists_with_the_published_length_but_different_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path)
    sizes = {"train": 12, "validation": 6, "test": 9}
    monkeypatch.setattr(PlacesLT, "release", replace(PlacesLT.release, official=sizes))
    dataset = load(tmp_path)
    assert dataset.version == "1-altered"
    assert "Places_LT_train.txt" in dataset.notes[-1]


def test_validation_is_the_official_list(tmp_path: Path) -> None:
    dataset = load(make(tmp_path))
    assert dataset.validation is not None
    assert dataset.validation().ids == tuple(line.split()[0] for line in VALIDATION)
    assert "official" in dataset.validation_source


# ---- damage --------------------------------------------------------------------------------------


def test_an_image_in_train_and_test(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 image in both the training and the test set") as error:
        load(make(tmp_path, test=[*TEST, TRAIN[3]]))
    assert TRAIN[3].split()[0] in str(error.value)


def test_an_image_in_validation_and_test(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 images in both the validation and the test set"):
        load(make(tmp_path, test=[*TEST, *VALIDATION[:2]]))


@pytest.mark.parametrize("old_new", [("/", "\\"), ("train/", "./train/"), ("train/", "/train/")])
def test_paths_as_other_systems_write_them(old_new: tuple[str, str], tmp_path: Path) -> None:
    plain = load(make(tmp_path))
    lines = [line.replace(*old_new) for line in TRAIN]
    write_list(tmp_path / "places_lt" / "Places_LT_train.txt", lines)
    found = load(tmp_path)
    assert found.train.ids == plain.train.ids
    assert found.train.labels.tolist() == plain.train.labels.tolist()


def test_a_list_with_other_class_numbers(tmp_path: Path) -> None:
    lines = [line.replace("airplane_cabin", "alcove") for line in TRAIN]
    with pytest.raises(DataError, match=r"/00000000\.jpg the label 1, which is airplane_cabin"):
        load(make(tmp_path, train=lines))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train/airfield/x.jpg 365", "line 13: label 365 is out of range"),
        (TRAIN[0], "line 13: train/airfield/00000000.jpg is listed twice"),
        ("train/airfield/x.jpg zero", "line 13: 'zero' is not a list of labels"),
        ("train/airfield/x.jpg", "line 13: expected one label, not 0"),
    ],
)
def test_a_damaged_list(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as error:
        load(make(tmp_path, train=[*TRAIN, line]))
    assert "Places_LT_train.txt" in str(error.value)


def test_the_message_on_missing_lists_names_the_download_command(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "places_lt/Places_LT_val.txt").unlink()
    with pytest.raises(DataMissing, match=r"no Places_LT_val\.txt under") as error:
        load(tmp_path)
    assert f"run_benchmarks.py download places_lt --data-root {tmp_path}" in str(error.value)


# ---- download ------------------------------------------------------------------------------------


def test_download_fetches_missing_files_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = make(tmp_path / "origin", lists="")
    lists = {
        role: Source(s.file, (origin / s.file).as_uri())
        for role, s in PlacesLT.release.lists.items()
    }
    monkeypatch.setattr(PlacesLT, "release", replace(PlacesLT.release, lists=lists))
    root = tmp_path / "root"
    message = PlacesLT().download(root)
    assert message.count("unverified (no known checksum)") == 3
    assert "put them in DATA_ROOT/places" in message
    assert sorted(p.name for p in root.rglob("*")) == [
        "Places_LT_test.txt", "Places_LT_train.txt", "Places_LT_val.txt", "places_lt",
    ]  # fmt: skip
    place(root / "places", [line.split()[0] for line in (*TRAIN, *VALIDATION, *TEST)], images=False)
    shutil.rmtree(origin)  # nothing is fetched twice
    assert PlacesLT().download(root).endswith("already there. The images are there.")


def test_excerpts_of_the_public_lists(shared: Path, tmp_path: Path) -> None:
    lists = {
        split: first_of_each(public(shared, f"Places_LT_{split}.txt"), 4, 30)
        for split in ("train", "val", "test")
    }
    dataset = load(make(tmp_path, **lists))
    assert (dataset.counts[:30] == 4).all()
    assert not dataset.counts[30:].any()


@pytest.mark.parametrize(
    "path", ["00000003.jpg", "train/00000003.jpg", "train/alcove/00000003.jpg"]
)
def test_an_image_outside_its_class_folder(path: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"gives {path} the label 0, which is airfield"):
        load(make(tmp_path, train=[*TRAIN, f"{path} 0"]))
