"""Descriptions from a user's file: valid files, messages for invalid ones, and runs with them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import run_benchmarks
from benchmarks.conformance.tiny import tiny_data, tiny_task
from benchmarks.datasets.families.cifar import Cifar10LT
from benchmarks.datasets.files.cifar_files import CIFAR10
from benchmarks.datasets.files.texts import _from_file, assemble
from benchmarks.errors import UserError
from benchmarks.text import read_package
from results.store import Store

CLASSES = CIFAR10.classes


def texts(file: Path | str, **knobs: str) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """The descriptions of CIFAR-10 from a file, and the notes."""
    family = Cifar10LT(descriptions=str(file), **knobs)  # type: ignore[arg-type]
    found, notes = family._texts(family._package())
    return found.descriptions, notes


def write(folder: Path, data: object, name: str = "d.json") -> Path:
    file = folder / name
    file.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return file


# ---- valid files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["d.json", "d.yaml", "d.yml", "d"])
def test_json_and_yaml(name: str, tmp_path: Path) -> None:
    data = {key: f"it is  a\n{key}." for key in CLASSES}
    text = json.dumps(data) if name == "d.json" else yaml.safe_dump(data)
    found, notes = texts(write(tmp_path, text, name))
    assert found == tuple(f"it is a {key}." for key in CLASSES)
    assert not notes


def test_keys_or_names_and_several_sentences(tmp_path: Path) -> None:
    file = write(tmp_path, {"passenger car": ["Four wheels.", " A roof. "], "truck": "Big."})
    found, notes = texts(file, texts="own")
    assert found is not None
    assert found[CLASSES.index("automobile")] == "Four wheels. A roof."
    assert found[CLASSES.index("truck")] == "Big."
    assert notes == (
        "8 of 10 classes have no description; their names were used instead: "
        "airplane, bird, cat, and 5 more",
    )


def test_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    file.write_text(json.dumps({"cat": "Whiskers."}), encoding="utf-8-sig")
    found, _ = texts(file)
    assert found is not None and found[3] == "Whiskers."


def test_a_tilde_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, {"cat": "Whiskers."})
    assert texts("~/d.json")[0] == texts(tmp_path / "d.json")[0]


def test_none_and_auto() -> None:
    assert texts("none") == (None, ())
    found, notes = texts("auto")
    assert found == read_package("cifar10").descriptions
    assert not notes


def test_the_key_contains_name_and_content_of_the_file(tmp_path: Path) -> None:
    def pinned(folder: str, text: str) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        file = write(tmp_path / folder, {"cat": text})
        found: str = Cifar10LT(descriptions=str(file)).pinned()["descriptions"]
        return found

    assert pinned("a", "x") == pinned("b", "x") != pinned("b", "y")
    assert pinned("a", "x").startswith("d.json@")
    assert Cifar10LT().pinned()["descriptions"] == "auto"


# ---- invalid files -------------------------------------------------------------------------------

WRONG = {
    "not JSON": ("{'cat': 1", "d.json", r"d\.json: not valid JSON \(line 1\)\."),
    "not YAML": ("a: b\nc: [", "d.yaml", r"d\.yaml: not valid YAML \(line \d\)\."),
    "not text": ("\udcff", "d.json", r"d\.json: not valid JSON"),
    "twice": ('{"cat": "x", "cat": "y"}', "d.json", r"d\.json: 'cat' appears twice\."),
    "twice in YAML": ("cat: x\ncat: y", "d.yaml", r"'cat' appears twice \(line 2\)\."),
    "a list": ('["a"]', "d.json", r"expected a mapping \{class: text\}, not a list"),
    "a text": ("cat", "d.yaml", r"expected a mapping \{class: text\}, not a text"),
    "empty": ("", "d.yaml", r"expected a mapping \{class: text\}, not nothing"),
    "no class": ("{}", "d.json", r"expected a mapping \{class: text\}, not nothing"),
    "another class": (
        '{"aeroplane": "x"}',
        "d.json",
        r"Unknown class in .*d\.json 'aeroplane'\. Did you mean: airplane",
    ),
    "YAML's no": ("no: x", "d.yaml", r"the class False is not a text; put it in quotes"),
    "no text": ('{"cat": ""}', "d.json", r"the description of 'cat' must be a text"),
    "blank": ('{"cat": " \\n "}', "d.json", r"the description of 'cat' must be a text"),
    "null": ('{"cat": null}', "d.json", r"the description of 'cat' must be a text"),
    "number": ('{"cat": 3}', "d.json", r"the description of 'cat' must be a text"),
    "empty list": ('{"cat": []}', "d.json", r"the description of 'cat' must be a text"),
    "blank in a list": (
        '{"cat": ["a", ""]}',
        "d.json",
        r"to use the class name, leave",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_an_invalid_file_is_reported_in_one_line(kind: str, tmp_path: Path) -> None:
    text, name, message = WRONG[kind]
    file = tmp_path / name
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=message) as error:
        texts(file)
    assert "\n" not in str(error.value)
    assert str(file) in str(error.value)


def test_a_class_with_two_descriptions_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, {"automobile": "x", "passenger car": "y"})
    with pytest.raises(UserError, match="described twice, by key and by name"):
        texts(file, texts="own")


@pytest.mark.parametrize("value", ["wordnt", "missing.json", "."])
def test_unknown_files_and_choices(value: str) -> None:
    family = Cifar10LT(descriptions=value)
    for call in (lambda: texts(value), family.pinned, family.card):
        with pytest.raises(UserError) as error:
            call()
        text = str(error.value)
        assert text.startswith(f"cifar10_lt.descriptions='{value}' is ")
        assert "auto, none, wordnet, or the path of a JSON or YAML file {class: text}" in text
        assert "\n" not in text


def test_an_ambiguous_name_is_refused_and_its_keys_listed(tmp_path: Path) -> None:
    package = read_package("imagenet")
    with pytest.raises(UserError, match="several classes: write n03773504, n04008634"):
        _from_file(write(tmp_path, {"missile": "x"}), package, "imagenet_lt")
    found = _from_file(write(tmp_path, {"n04008634": "Thrown."}), package, "imagenet_lt")
    assert [(package.keys[i], text) for i, text in enumerate(found) if text] == [
        ("n04008634", "Thrown.")
    ]


# ---- prompts -------------------------------------------------------------------------------------


def test_a_class_without_a_description_is_not_named_twice() -> None:
    data = tiny_data()
    names = data.texts.class_names
    described, notes = assemble(
        names, ("a photo of a {}.",), ["a bird with a beak", None, None, None]
    )
    assert "3 of 4 classes have no description" in notes[0]
    task, _ = tiny_task(data=dataclasses.replace(data, texts=described))
    assert task.prompts("both") == [
        [f"a photo of a {names[0]}, a bird with a beak."],
        *([f"a photo of a {name}."] for name in names[1:]),
    ]
    assert task.prompts("descriptions")[1:] == task.prompts("names")[1:]


# ---- a run ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFAR-10 as class folders with 6 training and 2 test images per class."""
    root = tmp_path_factory.mktemp("tree")
    random = np.random.default_rng(0)
    for split, number in (("train", 6), ("test", 2)):
        for name in CLASSES:
            folder = root / "cifar10" / split / name
            folder.mkdir(parents=True)
            for i in range(number):
                pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return root


