"""Thousands of flipped bits in every kind of file that the suite writes and reads again.

A damaged file is refused by its path (inputs), made again with a warning (caches) or, with a
footnote of the record, not used (checkpoints). What is read is otherwise what was written. Bits
without effect are those of comments and of padding.

| kind | file | made by | read by |
|---|---|---|---|
| checkpoint | `OUT/checkpoints/KEY.pt` | a run that is killed | the next run |
| saved model | `OUT/models/KEY.safetensors` | `--save-model` | `predict` |
| features | `CACHE/features/KEY.safetensors` | any run | the next run |
| decoded data | `CACHE/cifar/KEY/*.npy`, `sha256.json` | a run on a CIFAR tree | the next run |
| smaller copies | `CACHE/resized/KEY/pixels`, `index` | a run with `cache_images` | the next run |
| recipe | `configs/recipes/*.yaml` | `tune` | `--recipe` |
| embedded weights | `benchmarks/assets/*` | `make weights` | `--backbone glyph` |

Files from the hub are in `tests/benchmarks/backbone/test_backbones_hub.py`, records and predictions
in `tests/results`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks import cache as cached
from benchmarks import glyphs
from benchmarks.backbone.identify import identify
from benchmarks.cache import cached_arrays
from benchmarks.datasets.families.glyphs import Glyphs
from benchmarks.datasets.files.image_files import FileImages
from benchmarks.datasets.files.resized import ResizedImages
from benchmarks.errors import UserError
from benchmarks.inputs.feature_files import read_rows, write_rows
from benchmarks.run.checkpoints import FileCheckpoint
from benchmarks.run.model_files import About, read_model, save_model
from benchmarks.sweep import plan
from benchmarks.sweep.recipe_files import Recipe, read_recipe, write_recipe
from benchmarks.sweep.settings import read_sweep
from methods.base import Predictor
from tests.benchmarks.damage import damages
from tests.benchmarks.small import FIELDS, load_on_cpu

Read = Callable[[], Any]
"""Reads what was written; None or a UserError if it is refused."""
Make = Callable[[Path], tuple[Path, Read]]
"""Writes a file in a folder; returns the file and its reader."""


def checkpoint(folder: Path) -> tuple[Path, Read]:
    file = folder / "key.pt"
    state = {"stage": 0, "epoch": 3, "module": {"w": torch.arange(200.0)}, "best": None}
    FileCheckpoint(file, seconds=0.0).save(state)

    def read() -> Any:
        found = FileCheckpoint(file).load()
        return found and (found["epoch"], found["best"], found["module"]["w"].tolist())

    return file, read


def saved_model(folder: Path) -> tuple[Path, Read]:
    file = folder / "key.safetensors"
    flags = {"methods": "ncm", "datasets": "glyphs100_lt", "backbone": "glyph", "seeds": "0"}
    (cell,) = plan.expand(read_sweep(None, flags | {"device": "cpu"})).cells
    data, predictor = Glyphs(**FIELDS).load(Path(), 0), Predictor(nn.Linear(10, 10))  # type: ignore[arg-type]
    about = About.of(cell, data, predictor, (), calibrated=True)
    save_model(file, about, predictor, load_on_cpu("glyph"))

    def read() -> Any:
        model = read_model(file)
        weights = {name: tensor.tolist() for name, tensor in model.tensors.items()}
        return weights, model.function, model.about

    return file, read


def features(folder: Path) -> tuple[Path, Read]:
    file = folder / "key.safetensors"
    write_rows(file, 20, [torch.arange(160.0).reshape(20, 8)])

    def read() -> Any:
        rows = read_rows(file)
        return None if rows is None else rows.tolist()

    return file, read


def decoded(name: str) -> Make:
    def make(folder: Path) -> tuple[Path, Read]:
        def read() -> Any:
            cached._verified.clear()  # as a new process
            arrays = cached_arrays(
                "kind",
                "key",
                ["labels", "files"],
                lambda: {"labels": np.arange(60), "files": np.array(["a.png", "b.png"])},
            )
            return {name: array.tolist() for name, array in arrays.items()}

        read()
        return folder / "cache" / "kind" / "key" / name, read

    return make


def copies(name: str) -> Make:
    def make(folder: Path) -> tuple[Path, Read]:
        for i in range(3):
            noise = np.random.default_rng(i).integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / f"{i}.png")
        files = FileImages(folder, ("0.png", "1.png", "2.png"))

        def read() -> Any:
            images = ResizedImages(files, 16)
            return [images.crop(i, lambda h, w: (0, 0, h, w), 8).tolist() for i in range(3)]

        read()
        (entry,) = (folder / "cache" / "resized").iterdir()
        return entry / name, read

    return make


def recipe(folder: Path) -> tuple[Path, Read]:
    file = folder / "recipe.yaml"
    values = {"lr": 0.5, "tau": 1.2}
    write_recipe(Recipe(file, "lift", "glyphs100_lt", "glyph", "", "tuned", 9, values, {"best": 3}))
    return file, lambda: repr(read_recipe(file))


def embedded(name: str) -> Make:
    def make(folder: Path) -> tuple[Path, Read]:
        shutil.copytree(glyphs.ASSETS, folder / "assets")
        glyphs.ASSETS = folder / "assets"
        return folder / "assets" / name, lambda: identify("glyph").weights_id

    return make


KINDS: dict[str, tuple[Make, int, float]] = {
    "checkpoint": (checkpoint, 2000, 0),
    "saved model": (saved_model, 2000, 0.2),
    "features": (features, 2000, 0.2),
    "decoded data: labels": (decoded("labels.npy"), 1000, 0),
    "decoded data: names": (decoded("files.npy"), 500, 0),
    "decoded data: checksums": (decoded("sha256.json"), 500, 0.1),
    "smaller copies: pixels": (copies("pixels"), 500, 0),
    "smaller copies: index": (copies("index"), 500, 0),
    "recipe": (recipe, 2000, 0.5),
    "embedded weights": (embedded("glyph.safetensors"), 50, 0),
    "embedded vocabulary": (embedded("vocabulary.txt"), 200, 0),
    "embedded configuration": (embedded("glyph.json"), 200, 0),
}
"""For each kind of file: how to make one, flips to try, largest part of them without effect."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_flipped_bit_is_used(
    kind: str,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    record_property: Callable[[str, object], None],
) -> None:
    monkeypatch.setattr(glyphs, "ASSETS", glyphs.ASSETS)  # restored at the end
    make, flips, idle = KINDS[kind]
    file, read = make(tmp_path)
    expected = read()
    assert expected is not None
    tried = unseen = 0
    for damage in damages(file, flips=flips, seed=1):
        caplog.clear()
        tried += 1
        try:
            found = read()
        except UserError as error:
            assert str(file) in str(error), damage
            continue
        assert found is None or found == expected, damage
        unseen += found is not None and not caplog.messages
    record_property("damages", tried)
    record_property("without effect", unseen)
    assert unseen <= idle * tried
