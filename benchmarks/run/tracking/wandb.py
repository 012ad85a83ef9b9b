"""Weights & Biases: a run for each cell, whose id is the cell's key; seeds share a group."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.run.tracking.base import Settings, TrackedCell, Tracker, final_values

PROJECT = "longtail-vlm"


class WeightsAndBiases(Tracker):
    """Curves as history, final numbers as summary, the record as a file.

    A cell that is run again continues its run: of epochs that are there already, W&B keeps the
    first numbers. Its variables (`WANDB_MODE`, `WANDB_DIR`, …) hold.

    Args:
        target: PROJECT or ENTITY/PROJECT.
        settings: of the run.
    """

    def __init__(self, target: str, settings: Settings) -> None:
        import wandb

        super().__init__(target, settings)
        self._wandb: Any = wandb
        self._entity, _, self._project = target.rpartition("/")

    def begin(self, cell: TrackedCell) -> Any:
        run = self._wandb.init(
            project=self._project or PROJECT,
            entity=self._entity or None,
            id=cell.key,
            name=cell.title,
            group=f"{cell.label} · {cell.dataset} · {cell.backbone}",
            config=dict(cell.config),
            dir=self.settings.out,
            mode="offline" if self.settings.offline else None,
            resume="allow",
            reinit="create_new",  # cells that are fitted together have runs at the same time
            settings=self._wandb.Settings(silent=True, console="off"),
        )
        run.define_metric("*", step_metric="epoch")
        return run

    def log(self, run: Any, name: str, epoch: float, value: float) -> None:
        run.log({"epoch": epoch, name: value}, step=int(epoch))

    def end(self, run: Any, record: Mapping[str, Any] | None) -> None:
        if record is not None:
            run.summary.update({"status": record["status"], **final_values(record)})
            text = json.dumps(record, indent=1)
            (Path(run.dir) / "record.json").write_text(text, encoding="utf-8")
        run.finish(exit_code=int(record is None or record["status"] == "failed"))

    def close(self) -> None:
        self._wandb.teardown()
