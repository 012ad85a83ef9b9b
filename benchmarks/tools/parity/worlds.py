"""Random weights and inputs that both codes get: keyed by a name, the same in every run."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import backbones, randomness
from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_task
from benchmarks.datasets.base import DataSet
from benchmarks.datasets.families.glyphs import Glyphs
from benchmarks.inputs.samples import SplitSamples
from methods.base import Batch, Task

CLASSES, SIDE, WIDTH, LAYERS, JOINT, TEXT_WIDTH = 20, 32, 128, 3, 32, 64
"""CLIP's code has heads of width 64, so that narrower towers have a single head."""


def normal(purpose: str, *shape: int) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=randomness.generator(0, purpose))


def labels_of(counts: Tensor, size: int) -> Tensor:
    """(size,) labels drawn by class frequency."""
    generator = randomness.generator(0, "labels")
    return torch.multinomial(counts, size, replacement=True, generator=generator)


def long_tail(classes: int = CLASSES, most: int = 500) -> Tensor:
    """(C,) counts from `most` to 1, exponentially."""
    return torch.from_numpy(np.geomspace(most, 1, classes).round()).float()


def no_batch(size: int) -> Batch:
    """A batch for losses that read nothing of it."""
    return Batch(torch.arange(size), None, None)


@cache
def data(shots: int | None = None) -> DataSet:
    """Glyphs of 20 classes with CLIP's first template, 60 to 3 or `shots` training images each."""
    most, imbalance = (60, 20.0) if shots is None else (shots, 1.0)
    glyphs = Glyphs(classes=CLASSES, n_max=most, imbalance=imbalance, test_per_class=5)
    found = glyphs.load(Path(), split_seed=0)
    texts = dataclasses.replace(found.texts, templates=("a photo of a {}.",))
    return dataclasses.replace(found, texts=texts)


@cache
def backbone(transform: str = "checkpoint") -> Backbone:
    """A small CLIP with random weights: OpenAI's activation, scale, normalisation and tokenizer."""
    import open_clip
    from safetensors.torch import save_file

    config = {
        "embed_dim": JOINT,
        "vision_cfg": {"image_size": SIDE, "patch_size": 8, "width": WIDTH, "layers": LAYERS,
                       "head_width": 64},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": TEXT_WIDTH, "heads": 1,
                     "layers": 2},
        "quick_gelu": True,
    }  # fmt: skip
    preprocess = {
        "mean": list(open_clip.OPENAI_DATASET_MEAN),
        "std": list(open_clip.OPENAI_DATASET_STD),
    }
    with randomness.seeded("parity"):
        weights = open_clip.CLIP(**config).state_dict()
    weights["logit_scale"].fill_(float(np.log(100.0)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
        (folder / "open_clip_config.json").write_text(text, encoding="utf-8")
        save_file(weights, folder / "open_clip_model.safetensors")
        return backbones.load(
            f"local-dir:{folder}", device=torch.device("cpu"), precision="fp32", offline=True,
            transform=transform,
        )  # fmt: skip


def task(transform: str = "checkpoint", shots: int | None = None) -> tuple[Task, SplitSamples]:
    """A task on `data` with `backbone`, and its test samples."""
    return tiny_task(data=data(shots), backbone=backbone(transform))


def their_clip(clip: Any) -> Any:
    """The same model as `backbone()`, built by the module `clip.model` of OpenAI's code."""
    model = clip.CLIP(
        JOINT, SIDE, LAYERS, WIDTH, 8, 77, 49408, TEXT_WIDTH, TEXT_WIDTH // 64, 2
    ).float()  # fmt: skip
    model.load_state_dict(backbone().model.state_dict())
    return model.requires_grad_(False).eval()


def task_of(counts: Tensor) -> Task:
    """A task for losses, which read class counts alone."""
    return dataclasses.replace(tiny_task()[0], counts=counts)


def samples(source: Task, size: int) -> tuple[Tensor, Batch, Tensor]:
    """Images (B, 3, H, W), frozen features and labels of the first samples of an epoch."""
    index = source.epoch_order(0)[:size]
    images = source.train.batch(index, needs="images").images
    assert images is not None
    features = source.train.batch(index, needs="features")
    return images, features, source.train.labels[index]


def label_sets(size: int, classes: int) -> Tensor:
    """(size, C) zeros and ones, a fifth of them ones, and at least one for each sample."""
    found = (normal("label sets", size, classes) > 0.84).float()
    found[torch.arange(size), torch.arange(size) % classes] = 1.0
    return found
