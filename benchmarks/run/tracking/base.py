"""The interface of a tracker, for those of the suite and for users' own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.sweep.cell import Cell


@dataclass(frozen=True)
class Settings:
    """Settings of a run that trackers need."""

    out: Path
    """Folder of the records, absolute."""
    offline: bool = False
    """Do not use the network."""


@dataclass(frozen=True)
class TrackedCell:
    """A cell as trackers see it."""

    key: str
    """Name of its record. A cell that is run again, or goes on after an interruption, keeps it."""
    title: str
    """The cell in words, for example `lift · cifar100_lt · seed 0`."""
    label: str
    """Method, with the fields that the sweep's file sets for it; seeds share it."""
    dataset: str
    backbone: str
    seed: int
    config: Mapping[str, Any]
    """Every setting: fields of the method and, behind `data.`, of the data set, and the rest."""

    @classmethod
    def of(cls, cell: Cell) -> TrackedCell:
        """Return what trackers see of a cell."""
        rest = ("method", "seed", "split_seed", "protocol", "select", "precision", "transform")
        return cls(
            key=cell.key,
            title=cell.title,
            label=cell.label,
            dataset=cell.dataset,
            backbone=cell.backbone.name,
            seed=cell.seed,
            config={
                **{name: getattr(cell, name) for name in rest},
                **{"dataset": cell.dataset, "backbone": cell.backbone.name},
                **{f"data.{name}": value for name, value in cell.dataset_config.items()},
                **cell.config,
            },
        )


class Tracker:
    """A tracker; one object follows all cells of a run.

    Derive from it and override what you need. It lives in a process of its own. An exception ends
    the tracking of one cell and nothing else; a call that takes minutes ends the tracker. Several
    cells may be under way at the same time.

    Args:
        target: the text behind the colon of `--track`; empty without one.
        settings: of the run.

    Raises:
        UserError: it cannot work; the run does not begin.
    """

    def __init__(self, target: str, settings: Settings) -> None:
        self.target = target
        self.settings = settings

    def begin(self, cell: TrackedCell) -> Any:
        """Return an object that names the cell in the other calls.

        What an earlier attempt at the same key left behind is to be continued or replaced: all
        numbers of a cell that goes on after an interruption come again.
        """

    def log(self, run: Any, name: str, epoch: float, value: float) -> None:
        """Take a number of a cell.

        Args:
            run: what `begin` returned.
            name: `loss`, `validation` (0 to 1), `lr` or another curve of the method.
            epoch: epochs trained, from 1.
            value: a finite number.
        """

    def end(self, run: Any, record: Mapping[str, Any] | None) -> None:
        """Take the final record of a cell.

        Args:
            run: what `begin` returned.
            record: its record as docs/formats.md describes it; None if the run was interrupted.
        """

    def close(self) -> None:
        """End the work; every cell has ended."""


def final_values(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the single numbers of a record, such as `test/overall` and `cost/fit_s`."""
    found = {}
    for part, name in (("test", "metrics"), ("cost", "cost")):
        for field, value in (record.get(name) or {}).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[f"{part}/{field}"] = float(value)
    return found


def as_text(value: Any) -> Any:
    """Return a value of a configuration as a number, a truth value or a text."""
    return value if isinstance(value, bool | int | float | str) else str(value)
