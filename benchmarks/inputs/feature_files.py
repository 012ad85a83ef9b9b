"""Files of feature rows: safetensors with a checksum, written in parts and read as memory maps.

A file contains `features` (N, D) float32 and `sha256` (32,) uint8, the checksum of the file's name,
of N and D and of the rows. The format starts with a header (its length in 8 bytes, then JSON,
padded with spaces to a round length), followed by the tensors in order
(huggingface.co/docs/safetensors). A file can therefore be written without holding all rows in
memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from benchmarks.safe_files import replacing

_ALIGNMENT = 64
"""Bytes; rows that begin at a multiple of it are read in whole cache lines."""


def read_rows(file: Path) -> Tensor | None:
    """The (N, D) rows of a file as a memory map, or None if it is absent or damaged.

    The whole file is read once for the checksum, at about a gigabyte a second. The caller is about
    to read the rows anyway, and the checksum detects files that are truncated, half written or
    corrupt. Other processes share the memory; writing to the rows changes neither theirs nor the
    file.
    """
    try:
        with safe_open(file, framework="pt") as stored:
            rows: Tensor = stored.get_tensor("features")
            checksum = bytes(stored.get_tensor("sha256").tolist())
        digest = hashlib.sha256(_beginning(file, *rows.shape))
        digest.update(_bytes(rows))
    except (SafetensorError, OSError, RuntimeError, ValueError, TypeError):
        return None  # torch raises RuntimeError if the file has just been removed
    return rows if digest.digest() == checksum else None


def write_rows(file: Path, count: int, parts: Iterable[Tensor]) -> bool:
    """Write `count` rows; the file appears when it is complete.

    Args:
        file: where to write.
        count: N, the number of rows in all parts.
        parts: (n, D) float32 each.

    Returns:
        True if the file was written; False if the disk has no room for it or cannot be written to,
        and then no partial file remains.
    """
    try:
        with replacing(file) as stream:
            remaining = iter(parts)
            first = next(remaining)
            stream.write(_header(count, first.shape[1]))
            digest = hashlib.sha256(_beginning(file, count, first.shape[1]))
            for part in chain([first], remaining):
                data = _bytes(part)
                stream.write(data)
                digest.update(data)
            stream.write(digest.digest())
    except OSError:
        return False
    return True


def _beginning(file: Path, count: int, dim: int) -> bytes:
    """Return what the checksum covers besides the rows: they may not be those of another file."""
    return f"{file.stem} {count} {dim}\n".encode()


def _header(count: int, dim: int) -> bytes:
    size = 4 * count * dim
    tensors = {
        "features": {"dtype": "F32", "shape": [count, dim], "data_offsets": [0, size]},
        "sha256": {"dtype": "U8", "shape": [32], "data_offsets": [size, size + 32]},
    }
    text = json.dumps(tensors).encode()
    text += b" " * (-(len(text) + 8) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _bytes(rows: Tensor) -> memoryview:
    """The bytes of float32 rows, without a copy."""
    if rows.dtype != torch.float32:
        raise ValueError(f"rows of {rows.dtype}, float32 expected")
    return rows.contiguous().numpy().data.cast("B")
