"""Links in data that lead out of it, and paths in lists that do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks.cli.parts.prediction import image_files
from benchmarks.datasets.families.inat2018 import read_annotations
from benchmarks.datasets.files.class_folders import list_classes
from benchmarks.datasets.files.image_files import missing_files
from benchmarks.datasets.files.links import Links
from benchmarks.datasets.files.locate import as_listed, locate
from benchmarks.datasets.files.split_lists import read_captions, read_list
from benchmarks.errors import DataError, DataMissing
from tests.benchmarks.datasets.own_files import describe, load, table, tree

OUT = r"is a link to .*elsewhere.*, outside .*; if it is yours, set LONGTAIL_VLM_LINKS=/.* to allow"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    tree(tmp_path / "elsewhere", {"a": 3})
    return tmp_path / "elsewhere"


def test_the_folder_itself_may_be_a_link(tmp_path: Path, elsewhere: Path) -> None:
    (tmp_path / "root").symlink_to(elsewhere)
    Links(tmp_path / "root").check(tmp_path / "root" / "a" / "0.png")
    Links(tmp_path / "root").check(elsewhere / "a")


def test_a_link_is_named_with_what_to_set(
    tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    (root / "in" / "link").symlink_to(elsewhere / "a")
    with pytest.raises(DataError, match=OUT) as caught:
        Links(root).check(root / "in" / "link" / "0.png")
    assert str(caught.value).startswith(f"{root}/in/link is a link to {elsewhere}/a, outside")
    (said,) = [w for w in str(caught.value).split() if w.startswith("LONGTAIL_VLM_LINKS=")]
    monkeypatch.setenv(*said.split("="))
    Links(root).check(root / "in" / "link" / "0.png")
    monkeypatch.setenv("LONGTAIL_VLM_LINKS", os.pathsep.join(["/nowhere", str(tmp_path)]))
    Links(root).check(root / "in" / "link" / "0.png")
    monkeypatch.setenv("LONGTAIL_VLM_LINKS", str(tmp_path / "else"))  # no beginning of a name
    with pytest.raises(DataError, match=OUT):
        Links(root).check(root / "in" / "link" / "0.png")


@pytest.mark.parametrize("what", ["a class", "a folder below", "an image", "a split"])
def test_own_folders(
    tmp_path: Path, elsewhere: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "p"
    if what == "a split":
        tree(root, {"train/a": 3, "train/b": 3})
        tree(elsewhere, {"b": 3})
        (root / "test").symlink_to(elsewhere)
    else:
        tree(root, {"b": 3, "c": 3})
        place = {"a class": "a", "a folder below": "b/more", "an image": "b/x.png"}[what]
        target = elsewhere / "a" / "0.png" if what == "an image" else elsewhere / "a"
        (root / place).symlink_to(target)
    with pytest.raises(DataError, match=OUT):
        load(describe(tmp_path, images="p"))
    monkeypatch.setenv("LONGTAIL_VLM_LINKS", str(elsewhere))
    assert len(load(describe(tmp_path, images="p")).train.ids) >= 4


@pytest.mark.parametrize("what", ["folder", "image"])
def test_own_tables(
    tmp_path: Path, elsewhere: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(tmp_path / "p", "path,label\nb/0.png,b\nb/1.png,b\nc/0.png,c\nc/1.png,c\n")
    text = (tmp_path / "p/labels.csv").read_text()
    (tmp_path / "p/labels.csv").write_text(f"{text}d/0.png,b\n")
    if what == "folder":
        (tmp_path / "p/d").symlink_to(elsewhere / "a")
    else:
        (tmp_path / "p/d").mkdir()
        (tmp_path / "p/d/0.png").symlink_to(elsewhere / "a/0.png")
    typed = describe(tmp_path, table="p/labels.csv")
    with pytest.raises(DataError, match=OUT):
        load(typed)
    monkeypatch.setenv("LONGTAIL_VLM_LINKS", str(elsewhere))
    assert len(load(typed).train.ids) == 3


@pytest.mark.parametrize("path", ["../elsewhere/a/0.png", "/etc/passwd", "b/../../x.png", "a\0b"])
def test_paths_in_own_tables(tmp_path: Path, elsewhere: Path, path: str) -> None:
    table(tmp_path / "p", f"path,label\nb/0.png,b\n{path},c\n", images=False)
    with pytest.raises(DataError, match=r"line 3: .*(outside|zero byte)") as caught:
        load(describe(tmp_path, table="p/labels.csv"))
    assert "\n" not in str(caught.value)


def test_public_data_sets(tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in the data root is the user's; a link below it is not."""
    root = tmp_path / "data"
    root.mkdir()
    (root / "set").symlink_to(elsewhere)
    assert locate(root, ["a/0.png"], ["set"], [as_listed]).missing == ()
    (root / "other").mkdir()
    (root / "other" / "a").symlink_to(elsewhere / "a")
    with pytest.raises(DataError, match=OUT):
        locate(root, ["a/0.png"], ["other"], [as_listed])
    with pytest.raises(DataError, match=OUT):
        missing_files(root, ["other/a/0.png"])
    (root / "train").mkdir()
    (root / "train" / "cat").symlink_to(elsewhere / "a")
    with pytest.raises(DataError, match=OUT):
        list_classes(root, "train")
    monkeypatch.setenv("LONGTAIL_VLM_LINKS", str(elsewhere))
    assert missing_files(root, ["other/a/0.png", "other/a/9.png"]) == ["other/a/9.png"]
    assert list_classes(root, "train") == {"cat": ["0.png", "1.png", "2.png"]}


