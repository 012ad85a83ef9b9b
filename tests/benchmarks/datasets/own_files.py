"""Helpers that write a user's own data and read it as a sweep does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from benchmarks.datasets import registry
from benchmarks.datasets.base import DataSet, Family
from benchmarks.plugins.values import apply_fields


def image(path: Path, colour: tuple[int, int, int] = (9, 99, 200)) -> Path:
    """Write a small image of one colour; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 6, 3), colour, dtype=np.uint8)).save(path)
    return path


def tree(root: Path, counts: Mapping[str, int]) -> None:
    """Write `counts[folder]` images into each folder under `root`: 0.png, 1.png and so on."""
    for i, (folder, count) in enumerate(counts.items()):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            image(root / folder / f"{n}.png", (40 * i % 256, n % 256, 7))


def table(root: Path, text: str, *, images: bool = True, name: str = "labels.csv") -> Path:
    """Write a table, and an image for the path before the first comma of each line."""
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8", newline="")
    for line in text.splitlines()[1:] if images else []:
        path = line.split(",")[0].strip()
        if path:
            image(root / path)
    return root / name


def describe(root: Path, name: str = "birds", **keys: Any) -> str:
    """Write `NAME.yaml` with these keys; returns its path as a user types it."""
    root.mkdir(parents=True, exist_ok=True)
    file = root / f"{name}.yaml"
    file.write_text(yaml.safe_dump(keys, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return str(file)


def family(typed: str, **fields: Any) -> Family:
    """The data set that a sweep makes from the path of a description."""
    cls, given = registry.resolve(typed)
    found: Family = cls(**apply_fields(f"data set {typed}", cls, given | fields))
    return found.resolve(Path("data"))


def load(typed: str, split_seed: int = 0, **fields: Any) -> DataSet:
    return family(typed, **fields).load(Path("data"), split_seed)
