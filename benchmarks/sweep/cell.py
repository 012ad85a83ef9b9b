"""A cell: one run, fully specified."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.backbone.names import BackboneId
from benchmarks.datasets.base import Family
from results.identity import cell_identity, cell_key, short_hash
from results.schema import Tuning


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A method on a data set with a backbone and seeds.

    A field or property that a record also has becomes part of the cell's record under its name.
    """

    method: str
    label: str
    """Method with the fields that a sweep's file sets for it, for example zero_shot (text=both)."""
    config: dict[str, Any]
    """Every hyper-parameter, resolved."""
    family: Family
    """The data set with its knobs, resolved."""
    dataset: str
    """The data set's name in tables, with every knob that is not at its default, for example
    cifar100_lt_ir50."""
    dataset_as_typed: str = ""
    """The name or the file by which `predict` finds the data set again."""
    backbone: BackboneId
    seed: int
    split_seed: int
    protocol: str
    select: str
    precision: str
    groups: str
    """The rule that assigns classes to groups."""
    partition: str = ""
    """Partition of the classes beside these groups, a file by name and content hash; "" for none.
    """
    partition_as_typed: str = ""
    deterministic: bool
    """True if the method gives the same result for every seed."""
    fingerprint: str
    """Hash of the method's source."""
    tuning: Tuning | None = None
    """The recipe that set some of the fields."""
    transform: str = "checkpoint"
    image_size: int | None = None
    """Side of the backbone's input in pixels; None for that of its weights."""
    remark: str = ""
    """Not part of any key: the numbers are the same."""

    @cached_property
    def dataset_config(self) -> dict[str, Any]:
        """The data set's knobs, resolved."""
        return self.family.pinned()

    @cached_property
    def identity(self) -> str:
        """Hash of the specification without the method's source.

        Two records with one identity and different keys were made by different code.
        """
        return self.identity_with(self.dataset_config)

    def identity_with(self, dataset_config: dict[str, Any]) -> str:
        """Return the identity of the cell with other knobs of its data set."""
        return cell_identity(
            method=self.method,
            config=self.config,
            family=self.family.name,
            dataset_version=self.family.version,
            dataset_config=dataset_config,
            weights_id=self.backbone.weights_id,
            seed=self.seed,
            split_seed=self.split_seed,
            protocol=self.protocol,
            select=self.select,
            precision=self.precision,
            groups=self.groups,
            partition=self.partition,
            tuning_trials=None if self.tuning is None else self.tuning.trials,
            transform=self.transform,
            image_size=self.image_size,
        )

    @cached_property
    def key(self) -> str:
        """Hash of the whole specification: the name of the cell's record."""
        return cell_key(self.identity, self.fingerprint)

    @cached_property
    def features_name(self) -> str:
        """Name of the frozen features of this cell's images in the feature index."""
        return short_hash(self._features_spec)

    @cached_property
    def crops_name(self) -> str:
        """Name of the frozen features of its test images' five crops."""
        return short_hash(self._features_spec | {"views": "five crops"})

    @property
    def _features_spec(self) -> dict[str, Any]:
        sized = {} if self.image_size is None else {"image_size": self.image_size}
        return sized | {
            "dataset": self.family.name,
            "dataset_version": self.family.version,
            "dataset_config": self.dataset_config,
            "split_seed": self.split_seed,
            "select": self.select,  # validation images may be taken away from training
            "weights": self.backbone.weights_id,
            "precision": self.precision,
            "transform": self.transform,
        }

    @property
    def title(self) -> str:
        """The cell in progress displays and messages."""
        seed = "" if self.deterministic else f" · seed {self.seed}"
        return f"{self.label} · {self.dataset}{seed}"