def command(tree: Path, clip: Path, out: Path, *words: str) -> int:
    flags = ["--datasets", "cifar10_lt", "--backbone", f"local-dir:{clip}", "--device", "cpu"]
    flags += ["--data-root", str(tree), "--out", str(out), "--set", "cifar10_lt.imbalance=2"]
    return run_benchmarks.main([*words, *flags])


@pytest.mark.usefixtures("cache")
def test_missing_descriptions_are_noted_in_the_record(
    tree: Path, clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, {key: f"It is a {key} with feathers." for key in CLASSES[2:]})
    words = [
        *("--methods", "zero_shot,sage", "--protocol", "equal", "--seeds", "0"),
        *("--set", "zero_shot.text=both", "--set", "sage.epochs=1"),
        *("--set", f"cifar10_lt.descriptions={file}"),
    ]
    status = command(tree, clip_folder, tmp_path / "out", *words)
    printed = capsys.readouterr()
    assert status == 0, printed.err
    records = Store(tmp_path / "out").all()[0]
    assert {r.method for r in records} == {"zero_shot", "sage"}
    note = (
        "2 of 10 classes have no description; their names were used instead: airplane, automobile"
    )
    for record in records:
        assert note in record.notes
        assert record.dataset_config["descriptions"].startswith("d.json@")
    assert note in " ".join(printed.out.split())
    # The same command has nothing to do; after a change of the file it runs again.
    command(tree, clip_folder, tmp_path / "out", "plan", *words)
    assert "2 cells, 0 to run" in capsys.readouterr().out
    write(tmp_path, {"cat": "Whiskers."})
    command(tree, clip_folder, tmp_path / "out", "plan", *words)
    assert "2 cells, 2 to run" in capsys.readouterr().out


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("knob", "message"),
    [
        ("descriptions=wordnt", "write auto, none, wordnet, or the path of"),
        ("descriptions=none.json", "write auto, none, wordnet, or the path of"),
        ("texts=publc", "public, own"),
    ],
)
def test_the_command_reports_errors_in_one_line(
    knob: str,
    message: str,
    tree: Path,
    clip_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for sub in ([], ["plan"]):
        words = [*sub, "--methods", "zero_shot", "--set", f"cifar10_lt.{knob}"]
        assert command(tree, clip_folder, tmp_path / "out", *words) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert message in lines[0]
