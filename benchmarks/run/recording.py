"""From a cell's outcome to its record and predictions."""

from __future__ import annotations

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
from benchmarks.run.provenance import provenance
from benchmarks.sweep.cell import Cell
from methods.registry import info_of
from results.schema import Cost, Groups, Record, Selection

Predictions = dict[str, NDArray[Any]]
TOP = 5
"""Likeliest classes that are kept of each test image."""
ROWS = 1024
"""Test images whose probabilities are held at a time."""


def membership(data: DataSet, cell: Cell) -> NDArray[np.str_]:
    """(C,) the group of each class by the cell's rule."""
    counts = data.counts if data.group_counts is None else data.group_counts
    return group_of(counts, cell.groups, data.facts.get("rank"))


class Recorder:
    """Makes the records of cells that share a data set and a backbone.

    Args:
        data: the data set.
        backbone: the backbone.
        out: folder of the run; tracebacks go to its `logs`.
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
        """The record of a finished cell and what it predicted.

        Args:
            cell: the cell.
            logits: (N, C) float32 test logits.
            cost: what it cost.
            notes: footnotes of the run.
            started: when it started.

        Raises:
            RecordError: a plug-in's value (a NaN, a tensor) that no record can hold.
        """
        groups = membership(self._data, cell)
        measured = self._single_label if self._data.task == "single" else self._multi_label
        metrics, predictions = measured(logits, groups)
        predictions["ids"] = np.array(self._data.test.ids)
        if self._save_logits:
            predictions["logits"] = logits.numpy()
        own_reading = info_of(cell.method).reconstruction
        standing = [*cell.family.notes(), *self._data.notes, *self._data.gaps]
        standing += [own_reading] if own_reading else []
        if not torch.are_deterministic_algorithms_enabled():
            standing.append(UNREPEATABLE)
        if cell.tuning is not None:
            standing.append(f"{', '.join(cell.tuning.fields)} from a recipe: {cell.tuning.origin}")
        source = self._data.validation_source if cell.select == "val" else "last epoch"
        record = self._outline(
            cell,
            status="done",
            started=started,
            notes=tuple(dict.fromkeys([*notes, *standing])),
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
        record.to_json()
        return record, predictions

    def _single_label(
        self, logits: Tensor, groups: NDArray[np.str_]
    ) -> tuple[Metrics, Predictions]:
        labels = self._data.test.labels
        top, probability, true = ranked(logits, labels)
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
            # Its logarithm: the same order, without the ties that small numbers would round to.
            logits = logits.double().log_softmax(-1).float()
        # What is stored is what was measured: tests on it give the same numbers.
        scores = logits.numpy()
        return multi_label_metrics(scores, labels, groups), {
            "labels": labels.astype(np.int8),
            "scores": scores,
        }

    def not_applicable(self, cell: Cell, reason: str, started: str) -> Record:
        """The record of a cell whose method cannot serve it."""
        return self._outline(cell, status="not_applicable", started=started, error=reason)

    def failed(self, cell: Cell, error: Exception, started: str) -> Record:
        """The record of a cell that raised; the traceback goes to a file."""
        folder = self._out / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"{cell.key}.txt"
        log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        line = " ".join(str(error).split())
        if not isinstance(error, UserError):  # that one's line is written to be read alone
            line = f"{type(error).__name__}: {line}"
        said = f"{line} (see logs/{log.name})"
        return self._outline(cell, status="failed", started=started, error=said)

    def _outline(
        self, cell: Cell, *, status: str, started: str, error: str | None = None, **rest: Any
    ) -> Record:
        data = self._data
        return Record(
            key=cell.key,
            identity=cell.identity,
            status=status,  # type: ignore[arg-type]
            error=error,
            method=cell.method,
            dataset=cell.dataset,
            task=data.task,
            dataset_version=data.version,
            recipe=data.recipe,
            backbone=cell.backbone.name,
            seed=cell.seed,
            split_seed=cell.split_seed,
            protocol=cell.protocol,
            precision=cell.precision,
            transform=cell.transform,
            remark=cell.remark,
            tuning=cell.tuning,
            deterministic=cell.deterministic,
            config=cell.config,
            dataset_config=cell.dataset_config,
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


def ranked(
    logits: Tensor, labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """The likeliest classes, of equally likely ones the first.

    A part of the images at a time: all probabilities of iNaturalist's 24,426 images and 8,142
    classes are 1.6 GB in double precision.

    Args:
        logits: (N, C) float32.
        labels: (N,) true classes.

    Returns:
        (N, K) their indices, (N, K) their probabilities, (N,) those of the true classes; K is 5, or
        C where there are fewer.
    """
    best = min(TOP, logits.shape[1])
    top = np.empty((len(labels), best), dtype=np.int64)
    probability, true = np.empty(top.shape), np.empty(len(labels))
    for start in range(0, len(labels), ROWS):
        part = slice(start, start + ROWS)
        left = logits[part].softmax(-1, dtype=torch.float64).numpy()
        every = np.arange(len(left))
        true[part] = left[every, labels[part]]
        for rank in range(best):
            first = left.argmax(1)
            top[part, rank], probability[part, rank] = first, left[every, first]
            left[every, first] = -1.0
    return top, probability, true


def now() -> str:
    """The time in UTC, as records write it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
