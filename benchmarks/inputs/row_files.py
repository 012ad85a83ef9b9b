"""Files of feature rows: safetensors with a checksum, written row by row and read as memory maps.

A file holds `features` (N, D) float32 and `sha256` (32,) uint8 of their bytes. The format puts a
header in front (its length in 8 bytes, JSON, spaces up to a round length) and the tensors behind it
in order (huggingface.co/docs/safetensors), so that it can be written without holding the rows.
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

_ALIGNED = 64
"""Bytes; rows that begin at a multiple of it are read by whole cache lines."""


def read_rows(file: Path) -> Tensor | None:
    """The (N, D) rows of a file as a memory map, or None where it is absent or damaged.

    All of it is read once for the checksum, at about a gigabyte a second: whoever wants the rows
    reads them anyway, and is so protected from files that are cut, half written or gone bad. Other
    processes share the memory; writing to the rows changes neither theirs nor the file.
    """
    try:
        with safe_open(file, framework="pt") as stored:
            rows: Tensor = stored.get_tensor("features")
            checksum = bytes(stored.get_tensor("sha256").tolist())
    except (SafetensorError, OSError, RuntimeError, ValueError):
        return None  # RuntimeError: torch's word for a file that has just been removed
    return rows if hashlib.sha256(_bytes(rows)).digest() == checksum else None


def write_rows(file: Path, count: int, parts: Iterable[Tensor]) -> bool:
    """Write `count` rows, which come in parts (n, D) of float32, under another name and rename.

    Returns:
        Whether there was a place for them; if not, nothing is left behind.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            digest, left = hashlib.sha256(), iter(parts)
            first = next(left)
            stream.write(_header(count, first.shape[1]))
            for part in chain([first], left):
                data = _bytes(part)
                stream.write(data)
                digest.update(data)
            stream.write(digest.digest())
        os.replace(partial, file)
    except OSError:
        return False
    finally:  # also where the parts raise, or the user stops it; renamed it is not there any more
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
    text += b" " * (-(len(text) + 8) % _ALIGNED)
    return len(text).to_bytes(8, "little") + text


def _bytes(rows: Tensor) -> memoryview:
    """The bytes of float32 rows, which are not copied."""
    if rows.dtype != torch.float32:
        raise ValueError(f"rows of {rows.dtype}, float32 expected")
    return rows.contiguous().numpy().data.cast("B")
