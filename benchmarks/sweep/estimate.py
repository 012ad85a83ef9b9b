"""Rough estimates of the time that cells take, with their basis.

The basis is records of similar cells: the sweep's own or, on a CPU, the reference results of the
suite. Without any, floating-point operations are counted from the backbone's configuration, with as
many images an epoch as the method saw on other data. Nothing is loaded, not even torch, except for
a backbone of timm, which has no configuration: timm builds it without weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.backbone import open_clip_tables, timm_sizes
from benchmarks.backbone.names import TIMM, BackboneId
from benchmarks.datasets.base import Family
from benchmarks.input_files import MB, read_text
from benchmarks.inputs.feature_index import FeatureIndex
from benchmarks.protocol import CROPS
from benchmarks.sweep.cell import Cell
from benchmarks.yaml_files import load_json
from methods.registry import info_of
from results.schema import Record
from results.store import Store

REFERENCE = Path(__file__).parents[2] / "results" / "reference"

FLOPS = {"cpu": 0.15e12, "mps": 2e12, "cuda": 60e12}
"""Operations per second that a plain training step reaches, within a factor of a few."""
STEP_S = 1e-3
"""Overhead of an optimiser step; it matters if the products are small."""
PROMPT_ENDS = 12
"""Tokens of a prompt in addition to its context vectors: start, class name, full stop, end."""


@dataclass(frozen=True)
class Guess:
    """Estimated seconds and their basis."""

    seconds: float | None
    """None if there is no basis."""
    basis: str
    """`records`, `reference` (the suite's records) or `operations`; empty without seconds."""


NOTHING = Guess(0.0, "")
UNKNOWN = Guess(None, "")


class Estimator:
    """Estimates for the cells of a sweep; cells that differ only in seeds are estimated once.

    Args:
        records: records of any cells, such as those in the sweep's folder.
        kind: of the device that runs the cells, which may be another machine's.
        index: which frozen features are stored.
    """

    def __init__(self, records: Iterable[Record], kind: str, index: FeatureIndex) -> None:
        self._own = _by_names(records)
        self._kind = kind
        self._index = index
        self._known: dict[Hashable, Guess] = {}
        self._sizes: dict[Family, tuple[int, int] | None] = {}

    def cell(self, cell: Cell) -> Guess:
        """Return the time to fit and evaluate, without shared features (see `passes`)."""
        shape = (cell.method, repr(cell.config), cell.dataset, cell.family, cell.backbone)
        if shape not in self._known:
            self._known[shape] = self._cell(cell)
        return self._known[shape]

    def passes(self, cells: Iterable[Cell]) -> dict[str, tuple[Cell, Guess]]:
        """Return the frozen features that cells need and the store lacks, by name.

        Each has one cell that needs them and the time to compute them.
        """
        return {
            name: (cell, self._pass(cell, crops=name == cell.crops_name))
            for name, cell in wanted_features(cells).items()
            if not self._index.is_stored(name)
        }

    def total(self, cells: Sequence[Cell]) -> tuple[float, int]:
        """Return the seconds of cells and missing features, and the number without an estimate.

        Cells whose features take an unknown time are among the latter.
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
            like = records.get(names(cell))
            if like is not None:
                return Guess(like.seconds(cell.config), basis)
        sizes, towers = self._sizes_of(cell.family), towers_of(cell.backbone, cell.image_size)
        if sizes is None or towers is None:
            return UNKNOWN
        operations, steps = _operations(cell, sizes, towers, self._rounds(cell.method))
        return Guess(operations / FLOPS[self._kind] + steps * STEP_S, "operations")

    def _pass(self, cell: Cell, *, crops: bool) -> Guess:
        sizes, towers = self._sizes_of(cell.family), towers_of(cell.backbone, cell.image_size)
        if sizes is None or towers is None:
            return UNKNOWN
        images = CROPS * sizes[1] if crops else sum(sizes)
        return Guess(images * towers.image / FLOPS[self._kind], "operations")

    def _rounds(self, method: str) -> float:
        """Return how often a method sees each training image in an epoch; 1 without records."""
        every = chain(self._own.items(), _reference().items())
        found = [r for of, like in every if of[0] == method for r in like.rounds()]
        return median(found) if found else 1.0

    def _sizes_of(self, family: Family) -> tuple[int, int] | None:
        if family not in self._sizes:
            self._sizes[family] = family.sizes()
        return self._sizes[family]


def serves(cell: Cell) -> bool:
    """Return True if the cell's method serves its task; otherwise the cell is not applicable."""
    return cell.family.task in info_of(cell.method).tasks


def needs_features(cell: Cell) -> bool:
    """Return True if the cell will be fitted on frozen features."""
    return serves(cell) and info_of(cell.method).needs == "features"


def wanted_features(cells: Iterable[Cell]) -> dict[str, Cell]:
    """Return one cell for each of the frozen features that cells are fitted or tested on."""
    wanted = {}
    for cell in filter(needs_features, cells):
        wanted[cell.features_name] = cell
        if cell.config.get("tte"):
            wanted[cell.crops_name] = cell
    return wanted


# ---- records of similar cells --------------------------------------------------------------------

Names = tuple[str, str, str]


def names(of: Cell | Record) -> Names:
    """Return method, data set and backbone."""
    backbone = of.backbone if isinstance(of.backbone, str) else of.backbone.name
    return of.method, of.dataset, backbone


class _Like:
    """Records of one method, data set and backbone: thousands, of as many configurations."""

    def __init__(self) -> None:
        self._by_config: dict[str, list[Record]] = {}
        self._of_all: dict[float | None, float] = {}
        """Seconds of a configuration that no record has, by its epochs."""

    def add(self, record: Record) -> None:
        """Add a record, which has a cost."""
        self._by_config.setdefault(_hashable(record.config), []).append(record)

    def seconds(self, config: dict[str, Any]) -> float:
        """Return the median of the records with a configuration; of all if none has it."""
        epochs = config.get("epochs")
        if same := self._by_config.get(_hashable(config)):
            return _median(same, epochs)
        if epochs not in self._of_all:
            every = list(chain.from_iterable(self._by_config.values()))
            self._of_all[epochs] = _median(every, epochs)
        return self._of_all[epochs]

    def rounds(self) -> list[float]:
        """Return for each configuration how often a training image was seen in an epoch.

        Methods with several trainings, such as `lt_soups`, see it more than once. Data with several
        labels an image are left out, because their counts by class do not add up to the images.
        """
        return [
            record.cost.images_seen / (record.config["epochs"] * sum(record.groups.train_counts))
            for record, *_ in self._by_config.values()
            if record.task == "single" and record.config.get("epochs")
            if record.groups and record.cost and record.cost.images_seen
        ]


def _hashable(config: dict[str, Any]) -> str:
    """Return the text that equal configurations have; those of records have tuples for lists."""
    return json.dumps(config, sort_keys=True)


def _by_names(records: Iterable[Record]) -> dict[Names, _Like]:
    found: dict[Names, _Like] = {}
    for record in records:
        if record.cost is not None:
            found.setdefault(names(record), _Like()).add(record)
    return found


@cache
def _reference() -> dict[Names, _Like]:
    """Return the records under results/reference."""
    return _by_names(r for out in sorted(REFERENCE.glob("*")) for r in Store(out).all()[0])


def _median(records: Iterable[Record], epochs: float | None) -> float:
    """Return the median of seconds, which records from a busy machine change little.

    Fitting time is scaled with the number of epochs.
    """
    found = []
    for record in records:
        assert record.cost is not None
        others = record.config.get("epochs")
        ratio = epochs / others if epochs and others else 1.0
        found.append(ratio * record.cost.fit_s + record.cost.eval_s)
    return median(found)


# ---- operations ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Towers:
    """Sizes of a backbone's towers, and floating-point operations of a pass."""

    image: float
    """Operations of a forward pass of one image."""
    image_layers: int
    image_width: int
    image_tokens: int
    """0 for an image tower that is no ViT, as are layers and width: its memory is not estimated."""
    layers: int
    width: int
    context: int
    """Longest text in tokens; `layers` and `width` are the text tower's, too."""
    dim: int
    """Length of a feature."""

    @property
    def parameters(self) -> float:
        """About as many numbers as the blocks of both towers hold."""
        return 12.0 * (self.image_layers * self.image_width**2 + self.layers * self.width**2)

    def text(self, tokens: int) -> float:
        """Return the operations of a forward pass of one text."""
        return _blocks(self.layers, self.width, min(tokens, self.context))


def _operations(
    cell: Cell, sizes: tuple[int, int], towers: Towers, rounds: float
) -> tuple[float, float]:
    """Return the operations of training and evaluation, and the number of optimiser steps.

    Args:
        cell: that will be fitted.
        sizes: number of training and test images.
        towers: of its backbone.
        rounds: how often the method sees each training image in an epoch.
    """
    (train, test), config = sizes, cell.config
    epochs = rounds * float(config.get("epochs", 0))
    steps = math.ceil(train / config.get("batch_size", 128)) * epochs
    # The backward pass costs about twice the forward.
    if info_of(cell.method).needs == "images":
        views = CROPS if config.get("tte") else 1
        return (3 * epochs * train + views * test) * towers.image, steps
    classes = cell.family.class_count() or 0
    head = 2.0 * classes * towers.dim
    products = (3 * epochs * train + test) * head
    if "contexts" in config:  # prompts of every class go through the text tower at each step
        text = towers.text(config["contexts"] + PROMPT_ENDS)
        products += 3 * steps * classes * text
    return products, steps


@cache
def towers_of(backbone: BackboneId, image_size: int | None = None) -> Towers | None:
    """Return the towers of a backbone, at the image size of its weights if None.

    Of open_clip's, these are ViTs with a text transformer; of timm's, image towers of any kind.
    None for other architectures, and for a configuration that cannot be read, which is an
    error when the model is loaded.
    """
    if backbone.of_timm:
        return _of_timm(backbone, image_size)
    try:
        config = _config(backbone)
        if not isinstance(config.get("vision_cfg", {}).get("layers"), int):
            return None
        vision, text = config["vision_cfg"], config.get("text_cfg", {})
        side = int(image_size or vision["image_size"]) // int(vision.get("patch_size", 16))
        return Towers(
            image=_blocks(vision["layers"], int(vision["width"]), side * side + 1),
            image_layers=vision["layers"],
            image_width=int(vision["width"]),
            image_tokens=side * side + 1,
            layers=int(text.get("layers", 12)),
            width=int(text.get("width", 512)),
            context=int(text.get("context_length", 77)),
            dim=int(config["embed_dim"]),
        )
    except (OSError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError):
        return None


def _of_timm(backbone: BackboneId, image_size: int | None) -> Towers | None:
    """Return the image tower of a backbone of timm; it has no text tower."""
    name = backbone.arch.removeprefix(TIMM)
    tag = f".{backbone.source}" if backbone.form == "tag" else ""
    sizes = timm_sizes.sizes_of(f"{name}{tag}", image_size)
    if sizes is None:
        return None
    return Towers(
        sizes.operations, sizes.layers, sizes.width, sizes.tokens,
        layers=0, width=0, context=0, dim=sizes.dim,
    )  # fmt: skip


def _blocks(layers: int, width: int, tokens: int) -> float:
    """Return the operations of transformer blocks with an MLP of four times the width."""
    return float(layers * (24 * tokens * width**2 + 4 * tokens**2 * width))


def _config(backbone: BackboneId) -> dict[str, Any]:
    """Return the backbone's configuration if it is on this machine, otherwise {}."""
    file = Path(__file__).parents[1] / "assets" / f"{backbone.arch}.json"
    if backbone.form == "local-dir":
        file = Path(backbone.source) / "open_clip_config.json"
    if not file.is_file():
        return open_clip_tables.config(backbone.arch) if backbone.arch else {}
    found: dict[str, Any] = load_json(read_text(file, 10 * MB))
    model: dict[str, Any] = found.get("model_cfg", found)
    return model
