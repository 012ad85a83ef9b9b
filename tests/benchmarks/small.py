"""A small world for tests: a CLIP of 2 layers in a separate folder, 4 classes of 64 images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import backbones
from benchmarks.backbones import Backbone
from benchmarks.datasets.registry import DATASETS
from benchmarks.sweep import fingerprints
from methods.registry import METHODS

ARCH = "small-clip-of-the-tests"
CLASSES = 4
FIELDS = {"classes": CLASSES, "n_max": 35, "imbalance": 8, "test_per_class": 4}
DATA = [
    "--datasets",
    "glyphs100_lt",
    *(word for name, value in FIELDS.items() for word in ("--set", f"glyphs100_lt.{name}={value}")),
]
"""Flags of a data set of 64 training and 16 test images."""

MODEL = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 32,
        "patch_size": 16,
        "width": 32,
        "layers": 2,
        "head_width": 16,
    },
    "text_cfg": {
        "context_length": 32,
        "vocab_size": 49408,
        "width": 8,
        "heads": 2,
        "layers": 1,
    },
}
PREPROCESS = {"mean": [0.45, 0.5, 0.55], "std": [0.25, 0.2, 0.3], "interpolation": "bicubic"}

FEATURE = 1e-5
"""Change of a feature when sums are taken in another order: a patch is a sum of 768 products with
an error of 2^-24 each, 5e-5 at worst and a tenth of that in practice."""


def make_clip_folder(folder: Path, seed: int = 0) -> Path:
    """Write a model with random weights in the form that `local-dir:FOLDER` reads."""
    import open_clip
    from safetensors.torch import save_file

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.CLIP(**MODEL)
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


@contextmanager
def forgetting_plugins() -> Iterator[None]:
    """Remove registrations of plug-in files at the end, as a new process would."""
    before = {catalog.kind: set(catalog.entries()) for catalog in (METHODS, DATASETS)}
    try:
        yield
    finally:
        for catalog in (METHODS, DATASETS):
            for name in set(catalog.entries()) - before[catalog.kind]:
                del catalog.entries()[name]
                catalog._classes.pop(name, None)
                fingerprints._fingerprint.cache_clear()  # the file may be another one next time


class ListedImages:
    """Images of any sizes, in the form that `Backbone.read` expects.

    Args:
        images: (H, W, 3) uint8 each.
    """

    def __init__(self, images: Sequence[NDArray[np.uint8]]) -> None:
        self._images = images

    def read(self, index: int) -> NDArray[np.uint8]:
        return self._images[index]


def pixels_of(backbone: Backbone, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """Inputs of the image tower for some images: (B, 3, S, S)."""
    return backbone.normalise(backbone.read(ListedImages(images), range(len(images))))


def load_on_cpu(
    name: str,
    transform: str = "checkpoint",
    *,
    offline: bool = False,
    image_size: int | None = None,
) -> Backbone:
    """Load a backbone on the CPU in fp32."""
    return backbones.load(
        name,
        device=torch.device("cpu"),
        precision="fp32",
        transform=transform,
        offline=offline,
        image_size=image_size,
    )
