"""Records and predictions of cells, made from their outcome."""

from __future__ import annotations

import dataclasses
import datetime
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.backbones import Backbone
from benchmarks.datasets.base import DataSet
from benchmarks.errors import UserError
from benchmarks.metrics import Metrics, multi_label_metrics, single_label_metrics
from benchmarks.protocol import GROUPS, UNREPEATABLE, group_of
from benchmarks.run.logits import likeliest
from benchmarks.run.provenance import provenance
from benchmarks.sweep.cell import Cell
from methods.registry import info_of
from results.schema import Cost, Groups, Record, Selection, Status

Predictions = dict[str, NDArray[Any]]

_MEASURED = ("groups", "backbone")
"""Fields of a record that have a cell's name and another type."""
_OF_THE_CELL = tuple(
    field.name
    for field in dataclasses.fields(Record)
    if field.name not in _MEASURED
    and (field.name in Cell.__dataclass_fields__ or hasattr(Cell, field.name))
)
"""Fields that a record takes from its cell unchanged."""


def membership(data: DataSet, cell: Cell) -> NDArray[np.str_]:
    """Return the group of each class, (C,), by the cell's rule."""
    counts = data.counts if data.group_counts is None else data.group_counts
    return group_of(counts, cell.groups, data.facts.get("rank"))


class Recorder:
    """Makes the records of cells that share a data set and a backbone.

    Args:
        data: the data set.
        backbone: the backbone.
        out: folder of the run; tracebacks are written to its `logs`.
        save_logits: keep all logits with the predictions.
    """

    def __init__(self, data: DataSet, backbone: Backbone, out: Path, *, save_logits: bool) -> None:
        self._data = data
        self._backbone = backbone
        self._out = out
        self._save_logits = save_logits

    def done(
        self, cell: Cell, logits: Tensor, cost: Cost, notes: list[str], started: str
    ) -> tuple[Record, Predictions]:
        """Return the record of a finished cell and its predictions.

        Args:
            cell: the cell.
            logits: (N, C) float32 test logits.
            cost: its cost.
            notes: footnotes from the run.
            started: time at which it started.

        Raises:
            RecordError: a plug-in's value (a NaN, a tensor) that no record can hold.
        """
        groups = membership(self._data, cell)
        measure = self._single_label if self._data.task == "single" else self._multi_label
        metrics, predictions = measure(logits, groups)
        predictions["ids"] = np.array(self._data.test.ids)
        if self._save_logits:
            predictions["logits"] = logits.numpy()
        source = self._data.validation_source if cell.select == "val" else "last epoch"
        record = self._record(
            cell,
            status="done",
            started=started,
            notes=tuple(dict.fromkeys([*notes, *self._notes(cell)])),
            metrics=metrics,
            groups=Groups(
                rule=cell.groups,
                **{name: int((groups == name).sum()) for name in GROUPS},
                train_counts=tuple(int(n) for n in self._data.counts),
                membership=tuple(str(g) for g in groups),
            ),
            selection=Selection(cell.select, source),
            cost=cost,
        )
        record.to_json()  # raises here, where the cell can still be recorded as failed
        return record, predictions

    def not_applicable(self, cell: Cell, reason: str, started: str) -> Record:
        """Return the record of a cell whose method does not serve its data."""
        return self._record(cell, status="not_applicable", started=started, error=reason)

    def failed(self, cell: Cell, error: Exception, started: str) -> Record:
        """Return the record of a cell that raised, and write the traceback to a file."""
        folder = self._out / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"{cell.key}.txt"
        log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        line = " ".join(str(error).split())
        if not isinstance(error, UserError):  # a UserError's line needs no type
            line = f"{type(error).__name__}: {line}"
        line = f"{line} (see logs/{log.name})"
        return self._record(cell, status="failed", started=started, error=line)

    def _notes(self, cell: Cell) -> list[str]:
        """Return the footnotes that do not depend on the run."""
        notes = [*cell.family.notes(), *self._data.notes, *self._data.gaps]
        if reconstruction := info_of(cell.method).reconstruction:
            notes.append(reconstruction)
        if not torch.are_deterministic_algorithms_enabled():
            notes.append(UNREPEATABLE)
        if cell.tuning is not None:
            notes.append(f"{', '.join(cell.tuning.fields)} from a recipe: {cell.tuning.origin}")
        return notes

    def _single_label(
        self, logits: Tensor, groups: NDArray[np.str_]
    ) -> tuple[Metrics, Predictions]:
        labels = self._data.test.labels
        top, probability, true = likeliest(logits, labels)
        metrics = single_label_metrics(top[:, 0], probability[:, 0], labels, groups)
        return metrics, {
            "labels": labels.astype(np.int32),
            "top5": top.astype(np.int32),
            "top5_prob": probability.astype(np.float32),
            "true_prob": true.astype(np.float32),
        }

    def _multi_label(self, logits: Tensor, groups: NDArray[np.str_]) -> tuple[Metrics, Predictions]:
        labels = self._data.test.labels
        if self._data.scores == "softmax":
            # The logarithm keeps the order and avoids the ties of rounded small probabilities.
            logits = logits.double().log_softmax(-1).float()
        # Metrics are computed from the scores that are stored, so that tests on them agree.
        scores = logits.numpy()
        return multi_label_metrics(scores, labels, groups), {
            "labels": labels.astype(np.int8),
            "scores": scores,
        }

    def _record(
        self, cell: Cell, *, status: Status, started: str, error: str | None = None, **rest: Any
    ) -> Record:
        data = self._data
        return Record(
            **{name: getattr(cell, name) for name in _OF_THE_CELL},
            backbone=cell.backbone.name,
            status=status,
            error=error,
            task=data.task,
            dataset_version=data.version,
            recipe=data.recipe,
            class_names=data.texts.class_names,
            provenance=provenance(
                self._backbone,
                text_hash=data.texts.digest,
                split_hash=data.split_hash,
                fingerprint=cell.fingerprint,
                started=started,
                finished=now(),
            ),
            **rest,
        )


def now() -> str:
    """Return the time in UTC, in the format of records."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
