"""A view of a data set for tuning: it is tested on images held out from training."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.datasets.base import DataSet, Family, TaskKind
from benchmarks.datasets.carving import with_validation
from benchmarks.datasets.folds import held_out
from benchmarks.errors import UserError
from results.identity import ON_VALIDATION


@dataclass(frozen=True)
class OnValidation(Family):
    """A data set whose validation images take the place of its test images."""

    inner: Family
    folds: int = 0
    """Folds of the training images; 0 takes the data set's validation images instead."""
    fold: int = 0
    """Fold that takes the place of the test images."""

    @property
    def name(self) -> str:  # type: ignore[override]
        """A name of its own, so that no record of a trial counts as a result on the data set."""
        return f"{self.inner.name}{ON_VALIDATION}"

    @property
    def version(self) -> str:  # type: ignore[override]
        """The version of the data set."""
        return self.inner.version

    @property
    def task(self) -> TaskKind:  # type: ignore[override]
        """The task of the data set."""
        return self.inner.task

    def sizes(self) -> tuple[int, int] | None:
        """The sizes of the data set: a rough estimate of the time is all that they are for."""
        return self.inner.sizes()

    def class_count(self) -> int | None:
        """The number of classes."""
        return self.inner.class_count()

    def pinned(self) -> dict[str, Any]:
        """The fields of the data set, resolved."""
        folds = {"folds": self.folds, "fold": self.fold} if self.folds else {}
        return {"inner": self.inner.pinned(), **folds}

    def load(self, root: Path, split_seed: int) -> DataSet:
        """Load the data set without its test images.

        Raises:
            UserError: it has no validation images.
        """
        data = self.inner.load(root, split_seed)
        if self.folds:
            data = held_out(data, self.folds, self.fold, split_seed)
            why = f"too few training images for {self.folds} folds"
        else:
            data = with_validation(data, split_seed)
            why = "no validation images, and tuning never uses test images"
        if data.validation is None:
            raise UserError(f"{data.name} has {why}.")
        return dataclasses.replace(
            data,
            name=self.name,
            test=data.validation(),
            tested_on="validation",
            validation=None,
            validation_source="",
            notes=(*data.notes, f"scored on {data.validation_source or 'validation images'}"),
        )

    def download(self, root: Path) -> str:
        """Fetch the data set."""
        return self.inner.download(root)

    def card(self) -> dict[str, str]:
        """The card of the data set."""
        return self.inner.card()
