"""Training state of a cell on disk, from which an interrupted cell resumes."""

from __future__ import annotations

import logging
import os
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.run.options import SECONDS_BETWEEN_CHECKPOINTS
from benchmarks.sweep.cell import Cell

_log = logging.getLogger(__name__)


class FileCheckpoint:
    """A `methods.base.Checkpoint` in one file, written at most every few seconds.

    Args:
        file: path of the file.
        seconds: least time between two writes.
        batch: number of cells fitted together; each counts an equal share of the time.
    """

    def __init__(
        self, file: Path, seconds: float = SECONDS_BETWEEN_CHECKPOINTS, batch: int = 1
    ) -> None:
        self._file = file
        self._batch = batch
        self._trained: dict[int, Mapping[str, Any]] = {}
        self._seconds = seconds
        self._started = self._last = time.monotonic()
        self.earlier_s = 0.0
        """Seconds of training behind the loaded state."""
        self._stages_over = 0

    def load(self) -> dict[str, Any] | None:
        """Return the saved state; None if there is none or, after a warning, if it is damaged."""
        if not self._file.is_file():
            return None
        if not zipfile.is_zipfile(self._file):  # the directory is at the end of the file
            _log.warning("%s is damaged: its cell is trained from the beginning.", self._file)
            return None
        saved: dict[str, Any] = torch.load(self._file, map_location="cpu", weights_only=True)
        self.earlier_s = saved["elapsed_s"]
        state: dict[str, Any] = saved["state"]
        self._stages_over = state.get("stage", 0)
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the state under another name, then rename it.

        The end of a stage is always written, because the next stage starts from it.
        """
        now = time.monotonic()
        before, self._stages_over = self._stages_over, state.get("stage", 0)
        if now - self._last < self._seconds and before == self._stages_over:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(f".{os.getpid()}.partial")
        elapsed = self.earlier_s + (now - self._started) / self._batch
        torch.save({"state": dict(state), "elapsed_s": elapsed}, partial)
        os.replace(partial, self._file)
        self._last = time.monotonic()

    def trained(self, stage: int, state: Mapping[str, Any]) -> None:
        """Remember the state for `stages`."""
        self._trained[stage] = state

    @property
    def stages(self) -> tuple[Mapping[str, Any], ...]:
        """States of the finished trainings, in order."""
        return tuple(self._trained[stage] for stage in sorted(self._trained))


def checkpoint_file(out: Path, cell: Cell) -> Path:
    """Return the path of a cell's training state, which is removed once its record is written."""
    return out / "checkpoints" / f"{cell.key}.pt"
