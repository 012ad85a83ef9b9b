"""`features export`: what is in the files that other tools read, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open

from benchmarks import backbones
from benchmarks.backbone.identify import identify
from benchmarks.backbones import Backbone
from benchmarks.cli.parts.feature_export import files_of
from benchmarks.datasets.base import DataSet, Split
from benchmarks.datasets.families.glyphs import Glyphs
from benchmarks.datasets.families.glyphscenes import GlyphScenes
from benchmarks.errors import UserError
from benchmarks.inputs import export_files
from benchmarks.inputs.features import FeatureStore
from benchmarks.sweep import plan
from benchmarks.sweep.settings import read_sweep
from tests.benchmarks.cli.commands import ROOT, Command, the_line
from tests.benchmarks.damage import full_disk
from tests.benchmarks.small import DATA, FEATURE, FIELDS

SCENES = {"classes": 4, "n_max": 20, "imbalance": 4, "test_per_class": 4}
SCENES_DATA = [
    "--datasets", "glyphscenes_lt",
    *(word for name, value in SCENES.items()
      for word in ("--set", f"glyphscenes_lt.{name}={value}")),
]  # fmt: skip


@pytest.fixture(scope="module")
def backbone(model: str) -> Backbone:
    return backbones.load(identify(model).typed, device=torch.device("cpu"), precision="fp32")


@pytest.fixture(scope="module")
def glyphs() -> DataSet:
    return Glyphs(**FIELDS).load(Path(), 0)


@pytest.fixture(scope="module")
def scenes() -> DataSet:
    return GlyphScenes(**SCENES).load(Path(), 0)


@pytest.fixture
def tiny(model: str) -> list[str]:
    return [*DATA, "--backbone", model, "--device", "cpu"]


def features_of(backbone: Backbone, *splits: Split) -> np.ndarray:
    store = FeatureStore(None)
    return torch.cat([store.images(backbone, split.images) for split in splits]).numpy()


def parquet(file: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of a file and what is said about them."""
    table = pq.read_table(file)
    return table.to_pylist(), json.loads(table.schema.metadata[b"longtail_vlm"])


def test_a_parquet_file_has_a_row_for_each_image(
    command: Command, tiny: list[str], backbone: Backbone, glyphs: DataSet
) -> None:
    assert command("features", "export", *tiny, "--to", "new/a.parquet").status == 0
    rows, about = parquet("new/a.parquet")
    splits = {"train": glyphs.train, "test": glyphs.test}
    expected = [
        (name, *row)
        for name, split in splits.items()
        for row in zip(split.ids, split.labels.tolist(), strict=True)
    ]
    assert [(row["split"], row["id"], row["label"]) for row in rows] == expected
    found = np.array([row["features"] for row in rows], dtype=np.float32)
    np.testing.assert_allclose(found, features_of(backbone, *splits.values()), 0, FEATURE)
    assert about["split_hash"] == glyphs.split_hash
    assert about["class_names"] == list(glyphs.texts.class_names)
    assert about["preprocess_hash"] == backbone.preprocess_hash
    assert about["weights_id"] == backbone.id.weights_id
    assert (about["precision"], about["task"]) == ("fp32", "single")
    assert about["dataset"].startswith("glyphs100_lt_ir8 (")
    assert about["dataset_config"]["classes"] == FIELDS["classes"]
    assert re.match(r"\d+\.\d+\.\d+, commit \w+", about["suite"])


def test_what_is_stored_is_not_computed_again(
    command: Command, tiny: list[str], cache: Path
) -> None:
    first = command("features", "export", *tiny, "--to", "a.parquet")
    second = command("features", "export", *tiny, "--to", "b.parquet")
    assert "features of glyphs100_lt train" in first.out
    assert "features of" not in second.out
    assert parquet("a.parquet") == parquet("b.parquet")
    first_row, second_row = (
        next(line for line in command("plan", "--methods", "ncm", *tiny, *more).out.splitlines()
             if "frozen features" in line)
        for more in ((), ("--split-seeds", "1"))
    )  # fmt: skip
    assert "stored" in first_row and "stored" not in second_row


def test_classes_of_multi_label_images_are_lists(
    command: Command, model: str, scenes: DataSet
) -> None:
    words = [*SCENES_DATA, "--backbone", model, "--device", "cpu", "--to", "a.parquet"]
    assert command("features", "export", *words).status == 0
    rows, about = parquet("a.parquet")
    labels = np.concatenate([scenes.train.labels, scenes.test.labels])
    assert [row["labels"] for row in rows] == [np.flatnonzero(y).tolist() for y in labels]
    assert about["task"] == "multi"


