"""How long a cell will take, roughly.

From records of the like: the sweep's own, else, on a CPU, the reference results that come with the
suite. Without any, from floating-point counts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import device as devices
from benchmarks.backbone_names import BackboneId
from benchmarks.features import FeatureStore
from benchmarks.plan import Cell
from methods.registry import METHODS
from results.schema import Record
from results.store import Store

REFERENCE = Path(__file__).parents[1] / "results" / "reference"

FLOPS = {"cpu": 0.15e12, "mps": 2e12, "cuda": 60e12}
"""Rates that a plain training step was seen to reach or fall short of by a factor of a few."""


def estimate(cell: Cell, records: Sequence[Record], device: str) -> float | None:
    """Seconds to fit and evaluate, or None where there is nothing to go by."""
    if not serves(cell):
        return 0.0
    like = _seconds(cell, records)
    if not like and devices.pick(device).type == "cpu":
        like = _seconds(cell, _reference())
    if like:
        return median(like)  # some may be of a busy machine
    sizes, flops = cell.family.sizes(), _forward_flops(cell.backbone)
    if sizes is None or flops is None:
        return None
    if needs_features(cell):
        return 1.0  # a head on stored features; the pass that makes them is `feature_pass`
    (train, test), epochs = sizes, float(cell.config.get("epochs", 1))
    views = 5 if cell.config.get("tte") else 1
    # The backward pass costs about twice the forward.
    return (3 * epochs * train + views * test) * flops / FLOPS[devices.pick(device).type]


def _seconds(cell: Cell, records: Sequence[Record]) -> list[float]:
    """What cells of the same method, data and backbone took."""
    names = (cell.method, cell.dataset, cell.backbone.name)
    return [
        r.cost.fit_s + r.cost.eval_s
        for r in records
        if r.cost is not None and (r.method, r.dataset, r.backbone) == names
    ]


@cache
def _reference() -> list[Record]:
    """The records under results/reference."""
    return [r for out in sorted(REFERENCE.glob("*")) for r in Store(out).all()[0]]


def together(
    cells: Sequence[Cell], records: Sequence[Record], device: str, store: FeatureStore
) -> tuple[float, int]:
    """Seconds that cells take, missing features included, and of how many it knows too little."""
    guesses = [estimate(cell, records, device) for cell in cells]
    missing = {
        cell.features_name: cell
        for cell in cells
        if needs_features(cell) and not store.bookmarked(cell.features_name)
    }
    passes = {name: feature_pass(cell, device) for name, cell in missing.items()}
    unknown = sum(
        guess is None or passes.get(cell.features_name, 0.0) is None
        for cell, guess in zip(cells, guesses, strict=True)
    )
    return sum(guess or 0.0 for guess in (*guesses, *passes.values())), unknown


def feature_pass(cell: Cell, device: str) -> float | None:
    """Seconds to compute the frozen features of a cell's data, None where nothing is known."""
    sizes, flops = cell.family.sizes(), _forward_flops(cell.backbone)
    if sizes is None or flops is None:
        return None
    return sum(sizes) * flops / FLOPS[devices.pick(device).type]


def serves(cell: Cell) -> bool:
    """Whether the cell's method serves its kind of task; else the cell ends as not applicable."""
    return cell.family.task in METHODS.entries()[cell.method].options.get("tasks", ("single",))


def needs_features(cell: Cell) -> bool:
    """Whether the cell's method works on frozen features, and will."""
    return serves(cell) and METHODS.entries()[cell.method].options.get("needs") == "features"


@cache
def _forward_flops(backbone: BackboneId) -> float | None:
    """Floating-point operations of one image through a ViT, from open_clip's configuration."""
    vision = _vision_config(backbone)
    if vision is None or not isinstance(vision.get("layers"), int):
        return None
    side = int(vision["image_size"]) // int(vision.get("patch_size", 16))
    tokens, width = side * side + 1, int(vision["width"])
    block = 24 * tokens * width**2 + 4 * tokens**2 * width
    return float(vision["layers"] * block)


def _vision_config(backbone: BackboneId) -> dict[str, Any] | None:
    """The image tower's part of the configuration, where it is on this machine."""
    files = [Path(__file__).parent / "assets" / f"{backbone.arch}.json"]
    if backbone.form == "local-dir":
        files = [Path(backbone.source) / "open_clip_config.json"]
    elif (spec := find_spec("open_clip")) is not None and spec.origin is not None:
        files.append(Path(spec.origin).parent / "model_configs" / f"{backbone.arch}.json")
    for file in files:
        if file.is_file():
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            vision: dict[str, Any] = found.get("model_cfg", found)["vision_cfg"]
            return vision
    return None
