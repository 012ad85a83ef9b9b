"""A user's own folders as tools, systems and hands leave them: splits, spellings, stray folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.cli.parts.prediction import image_files
from benchmarks.datasets.files.class_folders import list_classes
from benchmarks.errors import UserError
from tests.benchmarks.datasets.own_files import describe, image, load, table, tree


def refused(root: Path, **keys: object) -> str:
    """The message about data that cannot be used."""
    with pytest.raises(UserError) as caught:
        load(describe(root, **keys))
    line = str(caught.value)
    assert "\n" not in line
    return line


# ---- folders of splits ---------------------------------------------------------------------------


def test_splits_are_called_in_folders_as_in_tables(tmp_path: Path) -> None:
    tree(tmp_path / "p", {"Training/a": 3, "Training/b": 2, "testing/a": 1, "testing/b": 1})
    data = load(describe(tmp_path, images="p"))
    assert data.texts.class_names == ("a", "b")
    assert (len(data.train), len(data.test)) == (5, 2)


@pytest.mark.parametrize("names", [("train", "eval"), ("train_set", "test_set"), ("dev", "test2")])
def test_splits_under_other_names_are_no_classes(names: tuple[str, str], tmp_path: Path) -> None:
    tree(tmp_path / "p", {f"{split}/{c}": 2 for split in names for c in ("cat", "dog")})
    line = refused(tmp_path, images="p")
    assert f"'{min(names)}' looks like a split with class folders in it (cat, dog)" in line
    named = load(describe(tmp_path, images={"train": f"p/{names[0]}", "test": f"p/{names[1]}"}))
    assert named.texts.class_names == ("cat", "dog")
    listed = load(describe(tmp_path, images="p", classes=list(names)))
    assert listed.texts.class_names == tuple(name.replace("_", " ") for name in names)


def test_classes_with_names_like_splits(tmp_path: Path) -> None:
    tree(tmp_path / "p", {"train": 3, "valley/2019": 3, "testudo/2019": 3, "cat/2019": 3})
    names = load(describe(tmp_path, images="p")).texts.class_names
    assert names == ("cat", "testudo", "train", "valley")


@pytest.mark.parametrize("other", ["test", "Validation"])
def test_splits_below_classes_are_not_mixed(other: str, tmp_path: Path) -> None:
    tree(tmp_path / "p", {f"{c}/{split}": 2 for c in ("cat", "dog") for split in ("train", other)})
    line = refused(tmp_path, images="p")
    assert "the class folder 'cat' contains folders of splits" in line
    tree(tmp_path / "years", {f"{c}/{year}": 2 for c in ("cat", "dog") for year in (2019, 2020)})
    assert load(describe(tmp_path, images="years")).counts.tolist() == [3, 3]


def test_classes_one_folder_further_down(tmp_path: Path) -> None:
    tree(tmp_path / "p", {"p/cat": 2, "p/dog": 2})
    line = refused(tmp_path, images="p")
    assert "only one class, 'p'; if its folders (cat, dog) are the classes" in line
    tree(tmp_path / "q", {"cat": 2})
    assert refused(tmp_path, images="q").endswith("there is only one class, 'cat'.")


def test_folders_of_splits_may_be_empty(tmp_path: Path) -> None:
    """Programs export three folders, whatever is in them."""
    tree(tmp_path / "p", {"train/a": 2, "train/b": 2, "test/a": 1, "val": 0})
    data = load(describe(tmp_path, images="p"))
    assert data.validation is None
    assert "not used: 1 empty folder for val" in data.notes
    tree(tmp_path / "q", {"train/a": 2, "train/b": 2, "test": 0})
    assert "none for testing: add test images" in refused(tmp_path, images="q")
    tree(tmp_path / "r", {"train": 0, "test/a": 2})
    assert "train has no class folders" in refused(tmp_path, images="r")


@pytest.mark.parametrize("ending", ["jfif", "JFIF", "pgm"])
def test_other_endings_of_images(ending: str, tmp_path: Path) -> None:
    tree(tmp_path / "p", {"a": 2, "b": 2})
    kind = "JPEG" if ending.lower() == "jfif" else "PPM"
    Image.new("L", (4, 4)).save(tmp_path / "p" / "a" / f"x.{ending}", format=kind)
    data = load(describe(tmp_path, images="p"))
    assert f"a/x.{ending}" in {*data.train.ids, *data.test.ids}


# ---- spellings of classes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("cat", "Cat"),
        ("cat", "cat "),
        ("black_cat", "black cat"),
        ("cat", "cat\u200b"),
        ("ﬁsh", "fish"),  # a ligature
        ("STRASSE", "straße"),
    ],
)
def test_a_class_in_two_spellings_is_refused(train: str, test: str, tmp_path: Path) -> None:
    tree(tmp_path / "p", {f"train/{train}": 2, "train/dog": 2, f"test/{test}": 2, "test/dog": 2})
    line = refused(tmp_path, images="p")
    assert "their names differ only in spelling" in line
    assert all(f"{name!r}" in line for name in (train, test))
    both = [train.strip(), test.strip(), "dog"]
    if len({*both}) == 3:  # a description's names have no blanks at their ends
        assert len(load(describe(tmp_path, images="p", classes=both)).texts.class_names) == 3


def test_numbers_in_two_widths_are_refused(tmp_path: Path) -> None:
    tree(tmp_path / "p", {"train/1": 2, "train/10": 2, "test/01": 2, "test/10": 2})
    line = refused(tmp_path, images="p")
    assert "'01' has images for test only and '1' for train only" in line


def test_labels_of_a_table_in_two_spellings(tmp_path: Path) -> None:
    text = "path,label,split\n1.png,jay,train\n2.png,Jay,test\n3.png,owl,train\n4.png,owl,test\n"
    table(tmp_path, text)
    line = refused(tmp_path, table="labels.csv")
    assert "'Jay' has images for test only and 'jay' for train only" in line
    table(tmp_path, text.replace(",split", ",x"))  # no splits: they may be two classes
    notes = load(describe(tmp_path, table="labels.csv")).notes
    assert "classes whose names differ only in spelling count as several: 'Jay' and 'jay'" in notes
    listed = load(describe(tmp_path, table="labels.csv", classes=["jay", "Jay", "owl"]))
    assert not any("spelling" in note for note in listed.notes)


def test_letters_and_programming_languages_are_classes(tmp_path: Path) -> None:
    names = ("A", "a", "C", "C++", "C#", "-")
    tree(tmp_path / "p", {f"{split}/{n}": 2 for split in ("train", "test") for n in names})
    data = load(describe(tmp_path, images="p"))
    assert len(data.texts.class_names) == 6
    assert np.bincount(data.test.labels).tolist() == [2] * 6


def test_a_class_without_images_is_no_other_spelling(tmp_path: Path) -> None:
    tree(tmp_path / "p", {"train/cat": 2, "train/dog": 2, "train/Cat": 0, "test/cat": 1})
    assert load(describe(tmp_path, images="p")).texts.class_names == ("Cat", "cat", "dog")


# ---- folders that systems leave ------------------------------------------------------------------

LEFT = ("@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "RECYCLER")


@pytest.mark.parametrize("name", LEFT)
def test_folders_of_systems_hold_no_images(name: str, tmp_path: Path) -> None:
    tree(tmp_path / "p", {"cat": 3, "dog": 3, f"{name}/cat": 1})
    image(tmp_path / "p" / "cat" / name / "0.png" / "SYNOPHOTO_THUMB_M.jpg")
    data = load(describe(tmp_path, images="p"))
    assert data.texts.class_names == ("cat", "dog")
    assert len(data.train) + len(data.test) == 6
    assert image_files(tmp_path / "p") == [f"{c}/{i}.png" for c in ("cat", "dog") for i in range(3)]


def test_folders_of_systems_in_trees_of_public_data(tmp_path: Path) -> None:
    tree(tmp_path, {"train/cat": 1, "train/@eaDir": 1, "train/Lost+Found": 1})
    assert list_classes(tmp_path, "train") == {"cat": ["0.png"]}
