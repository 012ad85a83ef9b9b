"""Made-up studies with predictions, written as pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.errors import UserError
from benchmarks.metrics import multi_label_metrics
from reports.across.matrix import matrices
from reports.across.overview import overviews
from reports.across.study import study as study_of
from reports.aggregate import build_tables
from reports.from_predictions import with_predictions
from reports.knob_sweeps import find_sweeps
from reports.page.document import Content, document, page_data
from reports.table import Table
from results.schema import Record
from tests.results.factory import make_record, tail_counts


class Made:
    """Records, their predictions, and the page of both."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.predictions: dict[str, dict[str, np.ndarray]] = {}

    def add(
        self,
        method: str,
        seed: int,
        accuracy: float,
        *,
        classes: int = 24,
        per_class: int | Sequence[int] = 10,
        **changes: Any,
    ) -> Record:
        """A run on images of which it knows a share; those of rarer classes less often."""
        rng = np.random.default_rng([seed, changes.get("split_seed", 0), *method.encode()])
        labels = np.repeat(np.arange(classes), per_class)
        known = accuracy * np.linspace(1.2, 0.6, classes)
        right = rng.random(len(labels)) < known[labels]
        # Mistakes go to a few classes near by, and to the head.
        wrong = (labels + 1 + rng.geometric(0.4, len(labels))) % classes
        wrong = np.where(rng.random(len(labels)) < 0.3, labels // 5, wrong)
        wrong = np.where(wrong == labels, (labels + 1) % classes, wrong)
        top = np.where(right, labels, wrong)
        values = [
            float(100 * right[labels == c].mean()) if (labels == c).any() else None
            for c in range(classes)
        ]
        record = make_record(
            method, seed, overall=float(100 * right.mean()), per_class=values,
            counts=tail_counts(classes), **changes,
        )  # fmt: skip
        self.records.append(record)
        self.predictions[record.key] = {
            "ids": np.array([f"image {i:06}" for i in range(len(labels))]),
            "labels": labels.astype(np.int32),
            "top5": top[:, None].astype(np.int32),
            "top5_prob": rng.uniform(0.2, 1.0, (len(labels), 1)).astype(np.float32),
        }
        return record

    def read(self, record: Record) -> dict[str, np.ndarray]:
        """The predictions of a record, as a store returns them."""
        if record.key not in self.predictions:
            raise UserError("No predictions.")
        return self.predictions[record.key]

    def tables(self) -> list[Table]:
        """The tables that the page shows."""
        return with_predictions(build_tables(self.records), self.read)

    def data(self) -> dict[str, Any]:
        tables = self.tables()
        studies = [study_of(matrix) for matrix in matrices(tables)]
        across = overviews(tables, studies), studies
        return page_data(Content(tables, find_sweeps(tables), *across, self.records, self.read))

    def write(self, file: Path) -> Path:
        file.write_text(document(self.data()), encoding="utf-8")
        return file


def study(methods: int, seeds: int, **sizes: Any) -> Made:
    """Methods `m00`, `m01`, … of which each is better than the one before."""
    made = Made()
    for m in range(methods):
        for seed in range(seeds):
            made.add(f"m{m:02}", seed, 0.4 + 0.3 * m / methods, **sizes)
    return made


def multi_label(methods: int, seeds: int = 2) -> Made:
    """Methods on images of several labels, with scores that tell something."""
    made = Made()
    labels = (np.random.default_rng(0).random((120, 6)) < 0.2).astype(np.int8)
    groups = np.array(["many", "many", "medium", "medium", "few", "few"])
    for m in range(methods):
        for seed in range(seeds):
            noise = np.random.default_rng([m, seed]).normal(size=labels.shape)
            scores = (labels * (0.5 + 0.4 * m) + noise).astype(np.float32)
            found = multi_label_metrics(scores, labels, groups)
            record = make_record(f"m{m:02}", seed, task="multi", metrics=found)
            made.records.append(record)
            made.predictions[record.key] = {
                "ids": np.array([f"image {i:06}" for i in range(len(labels))]),
                "labels": labels,
                "scores": scores,
            }
    return made
