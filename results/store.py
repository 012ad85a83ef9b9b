"""The store of records: for each cell one JSON file and one file of predictions.

Processes share only the folder. Each file is written under a temporary name and then renamed, so
that a reader sees a complete file or none. The predictions are renamed first, so that a record
implies them, and the record has their checksum, so that it is never taken for that of others. A
cell is done if a valid record says so, whatever else is in the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import hashlib
import io
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.errors import UserError
from benchmarks.safe_files import remove_leftovers, replacing
from results import correctness, record_file
from results import predictions as arrays_of
from results.correctness import CorrectnessBits
from results.predictions import Arrays, PredictionsError
from results.record_file import RecordFile
from results.schema import Record, RecordError, SchemaError

_AGAIN = "run the cell again with --rerun always"
ASIDE = ".unreadable"
"""End of the name of a file that could not be read and whose cell was computed again."""


class Store:
    """The records under `out/records`: `KEY.json`, and `KEY.npz` if the cell is done."""

    def __init__(self, out: Path) -> None:
        self.folder = Path(out) / "records"
        self._read: dict[str, tuple[tuple[int, ...], RecordFile]] = {}
        """Records by file name, each with the file's inode, size and time."""
        self.bits_file = Path(out) / correctness.FILE
        self._bits: CorrectnessBits | None = None

    def check_writable(self) -> None:
        """Create the folder and a file in it, so that a sweep fails now and not in an hour.

        Temporary files of processes that have ended are removed.

        Raises:
            UserError: the folder cannot be created or written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / "check"
            with replacing(probe):
                pass
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"Cannot write to {self.folder}: {error.strerror or error}. "
                "Choose another folder with --out."
            ) from error
        remove_leftovers(self.folder)

    def write(self, record: Record, predictions: Mapping[str, np.ndarray] | None) -> None:
        """Write a cell, replacing an earlier record of the same key.

        An earlier file that is no readable record stays, with `.unreadable` after its name.

        Args:
            record: the cell; its key is the file name.
            predictions: arrays by name as `results.predictions` describes, or None if the cell is
                not done.

        Raises:
            RecordError: the record or its predictions could not be read back, or it is done without
                predictions. Nothing is written.
            OSError: the disk is full or the folder is gone.
        """
        if (predictions is None) == (record.status == "done"):
            raise RecordError(
                "a cell must be written with predictions if it is done, and only then"
            )
        arrays = {name: np.asarray(array) for name, array in (predictions or {}).items()}
        for name, array in arrays.items():
            if array.dtype.hasobject:
                raise RecordError(f"predictions '{name}' hold Python objects")
        try:
            arrays_of.check(arrays, record)
        except PredictionsError as error:
            raise RecordError(f"predictions: {error}") from None
        text = record_file.checked_text(record)

        self.folder.mkdir(parents=True, exist_ok=True)
        json_file, npz_file = self._files(record.key)
        with self._turn() as my_turn:
            if predictions is None:
                with replacing(json_file) as stream:
                    stream.write(record_file.with_checksums(text, None).encode())
                    stream.flush()
                    my_turn()
                    self._set_aside(record.key)
                    npz_file.unlink(missing_ok=True)
                return
            # The predictions are renamed when the inner block ends, the record when the outer does.
            with replacing(json_file) as stream, replacing(npz_file) as binary:
                content = _packed(arrays)
                binary.write(content)
                binary.flush()
                checksum = hashlib.sha256(content).hexdigest()
                stream.write(record_file.with_checksums(text, checksum).encode())
                stream.flush()
                my_turn()
                self._set_aside(record.key)
                # Remove an earlier record first: it must not be paired with the new predictions.
                json_file.unlink(missing_ok=True)

    @contextmanager
    def _turn(self) -> Iterator[Callable[[], None]]:
        """Let one process at a time rename files; yields the function that waits for the turn.

        Otherwise the predictions of one and the record of another could be the last to be renamed.
        Where a file system has no locks, the checksum in the record shows such a pair.
        """
        folder = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:

            def wait() -> None:
                with contextlib.suppress(OSError):
                    fcntl.flock(folder, fcntl.LOCK_EX)

            yield wait
        finally:
            os.close(folder)  # ends the lock, as the end of the process does

    def _set_aside(self, key: str) -> None:
        """Keep the files of a key, under other names, if no version of a record can be read."""
        json_file, npz_file = self._files(key)
        if not os.path.lexists(json_file):
            found = [npz_file] if os.path.lexists(npz_file) and not npz_file.is_file() else []
        else:
            try:
                record_file.read(json_file)
                return
            except (OSError, RecordError):
                found = [file for file in (json_file, npz_file) if os.path.lexists(file)]
        for file in found:
            aside = file.with_name(file.name + ASIDE)
            number = 1
            while os.path.lexists(aside):
                number += 1
                aside = file.with_name(f"{file.name}{ASIDE}-{number}")
            os.rename(file, aside)

    def rename(self, old_key: str, record: Record) -> None:
        """Move a cell to another key; its predictions move with it.

        Args:
            old_key: key that the cell has in this folder.
            record: the cell as it shall be, with its new key.

        Raises:
            RecordError: there is no readable record of the old key.
            OSError: the disk is full or the folder cannot be written to.
        """
        old_json, old_npz = self._files(old_key)
        json_file, npz_file = self._files(record.key)
        old = record_file.read(old_json)
        with self._turn() as my_turn, replacing(json_file) as stream:
            stream.write(record_file.text_of(record, old.predictions_sha256).encode())
            stream.flush()
            my_turn()
            if old_npz.is_file():  # a record may be kept without its predictions
                os.replace(old_npz, npz_file)
        if json_file != old_json:
            old_json.unlink()

    def get(self, key: str) -> Record | None:
        """The record of a cell, or None if it is absent, damaged or lacks its predictions."""
        json_file, npz_file = self._files(key)
        try:
            record = record_file.read(json_file).record
        except (OSError, RecordError):
            return None
        return record if record.status != "done" or npz_file.is_file() else None

    def all(self) -> tuple[list[Record], list[str]]:
        """Every record in order of its key, and one line for each file that is not a record.

        Tables need no predictions, so a record without them is included.

        Raises:
            UserError: the folder cannot be read.
        """
        records, problems = [], []
        with _without_collector():
            for file in self.files():
                try:
                    records.append(self._loaded(file).record)
                except SchemaError as error:
                    problems.append(f"{file}: {error}")
                except (OSError, RecordError) as error:
                    problems.append(
                        f"{file}: {record_file.reason(error)}: a run of its cell computes it again "
                        f"and keeps this file as {file.name}{ASIDE}"
                    )
        return records, problems

    def files(self) -> list[Path]:
        """The files of records, readable or not, in order of their names.

        Raises:
            UserError: the folder cannot be read.
        """
        try:
            names = os.listdir(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise UserError(f"Cannot read {self.folder}: {error.strerror or error}.") from error
        # Hidden files are temporary ones, and macOS's copies of attributes.
        shown = (name for name in sorted(names) if not name.startswith("."))
        return [self.folder / name for name in shown if name.endswith(".json")]

    def _loaded(self, file: Path) -> RecordFile:
        """The record in a file, read again only if the file has changed."""
        stat = file.stat()
        state = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        before = self._read.get(file.name)
        if before is not None and before[0] == state:
            return before[1]
        found = record_file.read(file)
        self._read[file.name] = state, found
        return found

    def predictions(self, key: str, only: Collection[str] | None = None) -> Arrays:
        """The arrays written with a cell.

        Args:
            key: of the cell.
            only: names of the arrays to read, by default all. Those of its task must be there. A
                caller that names `right` takes the bits of `results.correctness` where the
                predictions are absent: `right` in place of `top5`, and as `scores` their order.

        Raises:
            UserError: the file is absent, damaged or not that of the cell's record.
        """
        json_file, file = self._files(key)
        stored: RecordFile | None = None
        try:
            stored = self._loaded(json_file)
            return arrays_of.read(file, stored.record, stored.predictions_sha256, only)
        except FileNotFoundError:
            bits = self._kept_bits(stored.record) if stored and "right" in (only or ()) else None
            if bits is None:
                raise UserError(f"No predictions at {file}: {_AGAIN}.") from None
            return bits
        except RecordError as error:
            raise UserError(f"{json_file}: {error}: {_AGAIN}.") from None
        except PredictionsError as error:
            raise UserError(f"Damaged predictions {file} ({error}): {_AGAIN}.") from None
        except OSError as error:
            raise UserError(f"Cannot read {file} ({error.strerror or error}): {_AGAIN}.") from None

    def _kept_bits(self, record: Record) -> Arrays | None:
        """The bits of a cell; None if the folder keeps none of it."""
        file = self.bits_file
        try:
            if self._bits is None:
                self._bits = CorrectnessBits(file)
            return self._bits.get(record) if self._bits.has(record.key) else None
        except FileNotFoundError:
            return None
        except PredictionsError as error:
            raise UserError(
                f"Damaged bits {file} ({error}): `git checkout` brings a committed file back; "
                "python -m benchmarks.tools.keep_bits writes a new one."
            ) from None
        except OSError as error:
            raise UserError(f"Cannot read {file}: {error.strerror or error}.") from None

    def _files(self, key: str) -> tuple[Path, Path]:
        return self.folder / f"{key}.json", self.folder / f"{key}.npz"


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keep the garbage collector from looking at all records again and again while they grow."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _packed(arrays: Arrays) -> memoryview:
    """The content of the file of predictions.

    It is put together in memory, because the zip format goes back and forth in a file.
    """
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getbuffer()


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
