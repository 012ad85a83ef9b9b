"""Made-up tables with test predictions, for figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.errors import UserError
from reports.aggregate import build_tables
from reports.figures.drawing import Drawing
from reports.figures.options import FigureOptions
from reports.figures.outcomes import Outcomes
from reports.table import Table
from results.schema import Record
from tests.results.factory import make_record

COUNTS = (300, 200, 50, 30, 10, 5)
IMAGES = 20
"""Test images of each class."""
CLASSES = len(COUNTS)


class Made:
    """Records with predictions."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._predictions: dict[str, Mapping[str, np.ndarray]] = {}

    def add(
        self,
        method: str,
        predicted: np.ndarray,
        confidence: np.ndarray | float = 0.5,
        seed: int = 0,
        **changes: Any,
    ) -> Record:
        """A run that predicts these classes of images whose labels are `labels()`."""
        label = labels()
        right = predicted == label
        by_class = [float(100 * right[label == c].mean()) for c in range(CLASSES)]
        record = make_record(
            method, seed, overall=float(100 * right.mean()), per_class=by_class, counts=COUNTS,
            **changes,
        )  # fmt: skip
        top5 = (predicted[:, None] + np.arange(5)) % CLASSES
        first = np.broadcast_to(np.asarray(confidence, dtype=np.float32), label.shape)
        probabilities = np.stack([first, *[(1 - first) / 8] * 4], axis=1)
        self.records.append(record)
        self._predictions[record.key] = {
            "ids": np.array([f"image {i}" for i in range(len(label))]),
            "labels": label.astype(np.int32),
            "top5": top5.astype(np.int32),
            "top5_prob": probabilities.astype(np.float32),
        }
        return record

    def read(self, record: Record) -> Mapping[str, np.ndarray]:
        if record.key not in self._predictions:
            raise UserError("no predictions")
        return self._predictions[record.key]

    def table(self) -> Table:
        (table,) = build_tables(self.records, allow_mixed=True)
        return table

    def drawing(self, **options: Any) -> Drawing:
        return Drawing.of([self.table()], FigureOptions(**options), Outcomes(self.read))


def labels() -> np.ndarray:
    return np.repeat(np.arange(CLASSES), IMAGES)


def noisy(accuracy: float | Sequence[float], seed: int = 0) -> np.ndarray:
    """Predictions that are right with a probability (of each class), otherwise any class."""
    rng = np.random.default_rng(seed)
    label = labels()
    chance = np.broadcast_to(accuracy, CLASSES)[label]
    return np.where(rng.random(len(label)) < chance, label, rng.integers(0, CLASSES, len(label)))


def full(texts: Sequence[str] = ("lift", "sage"), **changes: Any) -> Made:
    """Runs of rows that have all that any figure shows; each text is a method's setting."""
    made = Made()
    for i, text in enumerate(texts):
        for seed in range(2):
            own = {
                "config": {"f": text}, "cost_fit_s": 2.0 + 50 * i, "key": f"{i} {seed}",
                "curves": {"loss": ((1, 2.0 - i), (2, 1.0 + seed)), f"own {text}": ((1, 3.0),)},
                "nearest": (1, 0, 3, 2, 5, 4),
                "class_names": tuple(f"{text} {c}" for c in range(CLASSES)),
            }  # fmt: skip
            rng = np.random.default_rng(seed)
            made.add(
                "m", noisy(0.4 + 0.3 * i, seed), rng.uniform(0.2, 1.0, len(labels())), seed,
                **{**own, **changes},
            )  # fmt: skip
    return made
