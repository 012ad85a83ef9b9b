"""How long cells will take, roughly, and what that rests on.

From records of the like: the sweep's own, else, on a CPU, the reference results that come with the
suite. Without any, from floating-point operations counted with the backbone's configuration.
Nothing is loaded for it, torch neither.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import device as devices
from benchmarks.backbone import open_clip_tables
from benchmarks.backbone.names import BackboneId
from benchmarks.datasets.base import Family
from benchmarks.inputs.feature_index import FeatureIndex
from benchmarks.sweep.cell import Cell
from methods.registry import info_of
from results.schema import Record
from results.store import Store

REFERENCE = Path(__file__).parents[2] / "results" / "reference"

FLOPS = {"cpu": 0.15e12, "mps": 2e12, "cuda": 60e12}
"""Rates that a plain training step was seen to reach or fall short of by a factor of a few."""
STEP_S = 1e-3
"""What an optimiser step takes apart from its products; counts where these are small."""
PROMPT_ENDS = 12
"""Tokens of a prompt beside its context vectors: start, class name, full stop, end."""


@dataclass(frozen=True)
class Guess:
    """Seconds, and where they are from."""

    seconds: float | None
    """None where there is nothing to go by."""
    basis: str
    """`records`, `reference` (those of the suite) or `operations`; empty without seconds."""


NOTHING = Guess(0.0, "")
UNKNOWN = Guess(None, "")


class Estimator:
    """Estimates for the cells of a sweep; cells that differ by seeds alone are estimated once.

    Args:
        records: of any cells, such as those in the sweep's folder.
        device: as on the command line.
        index: which frozen features are stored.
    """

    def __init__(self, records: Iterable[Record], device: str, index: FeatureIndex) -> None:
        self._own = _by_names(records)
        self._kind = devices.kind(device)
        self._index = index
        self._known: dict[Hashable, Guess] = {}
        self._sizes: dict[Family, tuple[int, int] | None] = {}

    def cell(self, cell: Cell) -> Guess:
        """To fit and evaluate; features that others share are `passes`."""
        shape = (cell.method, repr(cell.config), cell.dataset, cell.family, cell.backbone)
        if shape not in self._known:
            self._known[shape] = self._cell(cell)
        return self._known[shape]

    def passes(self, cells: Iterable[Cell]) -> dict[str, tuple[Cell, Guess]]:
        """Frozen features that cells need and that are not stored, by name, with one such cell."""
        wanted = {cell.features_name: cell for cell in cells if needs_features(cell)}
        return {
            name: (cell, self._pass(cell))
            for name, cell in wanted.items()
            if not self._index.is_stored(name)
        }

    def together(self, cells: Sequence[Cell]) -> tuple[float, int]:
        """Seconds that cells take, missing features included, and of how many it knows too little.

        Cells whose features take an unknown time count among the latter.
        """
        passes = self.passes(cells)
        endless = {name for name, (_, guess) in passes.items() if guess.seconds is None}
        guesses = [self.cell(cell) for cell in cells]
        unknown = sum(
            guess.seconds is None or (needs_features(cell) and cell.features_name in endless)
            for cell, guess in zip(cells, guesses, strict=True)
        )
        every = [*guesses, *(guess for _, guess in passes.values())]
        return math.fsum(guess.seconds or 0.0 for guess in every), unknown

    def _cell(self, cell: Cell) -> Guess:
        if not serves(cell):
            return NOTHING
        sources = {"records": self._own}
        if self._kind == "cpu":
            sources["reference"] = _reference()
        for basis, records in sources.items():
            like = _seconds(cell, records.get(_names(cell), ()))
            if like:
                return Guess(median(like), basis)  # some may be of a busy machine
        sizes, towers = self._sizes_of(cell.family), _towers(cell.backbone)
        if sizes is None or towers is None:
            return UNKNOWN
        operations, steps = _operations(cell, sizes, towers)
        return Guess(operations / FLOPS[self._kind] + steps * STEP_S, "operations")

    def _pass(self, cell: Cell) -> Guess:
        sizes, towers = self._sizes_of(cell.family), _towers(cell.backbone)
        if sizes is None or towers is None:
            return UNKNOWN
        return Guess(sum(sizes) * towers.image / FLOPS[self._kind], "operations")

    def _sizes_of(self, family: Family) -> tuple[int, int] | None:
        if family not in self._sizes:
            self._sizes[family] = family.sizes()
        return self._sizes[family]


def serves(cell: Cell) -> bool:
    """Whether the cell's method serves its kind of task; else the cell ends as not applicable."""
    return cell.family.task in info_of(cell.method).tasks


