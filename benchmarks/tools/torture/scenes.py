"""Folders that `damage` strikes at: finished runs, interrupted runs, own data, own weights."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from benchmarks.errors import UserError
from benchmarks.tools.torture import sweeps
from benchmarks.tools.torture.kill import watched
from benchmarks.tools.torture.sweeps import Place

METHODS = ("linear_probe", "tau_norm", "coop", "lift", "ncm")
SMALL = ("--seeds", "0", "--set", "lift.epochs=1", "--set", "coop.epochs=2")
TUNED = ("--methods", "linear_probe", "--datasets", "glyphs100_lt", "--backbone", "glyph")
"""Sweep that the recipe is for."""
RECIPE = sweeps.ROOT / "configs" / "recipes" / "linear_probe__glyphs100_lt__glyph.yaml"
CLASSES, TRAIN, VALIDATION, TEST = 3, 12, 3, 6
MODEL = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 32, "patch_size": 16, "width": 32, "layers": 2, "head_width": 16,
    },
    "text_cfg": {
        "context_length": 32, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """A folder, the command that is run in copies of it, and what it leaves undisturbed."""

    place: Place
    arguments: Callable[[Place], list[str]]
    cells: dict[str, sweeps.Cell] = field(default_factory=dict)


def finished(folder: Path) -> Scene:
    """A finished run with saved models, and a recipe; the command runs its cells again."""
    folder.mkdir()
    shutil.copy(RECIPE, folder / "recipe.yaml")
    return _undisturbed(
        Scene(Place(folder), lambda place: place.sweep(METHODS, *SMALL, "--save-model"))
    )


def interrupted(folder: Path, method: str) -> Scene:
    """A run that was killed after it wrote checkpoints; the command continues it."""

    def arguments(place: Place) -> list[str]:
        return place.sweep([method], "--seeds", "0,1", "--set", f"{method}.epochs=8")

    whole = _undisturbed(Scene(Place(folder / "whole"), arguments))
    place = Place(folder / "killed")
    for attempt in range(10):
        process = place.start(arguments(place), watched(place))
        while process.poll() is None and not any(place.out.glob("checkpoints/*.pt")):
            time.sleep(0.005)
        time.sleep(0.1 * attempt)
        place.end(process.pid)
        place.ended(process)
        if any(place.out.glob("checkpoints/*.pt")):
            return Scene(place, arguments, whole.cells)
    raise UserError(f"{folder}: no checkpoint was caught in ten attempts.")


def own(folder: Path, seed: int) -> Scene:
    """Own images with a table, own weights; the command runs two methods on them."""
    place = Place(folder)
    data = folder / "data"
    (data / "images").mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(CLASSES):
        splits = ["train"] * TRAIN + ["val"] * VALIDATION + ["test"] * TEST
        for i, split in enumerate(splits):
            pixels = rng.integers(0, 90, (60, 80, 3), dtype=np.uint8)
            pixels[10 + i :, 20 * number :, number] += 120
            name = f"{number}_{i}.{'jpg' if i % 3 == 0 else 'png'}"
            Image.fromarray(pixels).save(data / "images" / name)
            rows.append([name, f"class_{number}", split])
    with (data / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["path", "label", "split"], *rows])
    names = {f"class_{n}": f"class {n}" for n in range(CLASSES)}
    described = {"table": "labels.csv", "images": "images", "classes": names, "groups": "thirds"}
    (data / "own.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    _write_weights(folder / "weights", seed)

    def arguments(place: Place) -> list[str]:
        return [
            "--methods", "linear_probe,lift", "--seeds", "0", "--device", "cpu", "--offline",
            "--datasets", str(place.folder / "data" / "own.yaml"), "--out", str(place.out),
            "--backbone", f"local-dir:{place.folder / 'weights'}", "--select", "val",
            "--set", "lift.epochs=1", "--set", "lift.augment=crop_flip",
            "--set", "own.cache_images=40",
        ]  # fmt: skip

    return _undisturbed(Scene(place, arguments))


def _write_weights(folder: Path, seed: int) -> None:
    import open_clip
    from safetensors.torch import save_file

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.CLIP(**MODEL)
    folder.mkdir(parents=True)
    preprocess = {"mean": [0.45, 0.5, 0.55], "std": [0.25, 0.2, 0.3], "interpolation": "bicubic"}
    config = {"model_cfg": MODEL, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")


def _undisturbed(scene: Scene) -> Scene:
    run = scene.place.run(scene.arguments(scene.place))
    if run.status:
        raise UserError(f"The sweep fails without damage: {run.output[-500:]}")
    return Scene(scene.place, scene.arguments, sweeps.cells(scene.place.out))


def predicted(place: Place, key: str, images: Path) -> Sequence[str]:
    """Arguments of `predict` with the saved model of a cell."""
    model = place.out / "models" / f"{key}.safetensors"
    return [
        "predict", str(model), str(images), "--device", "cpu", "--offline",
        "--out", str(place.folder / "predicted.csv"),
    ]  # fmt: skip
