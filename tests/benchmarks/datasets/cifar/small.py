"""CIFAR-10 with 20 and 3 images per class."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.datasets.base import DataSet
from benchmarks.datasets.families.cifar import Cifar10LT
from benchmarks.datasets.files.cifar_files import CIFAR10
from benchmarks.errors import UserError

TRAIN, TEST = 20, 3
CLASSES = CIFAR10.classes


def load(root: Path, **fields: object) -> DataSet:
    return Cifar10LT(imbalance=10, **fields).load(root, split_seed=0)  # type: ignore[arg-type]


def pack(tree: Path, archive: Path, prefix: str) -> Path:
    archive.parent.mkdir(exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        for split in ("test", "train"):
            tar.add(tree / "cifar10" / split, f"{prefix}{split}")
    return archive.parent


def copied(tree: Path, to: Path, ending: str) -> Path:
    """Copy a tree of PNG files with another ending, which says the format."""
    for file in sorted((tree / "cifar10").rglob("*.png")):
        place = (to / file.relative_to(tree)).with_suffix(ending)
        place.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(file) as image:
            image.save(place)
    return to


def content(dataset: DataSet) -> dict[str, bytes]:
    return {
        sid: split.images.read(i).tobytes()
        for split in (dataset.train, dataset.test)
        for i, sid in enumerate(split.ids)
    }


def one_line(error: pytest.ExceptionInfo[UserError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text
