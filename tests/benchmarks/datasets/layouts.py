"""Small image files at the paths of public lists."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image


@cache
def jpeg(seed: int, width: int = 40, height: int = 36) -> bytes:
    """Return a JPEG of one colour and some noise, different for each seed."""
    random = np.random.default_rng(seed)
    base = random.integers(40, 216, 3)
    pixels = np.clip(base + random.integers(-30, 31, (height, width, 3)), 0, 255)
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, format="JPEG")
    return out.getvalue()


def place(root: Path, files: Iterable[str], *, images: bool = True) -> None:
    """Write images, the first 1,000 all different, or empty files if no test reads them."""
    for i, file in enumerate(files):
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(i % 1000) if images else b"")


def write_list(file: Path, lines: Iterable[str]) -> list[str]:
    """Write a list and return the paths of its lines."""
    lines = list(lines)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return [line.split(" ", 1)[0] for line in lines]


def first_of_each(file: Path, per_class: int, classes: int) -> list[str]:
    """Return the first `per_class` lines of the first classes of a `path label` list."""
    kept: dict[int, int] = {}
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        label = int(line.split()[1])
        if label < classes and kept.get(label, 0) < per_class:
            kept[label] = kept.get(label, 0) + 1
            lines.append(line)
    return lines
