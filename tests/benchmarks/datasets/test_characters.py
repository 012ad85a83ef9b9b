"""Names and texts that come with data, made to mislead people or programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.datasets.files.characters import NAME, shown, trouble
from benchmarks.datasets.files.texts import one_text
from benchmarks.errors import DataError, UserError, did_you_mean
from tests.benchmarks.datasets.own_files import describe, load, table, tree

FINE = [
    "red fox",
    "crème brûlée",
    "赤い星",
    "שלום",
    "a-b_c.d/e",
    "{}",
    "{0.__class__}",
    "=1+1",
    "🦊",
]
EVIL = {
    "red\x1b[31mfox": "U+001B",
    "a\nb": "U+000A",
    "a\0b": "U+0000",
    "\u202egpj.exe": "U+202E",
    "a\u2066b": "U+2066",
    "half \ud800": "U+D800",
    "\x9b31m": "U+009B",
    "n" * (NAME + 1): "has 301 characters, more than 300",
}


@pytest.mark.parametrize("text", FINE)
def test_names_of_all_languages_are_fine(text: str) -> None:
    assert trouble(text) == ""
    assert shown(text) == text


@pytest.mark.parametrize("text", EVIL)
def test_names_with_what_nobody_sees(text: str) -> None:
    assert EVIL[text] in trouble(text)
    assert shown(text).isprintable() and len(shown(text)) <= 70


def test_words_that_a_tokenizer_takes_minutes_for() -> None:
    assert "a word of more than 300" in trouble("x" * 301, 10_000)
    assert trouble("x" * 300 + " " + "y" * 300, 10_000) == ""
    assert trouble("a\nb\tc", 100, lines=True) == ""


@pytest.mark.parametrize("text", [t for t in EVIL if "\n" not in t and "\ud800" not in t])
@pytest.mark.parametrize(
    "key", ["classes", "names", "templates", "descriptions", "licence", "name"]
)
def test_texts_of_own_data(tmp_path: Path, text: str, key: str) -> None:
    if len(text) > NAME and key in ("templates", "descriptions", "licence"):
        text *= 40
    keys: dict[str, Any] = {
        "classes": {"classes": ["a", text]},
        "names": {"classes": {"a": text, "b": "b"}},
        "templates": {"templates": [f"{text} {{}}"]},
        "descriptions": {"descriptions": {"a": text}},
        "licence": {"licence": text},
        "name": {"name": text},
    }[key]
    tree(tmp_path / "p", {"a": 3, "b": 3})
    file = tmp_path / "birds.json"  # JSON is YAML, and writes any character
    file.write_text(json.dumps({"images": "p", **keys}))
    typed = str(file.rename(tmp_path / "birds.yaml"))
    with pytest.raises(UserError, match=r"birds.yaml") as caught:
        load(typed)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 400


@pytest.mark.parametrize("name", ["red\x1b[31mfox", "a\u202eb"])
def test_names_of_class_folders(tmp_path: Path, name: str) -> None:
    tree(tmp_path / "p", {"a": 3, name: 3})
    with pytest.raises(DataError, match=r"the name of the folder 'r?.*' contains the control"):
        load(describe(tmp_path, images="p"))


def test_class_names_with_braces_are_words(tmp_path: Path) -> None:
    """A template is filled with a name; the name is not a template."""
    tree(tmp_path / "p", {"{0.__class__}": 3, "{}": 3})
    data = load(describe(tmp_path, images="p", templates=["a photo of a {}."]))
    assert data.texts.class_names == ("{0. class }", "{}")
    assert data.texts.templates[0].format(data.texts.class_names[0]) == "a photo of a {0. class }."


@pytest.mark.parametrize("template", ["{0}", "{0.__class__}", "{:>999999999}", "{!r}", "{}{}", "{"])
def test_templates_that_are_programs(tmp_path: Path, template: str) -> None:
    tree(tmp_path / "p", {"a": 3, "b": 3})
    with pytest.raises(UserError, match=r"needs exactly one \{\}"):
        load(describe(tmp_path, images="p", templates=[template]))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("1.png,red\x1b[31m,", r"line 3: the label 'red\\x1b\[31m' contains"),
        ("1.png," + "n" * 301 + ",", "has 301 characters"),
        ("1.png,b," + "x" * 10_001, "the caption '.*' has 10,001 characters"),
        ("1.png,b,a\x1bb", r"the caption 'a\\x1bb' contains the control character"),
        ("a\x1bb.png,b,", r"the path a\\x1bb.png contains the control"),
        ("1.png,b," + "x" * 200_000, "field larger than field limit"),
        ('1.png,b,"never closed', "unexpected end of data"),
        ("1.png,b\0,", "U.0000|NUL"),
        ("../" * 5_000 + "x.png,b,", "is outside"),
    ],
)
def test_rows_of_own_tables(tmp_path: Path, row: str, says: str) -> None:
    table(tmp_path, f"path,label,caption\n0.png,a,\n{row}\n", images=False)
    with pytest.raises(DataError, match=says) as caught:
        load(describe(tmp_path, table="labels.csv"))
    message = str(caught.value)
    assert "labels.csv" in message and "\n" not in message and len(message) < 600


def test_tables_that_are_none(tmp_path: Path) -> None:
    typed = describe(tmp_path, table="labels.csv")
    file = tmp_path / "labels.csv"
    for data, says in (
        (b"\xff\xfe\0", "not UTF-8"),
        (b"path,label\n\xff.png,a\n", "line 2: not UTF-8"),
        (b"a," * 200_000, "200,001 columns, more than"),
        (b"\0" * 1_000, "no column"),
    ):
        file.write_bytes(data)
        with pytest.raises(DataError, match=says) as caught:
            load(typed)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 700
    with file.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(DataError, match="more than the 512 MB"):
        load(typed)


def test_many_unknown_labels_are_counted_in_no_time(tmp_path: Path) -> None:
    """Similar names are looked for only for the rows that are printed."""
    rows = "".join(f"{i}.png,unknown number {i}\n" for i in range(9_000))
    table(tmp_path, f"path,label\n{rows}", images=False)
    typed = describe(tmp_path, table="labels.csv", classes=[f"class {i}" for i in range(500)])
    with pytest.raises(DataError, match=r"9000 rows cannot be used: .*; and 8997 more"):
        load(typed)


def test_similar_names_are_not_looked_for_without_end() -> None:
    message = str(did_you_mean("class", "x" * 10**6, ["x" * 10**6, "bird"]))
    assert len(message) < 300
    message = str(did_you_mean("class", "birf", ["x" * 10**6, "bird"]))
    assert message == "Unknown class 'birf'. Did you mean: bird?"


def test_descriptions_of_the_suites_classes() -> None:
    with pytest.raises(UserError, match=r"FILE: 'a' contains the control character U\+001B"):
        one_text("red\x1b[31m", "FILE: 'a'")
    assert one_text(["a\nb", " c"], "FILE") == "a b c"
