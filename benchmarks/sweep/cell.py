"""A cell: one run, fully specified."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.backbone.names import BackboneId
from benchmarks.datasets.base import Family
from results.schema import Tuning, cell_key


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
    deterministic: bool
    """True if the method gives the same result for every seed."""
    fingerprint: str
    """Hash of the method's source."""
    tuning: Tuning | None = None
    """The recipe that set some of the fields."""
    transform: str = "checkpoint"
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
        spec = {
            "method": self.method,
            "config": self.config,
            "dataset": self.family.name,
            "dataset_version": self.family.version,
            "dataset_config": self.dataset_config,
            "weights": self.backbone.weights_id,
            "seed": self.seed,
            "split_seed": self.split_seed,
            "protocol": self.protocol,
            "select": self.select,
            "precision": self.precision,
            "groups": self.groups,
        }
        # The record states what tuning cost, so the same fields without a recipe are another cell.
        if self.tuning is not None:
            spec["tuning_trials"] = self.tuning.trials
        if self.transform != "checkpoint":
            spec["transform"] = self.transform
        return _digest(spec)

    @cached_property
    def key(self) -> str:
        """Hash of the whole specification: the name of the cell's record."""
        return cell_key(self.identity, self.fingerprint)

    @cached_property
    def features_name(self) -> str:
        """Name of the frozen features of this cell's images in the feature index."""
        spec = {
            "dataset": self.family.name,
            "dataset_version": self.family.version,
            "dataset_config": self.dataset_config,
            "split_seed": self.split_seed,
            "select": self.select,  # validation images may be taken away from training
            "weights": self.backbone.weights_id,
            "precision": self.precision,
            "transform": self.transform,
        }
        return _digest(spec)

    @property
    def title(self) -> str:
        """The cell in progress displays and messages."""
        seed = "" if self.deterministic else f" · seed {self.seed}"
        return f"{self.label} · {self.dataset}{seed}"


def _digest(spec: dict[str, Any]) -> str:
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
