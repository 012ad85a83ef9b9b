"""Helpers that write tar archives of samples, as WebDataset does."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def encoded(value: int, kind: str = "PNG") -> bytes:
    """A small image whose pixels all are `value`, in lossless PNG by default."""
    out = io.BytesIO()
    Image.fromarray(np.full((4, 6, 3), value, dtype=np.uint8)).save(out, kind)
    return out.getvalue()


def shard(file: Path, members: Mapping[str, bytes | str]) -> Path:
    """Write a tar archive of these members, in their order."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file


def flowers(root: Path) -> None:
    """Write `flowers-000.tar` and `flowers-001.tar`: ten images of classes 0 and 1, five each.

    Image n, which is in shard n // 5, has pixels of value 10 · n and class n % 2.
    """
    for part in range(2):
        samples: dict[str, bytes | str] = {}
        for n in range(5 * part, 5 * part + 5):
            samples[f"{n:03}.png"] = encoded(10 * n)
            samples[f"{n:03}.cls"] = str(n % 2)
        shard(root / f"flowers-{part:03}.tar", samples)