def needs_features(cell: Cell) -> bool:
    """Whether the cell's method works on frozen features, and will."""
    return serves(cell) and info_of(cell.method).needs == "features"


# ---- records of the like -------------------------------------------------------------------------

Names = tuple[str, str, str]


def _names(of: Cell | Record) -> Names:
    """Method, data set and backbone."""
    backbone = of.backbone if isinstance(of.backbone, str) else of.backbone.name
    return of.method, of.dataset, backbone


def _by_names(records: Iterable[Record]) -> dict[Names, list[Record]]:
    found: dict[Names, list[Record]] = {}
    for record in records:
        if record.cost is not None:
            found.setdefault(_names(record), []).append(record)
    return found


@cache
def _reference() -> dict[Names, list[Record]]:
    """The records under results/reference."""
    return _by_names(r for out in sorted(REFERENCE.glob("*")) for r in Store(out).all()[0])


def _seconds(cell: Cell, records: Sequence[Record]) -> list[float]:
    """What these took, those of the very configuration alone if there are any.

    Of another number of epochs, fitting is taken to be in proportion.
    """
    same = [record for record in records if record.config == cell.config]
    epochs, found = cell.config.get("epochs"), []
    for record in same or records:
        assert record.cost is not None
        others = record.config.get("epochs")
        ratio = epochs / others if epochs and others else 1.0
        found.append(ratio * record.cost.fit_s + record.cost.eval_s)
    return found


# ---- operations ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Towers:
    """Floating-point operations of a forward pass, and what they depend on."""

    image: float
    """Of one image."""
    layers: int
    width: int
    context: int
    """Of the text tower, and its longest text in tokens."""
    dim: int
    """Length of a feature."""

    def text(self, tokens: int) -> float:
        """Of one text."""
        return _blocks(self.layers, self.width, min(tokens, self.context))


def _operations(cell: Cell, sizes: tuple[int, int], towers: _Towers) -> tuple[float, float]:
    """Operations of training and evaluation, and the number of optimiser steps."""
    (train, test), config = sizes, cell.config
    epochs = float(config.get("epochs", 0))
    steps = math.ceil(train / config.get("batch_size", 128)) * epochs
    # The backward pass costs about twice the forward.
    if info_of(cell.method).needs == "images":
        views = 5 if config.get("tte") else 1
        return (3 * epochs * train + views * test) * towers.image, steps
    classes = cell.family.class_count() or 0
    head = 2.0 * classes * towers.dim
    products = (3 * epochs * train + test) * head
    if "contexts" in config:  # prompts of every class go through the text tower at each step
        text = towers.text(config["contexts"] + PROMPT_ENDS)
        products += 3 * steps * classes * text
    return products, steps


@cache
def _towers(backbone: BackboneId) -> _Towers | None:
    """Of a ViT with a transformer for texts, by open_clip's configuration; None of others."""
    config = _config(backbone)
    if not isinstance(config.get("vision_cfg", {}).get("layers"), int):
        return None
    vision, text = config["vision_cfg"], config.get("text_cfg", {})
    side = int(vision["image_size"]) // int(vision.get("patch_size", 16))
    return _Towers(
        image=_blocks(vision["layers"], int(vision["width"]), side * side + 1),
        layers=int(text.get("layers", 12)),
        width=int(text.get("width", 512)),
        context=int(text.get("context_length", 77)),
        dim=int(config["embed_dim"]),
    )


def _blocks(layers: int, width: int, tokens: int) -> float:
    """Operations of transformer blocks with an MLP of four times the width."""
    return float(layers * (24 * tokens * width**2 + 4 * tokens**2 * width))


def _config(backbone: BackboneId) -> dict[str, Any]:
    """The backbone's configuration, where it is on this machine; else {}."""
    file = Path(__file__).parents[1] / "assets" / f"{backbone.arch}.json"
    if backbone.form == "local-dir":
        file = Path(backbone.source) / "open_clip_config.json"
    if not file.is_file():
        return open_clip_tables.config(backbone.arch) if backbone.arch else {}
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    model: dict[str, Any] = found.get("model_cfg", found)
    return model
