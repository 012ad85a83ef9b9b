"""A view of a data set for tuning: it is tested on its validation images."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.datasets.base import DataSet, Family, TaskKind
from benchmarks.datasets.carving import with_validation
from benchmarks.errors import UserError
from results.identity import ON_VALIDATION


@dataclass(frozen=True)
class OnValidation(Family):
    """A data set whose validation images take the place of its test images."""

    inner: Family

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
        return {"inner": self.inner.pinned()}

    def load(self, root: Path, split_seed: int) -> DataSet:
        """Load the data set without its test images.

        Raises:
            UserError: it has no validation images.
        """
        data = with_validation(self.inner.load(root, split_seed), split_seed)
        if data.validation is None:
            raise UserError(
                f"{data.name} has no validation images, and tuning never uses test images."
            )
        return dataclasses.replace(
            data, name=self.name, test=data.validation(), validation=None, validation_source=""
        )

    def download(self, root: Path) -> str:
        """Fetch the data set."""
        return self.inner.download(root)

    def card(self) -> dict[str, str]:
        """The card of the data set."""
        return self.inner.card()
