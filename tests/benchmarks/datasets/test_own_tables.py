"""A user's own images in a table: its dialects, labels and errors."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.datasets.checking import examine
from benchmarks.errors import DataError, DataMissing, UserError
from tests.benchmarks.datasets.own_files import describe, family, image, load, table, tree

PLAIN = """path,label,split
a/1.png,jay,train
a/2.png,jay,test
b/3.png,crow,train
b/4.png,crow,test
"""
MANY = """path,labels,split,caption
1.png,cat|dog,train,"a cat, and a dog"
2.png,dog,Train,
3.png,,train,an empty room
4.png,cat;dog; cat,test,
5.png,bird,TEST,
6.png,bird|cat,valid,x
"""


def refused(root: Path, text: str, *, images: bool = True, **keys: object) -> str:
    """The message about a table that cannot be used."""
    table(root, text, images=images)
    with pytest.raises(UserError) as caught:
        load(describe(root, table="labels.csv", **keys))
    line = str(caught.value)
    assert "\n" not in line
    return line


# ---- forms of tables -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.replace("\n", "\n\n").replace(",", " , ").encode(),
        PLAIN.replace("a/1", "./a//1").replace("b/3", "b\\3").encode(),
        PLAIN.replace("path,label,split", "path,labels,split").encode(),
        PLAIN.replace("\n", ',"x, y\nz"\n').encode(),  # one more column, with two lines
        "\n".join([PLAIN.split()[0], *reversed(PLAIN.split()[1:])]).encode(),
        ("sep=,\n" + PLAIN).encode(),
        ("SEP=;\r\n" + PLAIN.replace(",", ";")).encode("utf-8-sig"),
        ("sep=\t\r\n" + PLAIN.replace(",", "\t")).encode("utf-16"),
        ('"sep=|"\n' + PLAIN.replace(",", "|")).encode(),
    ],
)
def test_dialects_of_a_table_make_no_difference(written: bytes, tmp_path: Path) -> None:
    table(tmp_path, PLAIN)
    (tmp_path / "labels.csv").write_bytes(written)
    data = load(describe(tmp_path, table="labels.csv"))
    assert data.texts.class_names == ("crow", "jay")
    assert dict(zip(data.train.ids, data.train.labels.tolist(), strict=True)) == {
        "a/1.png": 1,
        "b/3.png": 0,
    }
    assert data.test.ids == ("a/2.png", "b/4.png")
    assert data.recipe == "as given"
    assert data.notes == ()


def test_columns_and_folders_with_other_names(tmp_path: Path) -> None:
    text = PLAIN.replace("path,label,split", "file,species,part")
    table(tmp_path / "photos", text)
    (tmp_path / "photos" / "labels.csv").rename(tmp_path / "t.csv")
    columns = {"path": "file", "label": "species", "split": "part"}
    data = load(describe(tmp_path, table="t.csv", images="photos", columns=columns))
    table(tmp_path / "plain", PLAIN)
    assert data.split_hash == load(describe(tmp_path / "plain", table="labels.csv")).split_hash
    assert data.train.images.read(0).shape == (4, 6, 3)


def test_multi_label_rows(tmp_path: Path) -> None:
    table(tmp_path, MANY)
    data = load(describe(tmp_path, table="labels.csv", task="multi", templates=["see {}"]))
    assert data.texts.class_names == ("bird", "cat", "dog")
    assert data.train.labels.tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert data.test.labels.tolist() == [[0, 1, 1], [1, 0, 0]]
    assert data.counts.tolist() == [0, 1, 2]
    assert data.train.captions == ("a cat, and a dog", "see dog", "an empty room")
    assert data.test.captions is None
    assert any("1 of 3 training images have no caption" in note for note in data.notes)
    assert data.validation is not None
    assert data.validation().labels.tolist() == [[1, 1, 0]]


def test_multi_label_columns_of_zero_and_one(tmp_path: Path) -> None:
    text = "path,cat,dog,split\n1.png,1,0,train\n2.png,1.0,TRUE,train\n3.png,,0,test\n"
    table(tmp_path, text)
    columns = {"labels": ["dog", "cat"]}
    data = load(describe(tmp_path, table="labels.csv", task="multi", columns=columns))
    assert data.texts.class_names == ("dog", "cat")
    assert data.train.labels.tolist() == [[0, 1], [1, 1]]
    assert data.test.labels.tolist() == [[0, 0]]
    line = refused(tmp_path, text.replace("1,0", "1,2"), task="multi", columns=columns)
    assert "line 2: '2' in the column of dog is neither 0 nor 1" in line


def test_another_separator(tmp_path: Path) -> None:
    table(tmp_path, "path,labels,split\n1.png,a|b/c,train\n2.png,c,train\n3.png,a|b,test\n")
    data = load(describe(tmp_path, table="labels.csv", task="multi", separator="/"))
    assert data.texts.class_names == ("a|b", "c")


def test_labels_that_look_like_several_are_noted(tmp_path: Path) -> None:
    rows = "path,label,split\na.png,x,train\nb.png,{},train\nc.png,y,test\nd.png,{},test"

    def notes(label: str, **keys: str) -> tuple[str, ...]:
        table(tmp_path, rows.format(label, label))
        return load(describe(tmp_path, table="labels.csv", **keys)).notes

    note = "labels such as 'x{}y' (1 in all) are taken as one class each; `{}` splits them"
    assert notes("x|y") == (note.format("|", "task: multi"),)
    assert notes("x|y", task="multi") == ()
    assert notes('"x,y"', task="multi") == (note.format(",", "separator: ','"),)
    assert notes('"x,y"', task="multi", separator=",") == ()
    assert notes('"Bath, Somerset"') == ()  # a name with a comma


def test_numbers_are_places_in_the_list_of_classes(tmp_path: Path) -> None:
    text = "path,label,split\n1.png,2,train\n2.png,0.0,train\n3.png,10,test\n4.png,2,test\n"
    table(tmp_path, text)
    typed = describe(tmp_path, table="labels.csv")
    assert load(typed).texts.class_names == ("0", "2", "10")
    keyed = load(describe(tmp_path, table="labels.csv", classes={10: "ten", 0: "nil", 2: "two"}))
    assert keyed.texts.class_names == ("ten", "nil", "two")
    assert keyed.train.labels.tolist() == [2, 1]
    places = load(describe(tmp_path, table="labels.csv", classes=[f"c{i}" for i in range(11)]))
    assert places.train.labels.tolist() == [2, 0]
    assert places.test.labels.tolist() == [10, 2]


def test_rows_that_repeat_an_image(tmp_path: Path) -> None:
    table(tmp_path, PLAIN + "./a/1.png,jay,train\na/1.png,jay,train\n")
    data = load(describe(tmp_path, table="labels.csv"))
    assert len(data.train) == 2
    assert data.notes == ("2 repeated rows dropped",)
    table(tmp_path, "path,labels,split\n1.png,a,train\n2.png,b,test\n1.png,b,train\n")
    many = load(describe(tmp_path, table="labels.csv", task="multi"))
    assert many.train.labels.tolist() == [[1, 1]]
    assert many.notes[0] == "1 row merged into others of the same image"


def test_without_a_split_column_test_images_are_drawn(tmp_path: Path) -> None:
    lines = [f"{c}{i}.png,{c}" for c in "ab" for i in range(10)]
    table(tmp_path, "\n".join(["path,label", *lines]))
    data = load(describe(tmp_path, table="labels.csv"))
    assert (data.recipe, data.counts.tolist()) == ("test drawn", [8, 8])
    rare = ["r0.png,a|r", "r1.png,r|b"]  # the rarest class is tested on, too
    table(tmp_path, "\n".join(["path,labels", *lines, *rare]))
    many = load(describe(tmp_path, table="labels.csv", task="multi"))
    assert many.test.labels.sum(0)[2] == many.counts[2] == 1


@pytest.mark.parametrize(("disk", "listed"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_names_in_either_form_of_unicode_are_found(disk: str, listed: str, tmp_path: Path) -> None:
    image(tmp_path / unicodedata.normalize(disk, "ë/a/ö/Zoë 1.png"))
    image(tmp_path / "鳥.png")
    text = "path,label,split\në/a/ö/Zoë 1.png,é,train\n鳥.png,鳥,test\n"
    table(tmp_path, unicodedata.normalize(listed, text), images=False)
    data = load(describe(tmp_path, table="labels.csv"))
    assert data.texts.class_names == ("é", "鳥")
    assert data.train.ids == ("ë/a/ö/Zoë 1.png",)
    assert data.train.images.read(0).shape == (4, 6, 3)


def test_absolute_paths_are_the_same_images(tmp_path: Path) -> None:
    table(tmp_path / "photos", PLAIN)
    text = PLAIN.replace("\na/", f"\n{tmp_path}/photos/b/../a/")
    table(tmp_path / "lists", text, images=False)
    data = load(describe(tmp_path / "lists", table="labels.csv", images="../photos"))
    assert data.train.ids == ("a/1.png", "b/3.png")
    assert data.test.ids == ("a/2.png", "b/4.png")


def test_the_pinned_hash_follows_the_tables_meaning(tmp_path: Path) -> None:
    table(tmp_path, PLAIN)
    typed = describe(tmp_path, table="labels.csv")
    before = family(typed).pinned()["data"]
    table(tmp_path, PLAIN.replace("\n", "\r\n") + "\r\n")
    assert family(typed).pinned()["data"] == before
    table(tmp_path, PLAIN.replace("b/3.png,crow,train", "b/3.png,jay,train"))
    assert family(typed).pinned()["data"] != before
    (tmp_path / "labels.csv").unlink()
    assert "data" not in family(typed).pinned()
    with pytest.raises(DataMissing, match=r"labels\.csv: no such file"):
        load(typed)


# ---- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("jay,test", ",test", "labels.csv, line 3: there is no label."),
        ("a/2.png", " ", "labels.csv, line 3: there is no path."),
        ("jay,test", "jay,dev", "line 3: the split 'dev' is not train, test or val."),
        ("jay,test", "jay,", "line 3: the split '' is not train"),
        ("jay,test", "jay,test,x", "line 3: 4 fields instead of 3"),
        ("a/2.png", "../2.png", "line 3: ../2.png is outside"),
        ("a/2.png", "/else/2.png", "line 3: /else/2.png is outside"),
        ("a/2.png,jay", "a/1.png,jay", "a/1.png is in test, but line 2 has it in train"),
        ("a/2.png,jay,test", "a/1.png,crow,train", "a/1.png is 'crow', but line 2 has 'jay'"),
        ('jay,test', '"jay,test', "line 3: unexpected end of data"),
        ("path,", "paths,", "no column 'path'. Did you mean: paths?"),
        ("label,", "name,", "no column 'label'."),
        ("path,label,split", "path,label,label", "two columns are called 'label'"),
        ("crow", "jay", "there is only one class, 'jay'"),
        (",test", ",train", "there are images for train, but none for testing"),
        (",train", ",test", "there are no images to train on"),
        (PLAIN, "", "the table is empty"),
        (PLAIN, "path,label\n", "no rows below the header"),
    ],
)  # fmt: skip
def test_an_error_names_the_line(old: str, new: str, line: str, tmp_path: Path) -> None:
    assert line in refused(tmp_path, PLAIN.replace(old, new))


def test_labels_that_are_not_classes(tmp_path: Path) -> None:
    line = refused(tmp_path, PLAIN, classes=["jay", "crows", "wren"])
    assert "2 rows cannot be used" in line
    assert "line 4: 'crow' is not a class (Did you mean: crows?)" in line
    numbers = PLAIN.replace("jay", "0").replace("crow", "7")
    line = refused(tmp_path, numbers, classes=["jay", "crow"])
    assert "line 4: label 7 is out of range, there are 2 classes (0 to 1)" in line
    line = refused(tmp_path, numbers.replace("7", "-1"), classes=["jay", "crow"])
    assert "label -1 is out of range" in line


def test_line_numbers_are_those_of_the_file_even_after_a_multi_line_text(tmp_path: Path) -> None:
    text = PLAIN.replace("\n", ',"one\ntwo"\n').replace("crow,test", ",test")
    assert "labels.csv, line 9: there is no label." in refused(tmp_path, text, images=False)


def test_many_bad_rows_are_counted_and_three_named(tmp_path: Path) -> None:
    bad = "".join(f"x{i}.png,,train\n" for i in range(20))
    line = refused(tmp_path, PLAIN + bad)
    assert line.endswith(
        "20 rows cannot be used: line 6: there is no label; line 7: there is no label; "
        "line 8: there is no label; and 17 more."
    )


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    table(tmp_path, PLAIN)
    (tmp_path / "labels.csv").write_bytes(PLAIN.replace("crow", "Krähe").encode("latin-1"))
    with pytest.raises(DataError, match="line 4: not UTF-8"):
        load(describe(tmp_path, table="labels.csv"))
    (tmp_path / "labels.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"a table must be one of \.csv"):
        load(describe(tmp_path, table="labels.xlsx"))


def test_missing_images_are_counted(tmp_path: Path) -> None:
    table(tmp_path, PLAIN)
    (tmp_path / "b/4.png").rename(tmp_path / "b/4.PNG")
    typed = describe(tmp_path, table="labels.csv")
    with pytest.raises(DataMissing, match=r"1 of 4 images not .*: b/4\.png\. There is '4\.PNG'"):
        load(typed)
    assert family(typed).sizes() == (2, 2)  # `plan` needs no images
    line = refused(tmp_path / "none", PLAIN, images=False)
    assert "4 of 4 images not found" in line
    assert "a/1.png, a/2.png, b/3.png, and 1 more" in line
    assert "start from another folder, write `images: FOLDER`" in line


def test_damaged_images(tmp_path: Path) -> None:
    table(tmp_path, PLAIN)
    typed = describe(tmp_path, table="labels.csv")
    (tmp_path / "a/1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 empty file under .*: a/1\.png"):
        load(typed)
    (tmp_path / "a/1.png").write_text("no image")
    whole = (tmp_path / "b/4.png").read_bytes()
    (tmp_path / "b/4.png").write_bytes(whole[: len(whole) // 2])
    data = load(typed)
    with pytest.raises(DataError, match=r"a/1\.png: unreadable or truncated image"):
        data.train.images.read(0)
    damaged = examine(data).damaged
    assert [line.split(":")[0] for line in damaged] == [
        str(tmp_path / "a/1.png"),
        str(tmp_path / "b/4.png"),
    ]


def test_damaged_trees(tmp_path: Path) -> None:
    typed = describe(tmp_path, images="p")
    with pytest.raises(DataMissing, match=r"p: no such folder"):
        load(typed)
    tree(tmp_path / "p", {".": 2})
    with pytest.raises(DataError, match=r"has no class folders; .* holds 2 \.png: put the"):
        load(typed)
    tree(tmp_path / "p", {"a": 0, "b": 0})
    with pytest.raises(DataError, match="2 class folders have no images"):
        load(typed)
    tree(tmp_path / "p", {"a": 2})
    (tmp_path / "p" / "a" / "broken.jpg").symlink_to(tmp_path / "unplugged" / "0.jpg")
    (tmp_path / "p" / "a" / "itself.jpg").symlink_to("itself.jpg")
    with pytest.raises(DataMissing, match=r"2 of 4 images not .*: a/broken\.jpg, a/itself\.jpg"):
        load(typed)
    tree(tmp_path / "q", {"train/a": 1, "test/a": 1, "extra/a": 1})
    with pytest.raises(DataError, match="besides test, train it contains extra"):
        load(describe(tmp_path, images="q"))


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    tree(tmp_path / "p", {"a": 2, "b": 2})
    try:
        (tmp_path / "p" / "a" / "\udcff.png").write_bytes(b"x")
    except OSError:
        pytest.skip("this file system allows no such name")
    with pytest.raises(DataError, match="is not UTF-8; rename it"):
        load(describe(tmp_path, images="p"))


# ---- Parquet -------------------------------------------------------------------------------------


def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow, which is optional")
    table(tmp_path, PLAIN)
    frame = pd.read_csv(tmp_path / "labels.csv")
    frame.to_parquet(tmp_path / "labels.parquet")
    csv, parquet = (
        load(describe(tmp_path, table=name)) for name in ("labels.csv", "labels.parquet")
    )
    assert parquet.split_hash == csv.split_hash
    many = pd.DataFrame(
        {
            "path": ["a/1.png", "a/2.png", "b/3.png"],
            "labels": [["x", "y"], [], ["y"]],
            "split": ["train", "train", "test"],
            "caption": ["said", None, np.nan],
        }
    )
    many.to_parquet(tmp_path / "many.parquet")
    data = load(describe(tmp_path, table="many.parquet", task="multi"))
    assert data.train.labels.tolist() == [[1, 1], [0, 0]]
    assert data.train.captions == ("said", "a photo of a scene.")
    frame.assign(label=["jay", None, "crow", "crow"]).to_parquet(tmp_path / "labels.parquet")
    with pytest.raises(DataError, match="row 2: there is no label"):
        load(describe(tmp_path, table="labels.parquet"))
    (tmp_path / "labels.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        load(describe(tmp_path, table="labels.parquet"))


def test_parquet_without_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pyarrow", "fastparquet"):
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "labels.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="`pip install pyarrow`, or save it as CSV"):
        load(describe(tmp_path, table="labels.parquet"))


def test_lines_are_counted_after_one_for_excel(tmp_path: Path) -> None:
    text = "sep=,\n" + PLAIN.replace("1.png,jay", "1.png,")
    assert "labels.csv, line 3: there is no label" in refused(tmp_path, text, images=False)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/home/author/data/a/1.png", "a path of another computer, or missing"),
        ("C:\\data\\a\\1.png", "a path of another computer"),
        ("https://example.com/a/1.png", "an address of the web"),
    ],
)
def test_paths_that_are_not_of_this_computer(path: str, what: str, tmp_path: Path) -> None:
    line = refused(tmp_path, PLAIN.replace("a/1.png", path), images=False)
    assert f"line 2: {path.replace(chr(92), '/')} is {what}" in line
    assert f"write paths relative to {tmp_path}" in line


def test_a_folder_may_be_called_like_a_drive(tmp_path: Path) -> None:
    table(tmp_path, PLAIN.replace("a/1.png", "C:/1.png"))
    assert "C:/1.png" in load(describe(tmp_path, table="labels.csv")).train.ids


def test_variables_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(tmp_path / "far", PLAIN)
    monkeypatch.setenv("SCRATCH", str(tmp_path / "far"))
    typed = describe(tmp_path, table="$SCRATCH/labels.csv", images="${SCRATCH}")
    assert load(typed).texts.class_names == ("crow", "jay")
    missing = describe(tmp_path, table="$NOT_SET_HERE/labels.csv", images="$SCRATCH")
    with pytest.raises(DataMissing, match=r"\$NOT_SET_HERE/labels.csv: no such file"):
        load(missing)


@pytest.mark.parametrize("rows", ["a/1.png,jay\nb/2.png,crow\n", "a/1.jpg 0\nb/2.jpg 1\n"])
def test_a_list_without_names_of_columns(rows: str, tmp_path: Path) -> None:
    line = refused(tmp_path, rows, images=False)
    assert "the first line is an image and names no columns" in line
    assert "such as 'path,label'" in line
