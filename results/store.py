"""The store of records: for each cell one JSON file and one file of predictions.

Processes share only the folder. Each file is written under a temporary name and then renamed, so
that a reader sees a complete file or none. The predictions are renamed first, so that a record
implies them. A cell is done if a valid record says so, whatever else is in the folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
import zipfile
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np

from benchmarks.errors import UserError
from results.schema import Record, RecordError

_AGAIN = "run the cell again with --rerun always"


class Store:
    """The records under `out/records`: `KEY.json`, and `KEY.npz` if the cell is done.

    Predictions, single-label: `ids` (N,), `labels` (N,), `top5` (N, ≤5) class indices, `top5_prob`
    (N, ≤5), `true_prob` (N,). Multi-label: `ids` (N,), `labels` (N, C), `scores` (N, C) float32,
    from which average precision is computed (the log-softmax if the data set asks for a softmax).
    """

    def __init__(self, out: Path) -> None:
        self.folder = Path(out) / "records"
        self._read: dict[str, tuple[tuple[int, ...], Record]] = {}
        """Records by file name, each with the file's inode, size and time."""

    def check_writable(self) -> None:
        """Create the folder and a file in it, so that a sweep fails now and not in an hour.

        Raises:
            UserError: the folder cannot be created or written to.
        """
        probe = self._temporary("check")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"Cannot write to {self.folder}: {error.strerror or error}. "
                "Choose another folder with --out."
            ) from error

    def write(self, record: Record, predictions: Mapping[str, np.ndarray] | None) -> None:
        """Write a cell, replacing an earlier record of the same key.

        Args:
            record: the cell; its key is the file name.
            predictions: arrays by name as the class describes, or None if the cell is not done.

        Raises:
            RecordError: the record could not be read back, is done without predictions, or an array
                holds Python objects. Nothing is written.
            OSError: the disk is full or the folder is gone.
        """
        text = _dump(record)
        Record.from_json(json.loads(text))
        if (predictions is None) == (record.status == "done"):
            raise RecordError(
                "a cell must be written with predictions if it is done, and only then"
            )
        arrays = {name: np.asarray(array) for name, array in (predictions or {}).items()}
        for name, array in arrays.items():
            if array.dtype.hasobject:
                raise RecordError(f"predictions '{name}' hold Python objects")

        self.folder.mkdir(parents=True, exist_ok=True)
        json_file, npz_file = self._files(record.key)
        json_temporary, npz_temporary = self._temporary(record.key), self._temporary(record.key)
        try:
            with open(json_temporary, "w", encoding="utf-8") as stream:
                stream.write(text)
                _flush(stream)
            if predictions is not None:
                with open(npz_temporary, "wb") as binary:
                    np.savez_compressed(binary, **arrays)  # type: ignore[arg-type]
                    _flush(binary)
            # Remove an earlier record first: it must not be paired with the new predictions.
            json_file.unlink(missing_ok=True)
            if predictions is not None:
                os.replace(npz_temporary, npz_file)
            else:
                npz_file.unlink(missing_ok=True)
            os.replace(json_temporary, json_file)
        finally:
            json_temporary.unlink(missing_ok=True)
            npz_temporary.unlink(missing_ok=True)

    def rename(self, old_key: str, record: Record) -> None:
        """Move a cell to another key; its predictions move with it.

        Args:
            old_key: key that the cell has in this folder.
            record: the cell as it shall be, with its new key.
        """
        old_json, old_npz = self._files(old_key)
        json_file, npz_file = self._files(record.key)
        temporary = self._temporary(record.key)
        try:
            with open(temporary, "w", encoding="utf-8") as stream:
                stream.write(_dump(record))
                _flush(stream)
            if old_npz.is_file():  # a record may be kept without its predictions
                os.replace(old_npz, npz_file)
            os.replace(temporary, json_file)
            if json_file != old_json:
                old_json.unlink()
        finally:
            temporary.unlink(missing_ok=True)

    def get(self, key: str) -> Record | None:
        """The record of a cell, or None if it is absent, damaged or lacks its predictions."""
        json_file, npz_file = self._files(key)
        try:
            record = _load(json_file)
        except (OSError, RecordError):
            return None
        return record if record.status != "done" or npz_file.is_file() else None

    def all(self) -> tuple[list[Record], list[str]]:
        """Every record in order of its key, and one line for each file that is not a record.

        Tables need no predictions, so a record without them is included.
        """
        records, problems = [], []
        for file in sorted(self.folder.glob("*.json")):
            try:
                records.append(self._loaded(file))
            except (OSError, RecordError) as error:
                problems.append(f"{file}: {error}")
        return records, problems

    def _loaded(self, file: Path) -> Record:
        """The record in a file, read again only if the file has changed."""
        stat = file.stat()
        state = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        before = self._read.get(file.name)
        if before is not None and before[0] == state:
            return before[1]
        record = _load(file)
        self._read[file.name] = state, record
        return record

    def predictions(self, key: str, only: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """The arrays written with a cell: all of them, or `only` those with these names.

        Raises:
            UserError: the file is absent or damaged.
        """
        file = self._files(key)[1]
        try:
            with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as data:
                return {name: data[name] for name in data.files if only is None or name in only}
        except FileNotFoundError:
            raise UserError(f"No predictions at {file}: {_AGAIN}.") from None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"Damaged predictions {file} ({error}): {_AGAIN}.") from error

    def _files(self, key: str) -> tuple[Path, Path]:
        return self.folder / f"{key}.json", self.folder / f"{key}.npz"

    def _temporary(self, key: str) -> Path:
        # Not `tempfile`: its files are private to the user, but a group may share results.
        return self.folder / f".{key}.{uuid.uuid4().hex}.tmp"


def preference(record: Record) -> tuple[bool, datetime, str]:
    """Sort key for records of one cell: the one that sorts last is used.

    A done record goes before any other, then the one that finished last (an unknown time is the
    oldest); the key breaks ties, so that the order of the records does not matter.
    """
    finished = datetime.min.replace(tzinfo=UTC)
    if record.provenance is not None:
        with contextlib.suppress(ValueError):
            finished = datetime.fromisoformat(record.provenance.finished)
        if finished.tzinfo is None:
            finished = finished.replace(tzinfo=UTC)
    return record.status == "done", finished, record.key


def _dump(record: Record) -> str:
    """JSON with one line for each top-level field, and not one for each of 1,000 classes."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}"
        for name, value in record.to_json().items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _load(file: Path) -> Record:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecordError(f"not JSON ({error}): delete it and run the cell again") from None
    record = Record.from_json(data)
    if record.key != file.stem:
        raise RecordError(f"contains the record of another cell, {record.key}")
    return record


def _flush(stream: IO[Any]) -> None:
    """Put the data on disk before the rename, so that a power cut cannot leave an empty file."""
    stream.flush()
    os.fsync(stream.fileno())
