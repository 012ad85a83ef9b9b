"""Records as other test distributions would have them, computed from what is stored: no new run."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import UserError
from benchmarks.metrics import Metrics, single_label_metrics, under_prior
from benchmarks.priors import KNOB, prior_in
from reports.compare.runs import Read
from results.schema import Record

MaybeRead = TypeVar("MaybeRead", Read, Read | None)


@dataclass(frozen=True)
class Recast(Generic[MaybeRead]):
    """Records and what a report needs beside them."""

    records: list[Record]
    stale: set[str]
    """Keys of records made with another version of the method's source."""
    read: MaybeRead


def under_priors(
    records: Sequence[Record], stale: Collection[str], read: MaybeRead, priors: Sequence[str]
) -> Recast[MaybeRead]:
    """The records under each prior; the same ones without priors.

    A prior is a knob of the data set, so it is in the name of the table and in every output, and
    tables of several priors are compared as those of other knobs are. Overall accuracy is
    re-weighted, and macro-F1 and the calibration error where the predictions are there. Means over
    classes do not depend on a prior.

    Args:
        records: of single-label data.
        stale: keys of records made with another version of the method's source.
        read: returns the predictions of a record.
        priors: names, as from `benchmarks.priors.read_prior`.

    Raises:
        UserError: a record is of multi-label data.
    """
    if not priors:
        return Recast(list(records), set(stale), read)
    multi = sorted({record.dataset for record in records if record.task == "multi"})
    if multi:
        raise UserError(
            f"--test-prior: {multi[0]} has several labels an image, so its classes have no prior; "
            "choose other data with --datasets."
        )
    found: list[Record] = []
    originals: dict[str, Record] = {}
    for record in records:
        arrays = _predictions(record, read)
        for prior in priors:
            changed = _under(record, prior, arrays)
            originals[changed.key] = record
            found.append(changed)
    return Recast(
        found,
        {key for key, record in originals.items() if record.key in stale},
        None if read is None else lambda record: read(originals.get(record.key, record)),
    )


def _under(record: Record, prior: str, arrays: Mapping[str, NDArray[Any]]) -> Record:
    knobs = {**record.dataset_config, KNOB: prior}
    changed = dataclasses.replace(
        record,
        key=f"{record.key}-{prior}",
        dataset=_with_knob(record.dataset, f"{KNOB}={prior}"),
        dataset_config=knobs,
    )
    if record.metrics is None or record.groups is None:
        return changed
    weights = prior_in(knobs, record.groups.train_counts)
    assert weights is not None
    metrics = under_prior(record.metrics, weights)
    if {"top5", "top5_prob"} <= arrays.keys():
        metrics = _measured(record, arrays, weights)
    return dataclasses.replace(changed, metrics=metrics)


def _measured(
    record: Record, arrays: Mapping[str, NDArray[Any]], prior: NDArray[np.float64]
) -> Metrics:
    assert record.groups is not None
    return single_label_metrics(
        arrays["top5"][:, 0].astype(np.int64),
        arrays["top5_prob"][:, 0].astype(np.float64),
        arrays["labels"].astype(np.int64),
        np.array(record.groups.membership),
        prior,
    )


def _predictions(record: Record, read: Read | None) -> Mapping[str, NDArray[Any]]:
    """The stored predictions of a finished record; none if they cannot be read."""
    if read is None or record.status != "done":
        return {}
    try:
        return read(record)
    except UserError:  # the tables say which rows could not be tested
        return {}


def _with_knob(dataset: str, knob: str) -> str:
    """The name of a data set with one more knob in brackets."""
    name, bracket, knobs = dataset.partition(" (")
    return f"{name} ({knobs.removesuffix(')')}, {knob})" if bracket else f"{name} ({knob})"