@pytest.mark.parametrize("several", [False, True])
def test_safetensors_hold_the_same(
    command: Command,
    model: str,
    backbone: Backbone,
    glyphs: DataSet,
    scenes: DataSet,
    several: bool,
) -> None:
    data, words = (scenes, SCENES_DATA) if several else (glyphs, DATA)
    words = [*words, "--backbone", model, "--device", "cpu", "--select", "val"]
    assert command("features", "export", *words, "--to", "a.safetensors").status == 0
    assert data.validation is not None
    splits = [data.train, data.validation(), data.test]
    with safe_open("a.safetensors", "np") as file:
        labels, features, split = (file.get_tensor(n) for n in ("labels", "features", "split"))
        metadata = file.metadata()
    assert json.loads(metadata["ids"]) == [one for split in splits for one in split.ids]
    assert json.loads(metadata["longtail_vlm"])["select"] == "val"
    assert np.array_equal(labels, np.concatenate([split.labels for split in splits]))
    np.testing.assert_allclose(features, features_of(backbone, *splits), 0, FEATURE)
    assert split.tolist() == [n for n, split in enumerate(splits) for _ in split.ids]


def test_a_file_is_replaced_only_if_that_is_asked_for(command: Command, tiny: list[str]) -> None:
    Path("a.safetensors").write_text("precious")
    refused = command("features", "export", *tiny, "--to", "a.safetensors")
    assert the_line(refused) == "error: a.safetensors exists; --overwrite replaces it.\n"
    assert Path("a.safetensors").read_text() == "precious"
    done = command("features", "export", *tiny, "--to", "a.safetensors", "--overwrite")
    assert done.status == 0
    with safe_open("a.safetensors", "np") as file:
        assert file.get_slice("features").get_shape()[0] == 80


def test_a_folder_gets_a_file_for_each_data_set(command: Command, tiny: list[str]) -> None:
    both = [*tiny, *SCENES_DATA, "--datasets", "glyphs100_lt,glyphscenes_lt"]
    assert command("features", "export", *both, "--to", "all").status == 0
    again = command("features", "export", *both, "--to", "all", "--split-seed", "3")
    assert again.status == 0
    names = sorted(file.name for file in Path("all").iterdir())
    assert [name.partition("_lt")[0] for name in names] == ["glyphs100"] * 2 + ["glyphscenes"] * 2
    assert [name.endswith("-split-3.parquet") for name in names] == [True, False, True, False]
    ids = [[row["id"] for row in parquet(f"all/{name}")[0]] for name in names[:2]]
    assert ids[0] != ids[1]


def test_two_data_sets_never_share_a_file() -> None:
    (cell,) = plan.expand(read_sweep(None, {"methods": "ncm", "datasets": "glyphs100_lt"})).cells
    cells = [dataclasses.replace(cell, dataset=name) for name in ("a b", "a/b")]
    with pytest.raises(UserError, match=r"two data sets would be a-b\.parquet"):
        files_of(cells, Path("new"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--to a.csv", "--to a.csv: write FILE.parquet, FILE.safetensors or a folder."),
        ("--to file/a.parquet", "Cannot write file/a.parquet: "),
        ("--to a.parquet --datasets glyphs100_lt,glyphscenes_lt", "holds one data set"),
        ("--to a.parquet --datasets glyphs", "Unknown data set 'glyphs'"),
        ("--to a.parquet --split-seed 0,1", "--split-seed: one split at a time; give one number."),
        ("--to a.parquet --data-root none", "--data-root none: no such folder."),
        ("--to a.parquet --set lift.lr=1", "'lift' is neither a method nor a data set"),
        ("", "--to"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    command: Command, tiny: list[str], words: str, line: str
) -> None:
    Path("file").touch()
    assert line in the_line(command("features", "export", *tiny, *words.split()))
    assert [file.name for file in Path().iterdir()] == ["file"]


def test_without_pyarrow_one_line_says_what_to_do(
    command: Command, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    line = the_line(command("features", "export", *tiny, "--to", "a.parquet"))
    assert "need pyarrow" in line and "--to FILE.safetensors" in line
    assert command("features", "export", *tiny, "--to", "a.safetensors").status == 0


@pytest.mark.parametrize("ending", ["parquet", "safetensors"])
def test_on_a_full_disk_nothing_is_left(command: Command, tiny: list[str], ending: str) -> None:
    with full_disk(room=3000):
        ended = command("features", "export", *tiny, "--to", f"a.{ending}")
    assert ended.status == 2
    assert f"Cannot write a.{ending}: File too large" in ended.err
    assert list(Path().iterdir()) == []


def test_more_names_than_the_format_can_hold_are_refused(
    command: Command, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_files, "LONGEST_HEADER", 1000)
    line = the_line(command("features", "export", *tiny, "--to", "a.safetensors"))
    assert "write FILE.parquet" in line


def test_the_script_of_the_documentation_runs(
    command: Command, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert command("features", "export", *tiny, "--to", "glyphs.parquet").status == 0
    exec(compile(script, "docs/features.md", "exec"), {})
    assert re.fullmatch(
        r"glyphs100_lt_ir8 \(.*\), local-dir:.*: \d+\.\d %\n", capsys.readouterr().out
    )
