"""Records and predictions of cells, made from their outcome."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.datasets.base import DataSet
from benchmarks.datasets.partitions import Partition, partition_of
from benchmarks.metrics import Metrics, multi_label_metrics, single_label_metrics
from benchmarks.multi_label import f1_at
from benchmarks.protocol import GROUPS, UNREPEATABLE, group_of
from benchmarks.run.border import Facts, Measured
from benchmarks.run.logits import likeliest
from benchmarks.run.provenance import provenance
from benchmarks.sweep.cell import Cell
from methods.base import measured
from methods.registry import info_of
from results.schema import Groups, Record, Selection, Status, recipe_note

Predictions = dict[str, NDArray[Any]]
Outcome = tuple[Record, Predictions | None]
"""A record and, if the cell is done, its predictions."""

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


def partition_of_cell(cell: Cell, data: DataSet) -> Partition | None:
    """Return the partition of the classes that the cell is to be reported by.

    Raises:
        UserError: its file cannot be used, or does not fit the classes.
    """
    if not cell.partition_as_typed:
        return None
    return partition_of(
        cell.partition_as_typed, "--groups", cell.dataset, cell.dataset_config,
        data.texts.class_names,
    )  # fmt: skip


class Recorder:
    """Scores the results of cells that share a data set and a backbone, and makes their records.

    Args:
        data: the data set, with test labels.
        facts: facts about the bench that the cells were fitted on.
        out: folder of the run; tracebacks and output are written to its `logs`.
        save_logits: keep all logits with the predictions.
    """

    def __init__(self, data: DataSet, facts: Facts, out: Path, *, save_logits: bool) -> None:
        self._data = data
        self._facts = facts
        self._logs = out / "logs"
        self._save_logits = save_logits

    @property
    def logits_shape(self) -> tuple[int, int]:
        """(N, C) of the logits of a cell."""
        return len(self._data.test), self._data.num_classes

    def outcome(self, cell: Cell, measured: Measured) -> Outcome:
        """Return the record of a cell and its predictions."""
        started = measured.started
        with contextlib.suppress(OSError):
            self._log(cell).unlink(missing_ok=True)  # of an earlier run
        if measured.status == "not_applicable":
            return self._record(
                cell, status="not_applicable", started=started, error=measured.error
            ), None
        if measured.status == "done":
            return self._done(cell, measured)
        return self.failed(cell, measured.error, started, details=measured.details), None

    def failed(self, cell: Cell, reason: str, started: str, *, details: str = "") -> Record:
        """Return the record of a cell that failed, and write the traceback to its log."""
        if details:
            self._write_log(cell, details)
            reason = f"{reason} (see logs/{self._log(cell).name})"
        return self._record(cell, status="failed", started=started, error=reason)

    def keep_output(self, cells: Sequence[Cell], output: str) -> None:
        """Add to the logs of a batch what was printed while it was fitted."""
        for cell in cells if output else ():
            self._write_log(cell, f"---- output ----\n{output}", mode="a")

    def _log(self, cell: Cell) -> Path:
        return self._logs / f"{cell.key}.txt"

    def _write_log(self, cell: Cell, text: str, mode: str = "w") -> None:
        # A log is a help; a disk that takes none of it shows when the record is written.
        with contextlib.suppress(OSError):
            self._logs.mkdir(parents=True, exist_ok=True)
            with self._log(cell).open(mode, encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(text)

    def _done(self, cell: Cell, measured: Measured) -> Outcome:
        """Return the record of a finished cell and its predictions."""
        logits, cost = measured.logits, measured.cost
        assert logits is not None and cost is not None
        groups = membership(self._data, cell)
        partition = partition_of_cell(cell, self._data)
        if self._data.task == "single":
            metrics, predictions = self._single_label(logits, groups)
        else:
            metrics, predictions = self._multi_label(logits, groups, measured.thresholds)
        predictions["ids"] = np.array(self._data.test.ids)
        if self._save_logits:
            predictions["logits"] = logits.numpy()
        source = self._data.validation_source if cell.select == "val" else "last epoch"
        record = self._record(
            cell,
            status="done",
            started=measured.started,
            notes=tuple(dict.fromkeys([*measured.notes, *self._notes(cell)])),
            details=measured.remarks,
            curves=measured.curves,
            metrics=metrics,
            groups=Groups(
                rule=cell.groups,
                **{name: int((groups == name).sum()) for name in GROUPS},
                train_counts=tuple(int(n) for n in self._data.counts),
                membership=tuple(str(g) for g in groups),
                named=() if partition is None else partition.membership,
                order=() if partition is None else partition.groups,
            ),
            selection=Selection(cell.select, source),
            cost=dataclasses.replace(cost, tuning_trials=cell.tuning.trials if cell.tuning else 0),
        )
        return record, predictions

    def _notes(self, cell: Cell) -> list[str]:
        """Return the footnotes that do not depend on the run."""
        notes = [*cell.family.notes(), *self._data.notes, *self._data.gaps]
        if reconstruction := info_of(cell.method).reconstruction_on(self._data.task):
            notes.append(reconstruction)
        if not self._facts.deterministic_algorithms:
            notes.append(UNREPEATABLE)
        if cell.tuning is not None:
            notes.append(recipe_note(cell.tuning))
        return notes

    def _single_label(
        self, logits: Tensor, groups: NDArray[np.str_]
    ) -> tuple[Metrics, Predictions]:
        labels = self._data.test.labels
        top, probability, true = likeliest(logits, labels)
        predicted, tree = top[:, 0], self._data.tree
        metrics = single_label_metrics(
            predicted, probability[:, 0], labels, groups,
            heights=None if tree is None else tree.heights(predicted, labels),
        )  # fmt: skip
        return metrics, {
            "labels": labels.astype(np.int32),
            "top5": top.astype(np.int32),
            "top5_prob": probability.astype(np.float32),
            "true_prob": true.astype(np.float32),
        }

    def _multi_label(
        self, logits: Tensor, groups: NDArray[np.str_], thresholds: Sequence[float | None]
    ) -> tuple[Metrics, Predictions]:
        labels = self._data.test.labels
        f1 = f1_at(thresholds, logits.numpy(), labels) if thresholds else None
        # Metrics are computed from the scores that are stored, so that tests on them agree.
        scores = measured(logits, self._data.scores).numpy()
        return multi_label_metrics(scores, labels, groups, f1), {
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
            class_keys=data.class_keys,
            nearest=self._facts.nearest,
            provenance=provenance(
                self._facts,
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
