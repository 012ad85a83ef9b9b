"""Files of features for other tools: Parquet or safetensors, with ids, labels and splits.

Both hold one row for each image, in the order of the splits, and a JSON text under the key
`longtail_vlm` of their metadata that says what the rows are. They are written in parts, so that the
rows are never all in memory, and appear when they are complete.

Parquet has the columns `id`, `split` (`train`, `validation` or `test`), `label` (an integer) or
`labels` (the list of the classes that are present), and `features` (a list of floats).

safetensors has no texts but in its metadata. The tensors are `labels` (N,) int64 or (N, C) uint8,
`features` (N, D) float32 and `split` (N,) uint8, an index into `SPLITS`; the metadata's key `ids`
holds the ids as a JSON list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import UserError
from benchmarks.safe_files import replacing

SPLITS = ("train", "validation", "test")
KEY = "longtail_vlm"
"""Key of what describes a file in its metadata."""
LONGEST_HEADER = 100_000_000
"""Bytes; the libraries refuse to read a longer header of a safetensors file."""
_ROWS = 65536
"""Rows that are converted at a time: 128 MB of 512 numbers each."""


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of one split."""

    split: str
    ids: Sequence[str]
    labels: NDArray[np.int64]
    """(N,) class indices, or (N, C) zeros and ones."""
    features: NDArray[np.float32]
    """(N, D)."""


def require_parquet(otherwise: str) -> None:
    """Refuse to go on without the package that writes Parquet.

    Args:
        otherwise: what the user can do without it, the end of the message.

    Raises:
        UserError: it is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise UserError(
            f"Parquet files need pyarrow: `pip install 'pyarrow>=17'`, or {otherwise}"
        ) from None


def write_export(file: Path, parts: Sequence[Part], about: Mapping[str, Any]) -> None:
    """Write a file of features in the format that its ending names.

    Args:
        file: ends in `.parquet` or `.safetensors`.
        parts: at least one, in the order of `SPLITS`.
        about: JSON values that say what the rows are.

    Raises:
        UserError: the file cannot be written, or its format cannot hold so many ids.
    """
    write = _write_parquet if file.suffix == ".parquet" else _write_safetensors
    try:
        write(file, parts, json.dumps(about))
    except OSError as error:
        raise UserError(f"Cannot write {file}: {error.strerror or error}.") from error


def _write_parquet(file: Path, parts: Sequence[Part], about: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    width = parts[0].features.shape[1]
    several = parts[0].labels.ndim == 2
    label = ("labels", pa.list_(pa.int64())) if several else ("label", pa.int64())
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("split", pa.string()),
            label,
            ("features", pa.list_(pa.float32(), width)),
        ],
        metadata={KEY: about},
    )
    with (
        replacing(file) as stream,
        parquet.ParquetWriter(stream, schema, use_dictionary=["split"]) as writer,
    ):
        for part in parts:
            for start in range(0, len(part.ids), _ROWS):
                rows = slice(start, start + _ROWS)
                found = part.labels[rows]
                flat = pa.array(part.features[rows].reshape(-1))
                columns = [
                    pa.array(part.ids[rows], pa.string()),
                    pa.array([part.split] * len(found), pa.string()),
                    pa.array([np.flatnonzero(row) for row in found] if several else found),
                    pa.FixedSizeListArray.from_arrays(flat, width),
                ]
                writer.write_table(pa.table(columns, schema=schema))


def _write_safetensors(file: Path, parts: Sequence[Part], about: str) -> None:
    count = sum(len(part.ids) for part in parts)
    kind = np.dtype("<i8") if parts[0].labels.ndim == 1 else np.dtype("u1")
    widths = parts[0].labels.shape[1:], parts[0].features.shape[1:]
    tensors: dict[str, Any] = {}
    end = 0
    for name, letter, size, shape in (
        ("labels", "I64" if kind.itemsize == 8 else "U8", kind.itemsize, widths[0]),
        ("features", "F32", 4, widths[1]),
        ("split", "U8", 1, ()),
    ):
        start, end = end, end + count * size * int(np.prod(shape, dtype=int))
        tensors[name] = {"dtype": letter, "shape": [count, *shape], "data_offsets": [start, end]}
    ids = json.dumps([one for part in parts for one in part.ids])
    header = json.dumps({"__metadata__": {KEY: about, "ids": ids}} | tensors).encode()
    header += b" " * (-len(header) % 8)
    if len(header) > LONGEST_HEADER:
        raise UserError(
            f"{file}: the names of {count} images are more than a safetensors file can hold; "
            "write FILE.parquet."
        )
    with replacing(file) as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        for part in parts:
            stream.write(part.labels.astype(kind).tobytes())
        for part in parts:
            for start in range(0, len(part.ids), _ROWS):
                stream.write(part.features[start : start + _ROWS].astype("<f4").tobytes())
        for part in parts:
            stream.write(bytes([SPLITS.index(part.split)]) * len(part.ids))
