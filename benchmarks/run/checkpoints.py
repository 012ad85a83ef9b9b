"""Training state of a cell on disk, from which an interrupted cell resumes.

A checkpoint is a convenience: if it is damaged or cannot be written, the cell is trained all the
same, and nothing is lost but time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.run.options import SECONDS_BETWEEN_CHECKPOINTS
from benchmarks.safe_files import (
    DamagedFile,
    reading_checked,
    remove_leftovers,
    replacing_checked,
)
from benchmarks.sweep.cell import Cell

RESTARTED = "its checkpoint was damaged: trained from the beginning"
"""Remark on a cell that could not resume."""
_REMEDY = "its cell is trained from the beginning"

_log = logging.getLogger(__name__)


class FileCheckpoint:
    """A `methods.base.Checkpoint` in one file, written at most every few seconds.

    Args:
        file: path of the file; its name is the cell's key.
        seconds: least time between two writes.
        batch: number of cells fitted together; each counts an equal share of the time.
        remarks: remarks on the cell; one is added if a damaged state is not used.
    """

    def __init__(
        self,
        file: Path,
        seconds: float = SECONDS_BETWEEN_CHECKPOINTS,
        batch: int = 1,
        remarks: list[str] | None = None,
    ) -> None:
        self._file = file
        self._batch = batch
        self._remarks = [] if remarks is None else remarks
        self._seconds = seconds
        self._started = self._last = time.monotonic()
        self.earlier_s = 0.0
        """Seconds of training behind the loaded state."""
        self._over: dict[str, Any] = {"stage": 0}
        """The stages that are over: their number, and what the next one needs of them."""
        self._saved = False

    def load(self) -> dict[str, Any] | None:
        """Return the saved state; None if there is none or, after a warning, if it is damaged."""
        state = self._read()
        over = self._over["stage"]
        if over and (state is None or state.get("stage", 0) < over):
            return dict(self._over)  # the end of the last stage could not be written
        if state is not None:
            self._over = {"stage": 0} | {k: state[k] for k in ("stage", "finished") if k in state}
        return state

    def _read(self) -> dict[str, Any] | None:
        try:
            with reading_checked(self._file, _REMEDY) as stream:
                saved = torch.load(stream, map_location="cpu", weights_only=True)
            # A folder may hold a file of another cell under this name.
            if saved["cell"] != self._file.stem:
                raise DamagedFile(self._file, _REMEDY)
            state, elapsed = dict(saved["state"]), float(saved["elapsed_s"])
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception:  # the reader's errors are of many types
            self._refuse()
            return None
        if not self._saved:  # what this object saved holds time that is not earlier
            self.earlier_s = elapsed
        return state

    def _refuse(self) -> None:
        if RESTARTED not in self._remarks:
            _log.warning("%s is damaged: %s.", self._file, _REMEDY)
            self._remarks.append(RESTARTED)

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the state; if the disk is full, training goes on without it.

        The end of a stage is always written, because the next stage starts from it.
        """
        now = time.monotonic()
        before, stage = self._over["stage"], state.get("stage", 0)
        if stage != before:
            self._over = dict(state)
        elif now - self._last < self._seconds:
            return
        elapsed = self.earlier_s + (now - self._started) / self._batch
        content = {"cell": self._file.stem, "state": dict(state), "elapsed_s": elapsed}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with replacing_checked(self._file) as stream:
                torch.save(content, stream)  # type: ignore[arg-type]
            self._saved = True
        except OSError as error:
            _warn_once(self._file.parent, error.strerror or str(error))
        self._last = time.monotonic()

    def trained(self, stage: int, state: Mapping[str, Any]) -> None:
        """Do nothing: a saved model has the function that follows from the state."""


@cache
def _warn_once(folder: Path, reason: str) -> None:
    _log.warning(
        "No checkpoint can be written to %s (%s): cells that are interrupted start over.",
        folder,
        reason,
    )


def checkpoint_file(out: Path, cell: Cell) -> Path:
    """Return the path of a cell's training state, which is removed once its record is written."""
    return out / "checkpoints" / f"{cell.key}.pt"


def remove_finished(out: Path, records: Path) -> None:
    """Remove what killed runs left in the folder of checkpoints.

    This is temporary files, and training states that are older than the record of their cell. A
    newer one belongs to a cell that was being run again.

    Args:
        out: folder of the run.
        records: folder of its records.
    """
    folder = out / "checkpoints"
    remove_leftovers(folder)
    for file in folder.glob("*.pt"):
        try:
            record = records / f"{file.stem}.json"
            if file.stat().st_mtime_ns <= record.stat().st_mtime_ns:
                file.unlink()
        except OSError:  # no record; or another run removes the same files
            continue
