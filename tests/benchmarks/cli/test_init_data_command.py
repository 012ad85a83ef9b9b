"""The verb `init-data`: the YAML files that it writes run unedited; facts about the data."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import run_benchmarks
from benchmarks.datasets.registry import DATASETS
from tests.benchmarks.datasets.own_files import image, load, table, tree
from tests.benchmarks.datasets.tar_files import encoded, flowers, shard

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def init(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run `init-data` in the test's folder; returns the status and what was printed."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        status = run_benchmarks.main(["init-data", *words])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def test_class_folders(init: Command, tmp_path: Path) -> None:
    tree(tmp_path / "photos", {"red_deer": 12, "jay": 5, "7": 2})
    status, said = init("photos", "--write", "birds.yaml")
    assert status == 0
    rows = [line.split() for line in said.splitlines() if line.endswith("1") or "  10 " in line]
    assert ["jay", "4", "1"] in rows and ["7", "1", "1"] in rows
    assert "ratio 10 of the largest to the smallest class" in said
    assert "many / medium / few 0 / 0 / 3" in said
    assert "names of 1 classes are numbers: 7" in said
    assert "copies: no image" in said and "damaged: no image" in said
    assert "birds.yaml: run it with --datasets birds.yaml" in said
    written = yaml.safe_load(Path("birds.yaml").read_text())
    assert written == {
        "name": "photos",
        "images": "photos",
        "classes": {"7": "7", "jay": "jay", "red_deer": "red deer"},
    }
    data = load("birds.yaml")
    assert data.name == "photos" and data.counts.tolist() == [1, 4, 10]


def test_the_file_may_be_elsewhere(init: Command, tmp_path: Path) -> None:
    tree(tmp_path / "p", {"train/a": 3, "train/b": 2, "val/a": 1, "val/b": 2})
    (tmp_path / "yaml").mkdir()
    assert init("p", "--write", "yaml/p.yaml")[0] == 0
    written = yaml.safe_load(Path("yaml/p.yaml").read_text())
    assert written["images"] == os.path.join("..", "p")
    assert written["test_share"] == 0.2  # no image is for testing
    assert load("yaml/p.yaml").counts.sum() == 3


def test_without_write_the_file_is_printed(init: Command, tmp_path: Path) -> None:
    tree(tmp_path / "cifar100_lt", {"a": 3, "b": 2})
    said = init("cifar100_lt")[1]
    written = yaml.safe_load(said[said.index("# Made by") :])
    assert written["name"] == "cifar100_lt_own" not in DATASETS.entries()
    Path("x.yaml").write_text(yaml.safe_dump(written))
    assert load("x.yaml").texts.class_names == ("a", "b")
    assert sorted(os.listdir()) == ["cifar100_lt", "x.yaml"]


def test_copies_damage_and_names(init: Command, tmp_path: Path) -> None:
    root = tmp_path / "p"
    tree(root, {"train/a": 3, "train/Test": 3, "test/a": 1})
    image(root / "train" / "a" / "again.png", (0, 1, 7))
    image(root / "train" / "Test" / "other.png", (0, 2, 7))
    image(root / "test" / "a" / "copy.png", (0, 0, 7))
    (root / "test" / "Test").mkdir()
    (root / "test" / "Test" / "cut.png").write_bytes(encoded(3)[:50])
    (root / "train" / "a" / "notes.txt").write_text("x")
    status, said = init("p", "--write", "p.yaml")
    assert status == 1
    assert "copies: 2 images of train repeat others of it" in said
    assert "copies: 1 image in both train and test" in said
    assert "copies: 1 image with different labels" in said
    assert "train/a/1.png = train/a/again.png" in said
    assert "damaged: 1 image, which a run refuses: " in said and "Test/cut.png" in said
    assert "classes are called like splits: Test" in said
    assert "1 file with the ending '.txt'" in said
    assert load("p.yaml").counts.sum() == 8


def test_tables(init: Command, tmp_path: Path) -> None:
    sets = ["train"] * 6 + ["test"] * 3
    rows = [f"{n}.png;{'ab'[n % 2]};{name}" for n, name in enumerate(sets)]
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "list.csv").write_text("\n".join(["File Name;Species;Set", *rows]))
    for n in range(9):
        image(tmp_path / "t" / "pictures" / f"{n}.png", (n, n, n))
    assert init("t/list.csv", "--write", "list.yaml")[0] == 0
    written = yaml.safe_load(Path("list.yaml").read_text())
    assert written["columns"] == {"path": "File Name", "label": "Species", "split": "Set"}
    assert written["images"] == os.path.join("t", "pictures")
    data = load("list.yaml")
    assert data.counts.tolist() == [3, 3] and len(data.test.ids) == 3


def test_a_table_of_several_labels(init: Command, tmp_path: Path) -> None:
    rows = [f"{n}.png,{['cat', 'dog', 'cat|dog'][n % 3]}" for n in range(9)]
    table(tmp_path, "\n".join(["path,label", *rows]), name="m.csv")
    assert init("m.csv", "--write", "m.yaml")[0] == 0
    assert load("m.yaml").task == "multi"


def test_shards(init: Command, tmp_path: Path) -> None:
    flowers(tmp_path / "all")
    assert init("all", "--write", "all.yaml")[0] == 0
    assert load("all.yaml").counts.tolist() == [4, 4]
    assert init("all/flowers-{000..001}.tar", "--write", "both.yaml")[0] == 0
    assert load("both.yaml").split_hash == load("all.yaml").split_hash
    for split, shift in (("train", 0), ("val", 10), ("test", 20)):
        samples: dict[str, bytes | str] = {}
        for n in range(4):
            samples |= {f"{n}.png": encoded(n + shift), f"{n}.cls": "ab"[n % 2]}
        shard(tmp_path / "split" / f"x_{split}-0.tar", samples)
    assert init("split", "--write", "split.yaml")[0] == 0
    data = load("split.yaml")
    assert data.validation is not None
    assert [len(split.ids) for split in (data.train, data.test, data.validation())] == [4, 4, 4]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "nowhere: images are described in a folder, a table .* no such place"),
        (["p", "--write", "p.txt"], "the name must end in .yaml or .yml"),
        (["p", "--write", "old.yaml"], "old.yaml: the file exists; choose another name"),
        (["p", "--write", "no/p.yaml"], "no file can be written there"),
        (["old.yaml"], "this file is none of them"),
        (["bare.csv"], "which column is the path. It has x, y"),
        (["gone.csv"], "there is no 0.png beside it or in a folder beside it"),
        (["empty"], "empty has no class folders; .*empty is empty"),
        (["one"], "there is only one class, 'a'"),
        (["/"], "/: the whole disk is not a folder of images"),
        (["listed"], "describe its table instead: init-data listed/l.csv"),
    ],
)
def test_places_that_cannot_be_described(
    init: Command, tmp_path: Path, words: list[str], says: str
) -> None:
    tree(tmp_path / "p", {"a": 2, "b": 2})
    tree(tmp_path / "one", {"a": 2})
    (tmp_path / "empty").mkdir()
    (tmp_path / "listed").mkdir()
    for name in ("old.yaml", "listed/l.csv"):
        (tmp_path / name).write_text("x: y")
    table(tmp_path, "x,y\n0.png,a\n", images=False, name="bare.csv")
    table(tmp_path, "path,label\n0.png,a\n1.png,b\n", images=False, name="gone.csv")
    before = sorted(os.listdir())
    status, said = init(*words)
    line = " ".join(said.split())
    assert status == 2 and line.startswith("error: ")
    assert re.search(says, line), line
    assert sorted(os.listdir()) == before


def test_a_data_set_of_huggingface(init: Command, tmp_path: Path) -> None:
    pytest.importorskip("datasets.arrow_dataset")
    from tests.benchmarks.datasets.test_own_huggingface import parquet, rows

    parquet(tmp_path / "p", train=rows(list(range(6))), test=rows([7, 8]))
    assert init("p", "--write", "p.yaml")[0] == 0
    written = yaml.safe_load(Path("p.yaml").read_text())
    assert written["huggingface"] == "p" and "tulip" in written["classes"]
    assert load("p.yaml").counts.tolist() == [3, 3, 0]
