"""The hashes that name a cell: of its specification, and with the source of its method."""

from __future__ import annotations

import hashlib
import json
import re
from itertools import product
from typing import Any, get_args

from benchmarks.protocol import GroupRule
from results.schema import Record, RecordError

ON_VALIDATION = ", validation images"
"""End of the name of a data set that is tested on its validation images."""
_SELECTIONS = ("last", "val")
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
"""Made once: `json.dumps` makes one for every text unless all options are the usual ones."""


def cell_identity(
    *,
    method: str,
    config: dict[str, Any],
    family: str,
    dataset_version: str,
    dataset_config: dict[str, Any],
    weights_id: str,
    seed: int,
    split_seed: int,
    protocol: str,
    select: str,
    precision: str,
    groups: str,
    partition: str = "",
    tuning_trials: int | None,
    transform: str,
    image_size: int | None,
) -> str:
    """Hash of a cell's specification without the method's source, 16 hexadecimal digits.

    Args:
        method: name of the method.
        config: its hyper-parameters, all of them.
        family: name of the data set without its knobs.
        dataset_version: version of the data set.
        dataset_config: its knobs, resolved.
        weights_id: hash of the backbone's weights.
        seed: seed of the run.
        split_seed: seed of the draw of the training images.
        protocol: name of the training budget.
        select: rule by which the reported epoch is chosen.
        precision: precision of the backbone.
        groups: rule of the groups of classes.
        partition: partition of the classes beside these groups; empty for none.
        tuning_trials: trials of the recipe; None without one. The record states what tuning cost,
            so the same fields without a recipe are another cell.
        transform: name of the evaluation transform.
        image_size: side of the backbone's input; None for that of its weights.
    """
    spec = {
        "method": method,
        "config": config,
        "dataset": family,
        "dataset_version": dataset_version,
        "dataset_config": dataset_config,
        "weights": weights_id,
        "seed": seed,
        "split_seed": split_seed,
        "protocol": protocol,
        "select": select,
        "precision": precision,
        "groups": groups,
    }
    if tuning_trials is not None:
        spec["tuning_trials"] = tuning_trials
    if partition:
        spec["partition"] = partition
    if transform != "checkpoint":
        spec["transform"] = transform
    if image_size is not None:
        spec["image_size"] = image_size
    return short_hash(spec)


def cell_key(identity: str, fingerprint: str) -> str:
    """Key of a cell, 16 hexadecimal digits.

    Args:
        identity: hash of its specification without the method's source.
        fingerprint: of the method's source.
    """
    return short_hash({"identity": identity, "fingerprint": fingerprint})


def short_hash(spec: dict[str, Any]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a mapping."""
    return hashlib.sha256(_ENCODER.encode(spec).encode()).hexdigest()[:16]


def check_key(record: Record) -> None:
    """Refuse a record that is not of the cell that its key names.

    A record without an identity is not checked: the first records had none.

    Raises:
        RecordError: the key does not follow from the identity and the fingerprint, or the identity
            not from the specification.
    """
    provenance = record.provenance
    if not record.identity or provenance is None:
        return
    if record.key != cell_key(record.identity, provenance.fingerprint):
        raise RecordError("the key does not follow from the identity and the fingerprint")
    # A cell that did not end has neither groups nor a selection in its record, and the name of its
    # data set shows the knobs: one of these specifications has the identity.
    selections = _SELECTIONS if record.selection is None else (record.selection.rule,)
    rules = get_args(GroupRule) if record.groups is None else (record.groups.rule,)
    families, versions = _families(record.dataset), _versions(record.dataset_version)
    for family, version, select, groups in product(families, versions, selections, rules):
        identity = cell_identity(
            method=record.method,
            config=record.config,
            family=family,
            dataset_version=version,
            dataset_config=record.dataset_config,
            weights_id=provenance.weights_id,
            seed=record.seed,
            split_seed=record.split_seed,
            protocol=record.protocol,
            select=select,
            precision=record.precision,
            groups=groups,
            partition=record.partition,
            tuning_trials=None if record.tuning is None else record.tuning.trials,
            transform=record.transform,
            image_size=record.image_size,
        )
        if identity == record.identity:
            return
    raise RecordError(
        "method, data set, seed or another part of the specification is not that of its key"
    )


def _versions(version: str) -> list[str]:
    """Versions that the family may have of data loaded as `version`, such as 1-reduced-6-2."""
    return list(dict.fromkeys((version, version.partition("-")[0], "1")))


def _families(dataset: str) -> list[str]:
    """Names that a data set may have without the knobs and the ratio in its name."""
    name = dataset.removesuffix(ON_VALIDATION)
    end = dataset[len(name) :]
    plain = name.partition(" (")[0]
    found = [plain, re.sub(r"_ir[\d.]+(e[+-]?\d+)?$", "", plain)]
    return [f"{name}{end}" for name in dict.fromkeys(found)]