def test_the_whole_disk_is_no_folder_of_images(tmp_path: Path) -> None:
    for typed in (describe(tmp_path, images="/"), describe(tmp_path, images={"train": "/"})):
        with pytest.raises(DataError, match="the whole disk is not a folder of images"):
            load(typed)


def test_links_among_the_images_to_predict(tmp_path: Path, elsewhere: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "x.png").symlink_to(elsewhere / "a" / "0.png")
    os.mkfifo(tmp_path / "new" / "pipe.png")
    with pytest.raises(DataError, match=OUT):
        image_files(tmp_path / "new")
    (tmp_path / "linked").symlink_to(elsewhere)
    assert image_files(tmp_path / "linked") == ["a/0.png", "a/1.png", "a/2.png"]


def test_links_that_lead_nowhere_are_missing(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path.parent / "none")
    (tmp_path / "b.png").symlink_to("b.png")
    os.mkfifo(tmp_path / "c.png")
    (tmp_path / "d.png").mkdir()
    files = [f"{name}.png" for name in "abcd"]
    assert missing_files(tmp_path, files) == files


def test_pipes_among_own_images_are_said(tmp_path: Path) -> None:
    tree(tmp_path / "p", {"a": 3, "b": 3})
    os.mkfifo(tmp_path / "p/a/x.png")
    with pytest.raises(DataMissing, match=r"1 of 7 images not found under .*: a/x.png"):
        load(describe(tmp_path, images="p"))


@pytest.mark.parametrize("path", ["../x.jpg", "a/../../x.jpg", "/../x.jpg", "a\0.jpg"])
def test_paths_in_split_lists(tmp_path: Path, path: str) -> None:
    file = tmp_path / "list.txt"
    file.write_text(f"a/1.jpg 0\n{path} 0\n")
    for read in (lambda: read_list(file, 1), lambda: read_captions(file)):
        with pytest.raises(DataError, match=r"list.txt, line 2: .* leads out of the data"):
            read()


@pytest.mark.parametrize("path", ["../x.jpg", "/etc/x.jpg", "a\0.jpg", "x" * 20_000])
def test_paths_in_annotations(tmp_path: Path, path: str) -> None:
    file = tmp_path / "train2018.json"
    images = [{"id": 1, "file_name": path}]
    file.write_text(json.dumps({"images": images, "annotations": [{"image_id": 1,
                                                                 "category_id": 0}]}))  # fmt: skip
    with pytest.raises(DataError, match=r"train2018.json: '.*' leads out") as caught:
        read_annotations(file, 1)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"images": 1}', '{"images": [{"id": ' + "9" * 5_000 + "}]}", "", "[]"]
)
def test_annotations_that_are_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "train2018.json"
    file.write_text(text)
    with pytest.raises(DataError, match=r"train2018.json: ") as caught:
        read_annotations(file, 1)
    assert "\n" not in str(caught.value)


def test_a_line_of_blanks_is_read_at_once(tmp_path: Path) -> None:
    """An expression that backtracks would take hours for it."""
    file = tmp_path / "list.txt"
    file.write_text("a/1.jpg" + " " * 500_000 + "x\n")
    with pytest.raises(DataError, match="line 1: 'x' is not a list of labels"):
        read_list(file, 1)
    file.write_text("a/1.jpg " + "9" * 5_000)
    with pytest.raises(DataError, match="out of range for 1 classes"):
        read_list(file, 1)
