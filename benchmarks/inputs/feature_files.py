"""Files of feature rows: safetensors with a checksum, written in parts and read as memory maps.

A file contains `features` (N, D) float32 and `sha256` (32,) uint8 of their bytes. The format starts
with a header (its length in 8 bytes, then JSON, padded with spaces to a round length), followed by
the tensors in order (huggingface.co/docs/safetensors). A file can therefore be written without
holding all rows in memory.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

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
    except (SafetensorError, OSError, RuntimeError, ValueError):
        return None  # torch raises RuntimeError if the file has just been removed
    return rows if hashlib.sha256(_bytes(rows)).digest() == checksum else None


def write_rows(file: Path, count: int, parts: Iterable[Tensor]) -> bool:
    """Write `count` rows to a temporary file and rename it.

    Args:
        file: where to write.
        count: N, the number of rows in all parts.
        parts: (n, D) float32 each.

    Returns:
        True if the file was written; False if the disk has no room for it or cannot be written to,
        and then no partial file remains.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            digest, remaining = hashlib.sha256(), iter(parts)
            first = next(remaining)
            stream.write(_header(count, first.shape[1]))
            for part in chain([first], remaining):
                data = _bytes(part)
                stream.write(data)
                digest.update(data)
            stream.write(digest.digest())
        os.replace(partial, file)
    except OSError:
        return False
    finally:  # also if the parts raise or the user interrupts; after the rename nothing is left
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return True


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
