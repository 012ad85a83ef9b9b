"""A tiny world: 4 classes, 64 training images, a 2-layer random CLIP. Any method fits in a second.

For tests and for trying a new method offline; its numbers mean nothing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import randomness
from benchmarks.backbone.names import BackboneId
from benchmarks.backbones import Backbone
from benchmarks.datasets.base import DataSet, Split, TaskKind
from benchmarks.datasets.families.glyphs import Glyphs
from benchmarks.datasets.families.glyphscenes import GlyphScenes
from benchmarks.hierarchy import Hierarchy
from benchmarks.inputs.features import FeatureStore
from benchmarks.inputs.samples import SplitSamples
from benchmarks.protocol import group_of
from methods.base import Task

TRAIN_IMAGES = 64


@cache
def tiny_data(kind: TaskKind = "single") -> DataSet:
    """4 classes in a long tail, 64 training images.

    single: 35, 17, 8 and 4 training images, and 4 test images for each class. multi: 54, 31, 18 and
    10 captioned training images with each class, and 17 test images, 8 with each class.
    """
    if kind == "single":
        single = Glyphs(classes=4, n_max=35, imbalance=8.0, test_per_class=4)
        return single.load(Path(), split_seed=0)
    return GlyphScenes(classes=4, n_max=54, imbalance=5.0, test_per_class=8).load(Path(), 0)


@cache
def tiny_backbone() -> Backbone:
    """A 2-layer CLIP of width 32: seeded random weights, the glyph tokenizer and transform."""
    from open_clip import CLIP
    from open_clip.transform import PreprocessCfg, image_transform_v2

    from benchmarks.glyphs import PREPROCESS, load_tokenizer

    tokenizer = load_tokenizer()
    with randomness.seeded("tiny backbone"):
        model = CLIP(**tiny_config())
    return Backbone(
        id=BackboneId("tiny", "embedded", "tiny", "", "tiny"),
        model=model.requires_grad_(False).eval(),
        tokenizer=tokenizer,
        transform=image_transform_v2(PreprocessCfg(**PREPROCESS), is_train=False),
        preprocess=dict(PREPROCESS),
        device=torch.device("cpu"),
        precision="fp32",
    )


def tiny_config() -> dict[str, Any]:
    """open_clip's arguments of the tiny backbone's model."""
    from benchmarks.glyphs import load_tokenizer

    tokenizer = load_tokenizer()
    return _model(tokenizer.context_length, tokenizer.vocab_size)


def write_backbone(folder: Path) -> str:
    """Write a backbone of the same size, with CLIP's tokenizer, to a folder.

    Returns:
        The name that a run loads it by. It is as quick as the tiny one, which only this process
        has.
    """
    from safetensors.torch import save_file

    config, weights = _clip()
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(weights, folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


@cache
def _clip() -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and weights of `write_backbone`."""
    from open_clip import CLIP

    from benchmarks.glyphs import PREPROCESS

    model = _model(context=77, vocabulary=49408, text_width=8)
    with randomness.seeded("tiny backbone"):
        weights = CLIP(**model).state_dict()
    preprocess = {name: value for name, value in PREPROCESS.items() if name != "size"}
    return {"model_cfg": model, "preprocess_cfg": preprocess}, weights


def _model(context: int, vocabulary: int, text_width: int = 32) -> dict[str, Any]:
    """open_clip's arguments of a 2-layer CLIP."""
    return {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32,
            "patch_size": 16,
            "width": 32,
            "layers": 2,
            "head_width": 16,
        },
        "text_cfg": {
            "context_length": context,
            "vocab_size": vocabulary,
            "width": text_width,
            "heads": 2,
            "layers": 2,
        },
    }


def tiny_task(
    seed: int = 0,
    *,
    kind: TaskKind = "single",
    data: DataSet | None = None,
    backbone: Backbone | None = None,
    validation: bool = False,
    progress: Any = None,
    checkpoint: Any = None,
    store: FeatureStore | None = None,
) -> tuple[Task, SplitSamples]:
    """Return a task and its test samples.

    Args:
        seed: run seed.
        kind: single-label or multi-label.
        data: instead of `tiny_data(kind)`.
        backbone: instead of `tiny_backbone()`.
        validation: give the task validation samples.
        progress: called with (epoch, epochs, step, steps).
        checkpoint: keeps the state of the training loop; by default none.
        store: of image features; by default they are computed for this task alone.
    """
    data = tiny_data(kind) if data is None else data
    backbone = tiny_backbone() if backbone is None else backbone
    store = FeatureStore(None) if store is None else store

    def samples(split: Split) -> SplitSamples:
        return SplitSamples(split, backbone, store)

    task = Task(
        kind=data.task,
        texts=data.texts,
        counts=torch.from_numpy(data.counts).float().to(backbone.device),
        membership=tuple(str(g) for g in group_of(data.counts, "thirds")),
        train=samples(data.train),
        validation=samples(data.validation()) if validation and data.validation else None,
        backbone=backbone,
        seed=seed,
        device=backbone.device,
        progress=progress or (lambda epoch, epochs, step, steps: None),
        checkpoint=checkpoint or NoCheckpoint(),
        hierarchy=data.hierarchy,
        scores=data.scores,
        text_cache=partial(FeatureStore(None).texts, backbone),
    )
    return task, samples(data.test)


def permuted(data: DataSet, order: Sequence[int]) -> DataSet:
    """Return the data with class `order[i]` at index `i`; samples keep their order."""
    new = np.empty(len(order), dtype=np.int64)
    new[list(order)] = np.arange(len(order))

    def relabel(split: Split) -> Split:
        labels: NDArray[np.int64] = (
            new[split.labels] if split.labels.ndim == 1 else split.labels[:, list(order)]
        )
        return dataclasses.replace(split, labels=labels)

    def pick(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if values is None else tuple(values[i] for i in order)

    texts = dataclasses.replace(
        data.texts,
        class_names=tuple(data.texts.class_names[i] for i in order),
        descriptions=pick(data.texts.descriptions),
    )
    return dataclasses.replace(
        data, texts=texts, train=relabel(data.train), test=relabel(data.test), validation=None,
        hierarchy=selected(data.hierarchy, order),
    )  # fmt: skip


def selected(
    hierarchy: Callable[[], Hierarchy] | None, classes: Sequence[int]
) -> Callable[[], Hierarchy] | None:
    """Return the builder of a tree over some classes, in this order."""
    return None if hierarchy is None else lambda: hierarchy().of(classes)


class NoCheckpoint:
    """A checkpoint that keeps nothing."""

    def load(self) -> None:
        """Return None: nothing was saved."""
        return None

    def save(self, state: Any) -> None:
        """Do nothing."""

    def trained(self, stage: int, state: Any) -> None:
        """Do nothing."""

    @property
    def earlier_s(self) -> float:
        """No earlier training."""
        return 0.0
