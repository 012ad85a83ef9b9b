"""TensorBoard: a folder of event files for each cell, `DIR/DATA SET/METHOD/seed-0-KEY`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError
from benchmarks.file_names import safe
from benchmarks.run.tracking.base import Settings, TrackedCell, Tracker, as_text, final_values
from benchmarks.safe_files import clock_of


class TensorBoard(Tracker):
    """Scalars by epoch, the record as a text, and an entry of the tab HPARAMS.

    Event files of an earlier attempt at a cell are removed.
    """

    def __init__(self, target: str, settings: Settings) -> None:
        from torch.utils.tensorboard import SummaryWriter

        super().__init__(target, settings)
        self._writer: Any = SummaryWriter
        self._folder = Path(target) if target else settings.out / "tensorboard"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            clock_of(self._folder)  # writes a file
        except OSError as error:
            raise UserError(f"cannot write to {self._folder}: {error.strerror}") from error

    def begin(self, cell: TrackedCell) -> Any:
        name = f"seed-{cell.seed}-{cell.key[:8]}"
        folder = self._folder / safe(cell.dataset) / safe(cell.label) / name
        for file in folder.glob("events.out.tfevents.*"):
            file.unlink()
        return cell, self._writer(str(folder))

    def log(self, run: Any, name: str, epoch: float, value: float) -> None:
        _, writer = run
        writer.add_scalar(name, value, int(epoch))
        writer.flush()

    def end(self, run: Any, record: Mapping[str, Any] | None) -> None:
        cell, writer = run
        if record is not None:
            epochs = (record.get("cost") or {}).get("epochs", 0)
            text = json.dumps(record, indent=1)
            writer.add_text("record", f"{record['status']}\n\n```json\n{text}\n```", epochs)
            config = {name: as_text(value) for name, value in cell.config.items()}
            writer.add_hparams(config, final_values(record), run_name=".", global_step=epochs)
        writer.close()
