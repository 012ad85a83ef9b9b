"""The record of one cell, and the only code that converts it to JSON and back.

Accuracies are percentages. A value that does not exist (the few-shot accuracy of a data set without
few-shot classes) is None, never 0 and never NaN. `benchmarks.metrics` declares the metrics.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from benchmarks.metrics import Metrics, completed
from benchmarks.plugins.ranges import Range
from benchmarks.protocol import GROUPS
from results.json_form import PROSE, JsonFormError, Length, build, to_json

SCHEMA_VERSION = 1

Status = Literal["done", "failed", "not_applicable"]
Prose = Annotated[str, Length(PROSE)]
Hash = Annotated[str, Length(128)]
Amount = Annotated[int, Range(0, 2**53)]
"""A number of parameters, images, epochs: what a float can hold exactly."""
Seconds = Annotated[float, Range(0, 1e10)]
"""At most 300 years, so that sums are finite."""


class RecordError(ValueError):
    """A record file is damaged, or of a schema that this version does not know."""


class SchemaError(RecordError):
    """A record is of another schema than this version reads."""


@dataclass(frozen=True)
class Groups:
    """Groups of classes: name of the rule, group of each class and sizes of the groups."""

    rule: str
    many: Amount
    medium: Amount
    few: Amount
    train_counts: Annotated[tuple[int, ...], Range(0, 2**53)]
    """(C,) training images of each class, in class order."""
    membership: tuple[str, ...]
    """(C,) "many", "medium" or "few"."""
    named: Annotated[tuple[str, ...], Length(PROSE)] = ()
    """(C,) group of each class in the partition that the run was given; empty without one."""
    order: Annotated[tuple[str, ...], Length(PROSE)] = ()
    """Names of these groups in the order of the partition."""


@dataclass(frozen=True)
class Selection:
    """The epoch that is reported: `last`, or `val` with the source of the validation images."""

    rule: str
    source: str


@dataclass(frozen=True)
class Tuning:
    """The recipe that set hyper-parameters."""

    origin: str
    """Source of the values, for example "tuned-on-glyphs100_lt, 16 trials"."""
    trials: Amount
    """Configurations tried to find them; 0 for values from a paper."""
    fields: tuple[str, ...]
    """Hyper-parameters whose final value the recipe set."""
    stale: bool = False
    """True if another version of the method's source was tuned."""

    def __str__(self) -> str:
        """The recipe as tables show it."""
        if not self.trials:
            return f"recipe: {self.origin}"
        return f"tuned, {self.trials} trial{'' if self.trials == 1 else 's'}"


def recipe_note(tuning: Tuning) -> str:
    """The note in the records of a recipe's cells."""
    return f"{', '.join(tuning.fields)} from a recipe: {tuning.origin}"


@dataclass(frozen=True)
class Cost:
    """Cost of the cell. `peak_memory_mb` is that of the device, or of the process on a CPU."""

    trainable_params: Amount
    epochs: Amount
    images_seen: Amount
    tuning_trials: Amount
    fit_s: Seconds
    eval_s: Seconds
    peak_memory_mb: Annotated[float, Range(0, 1e12)]
    gpu: str | None
    data_wait_s: Annotated[float | None, Range(0, 1e10)] = None
    """Part of `fit_s` spent waiting for images; None on frozen features and in old records."""
    fitted_together: Annotated[int, Range(1, 2**53)] = 1
    """Cells fitted as one batch, this one included. If there are several, `fit_s` and `data_wait_s`
    are shares of the batch's time, by the training images that each cell saw. Records of earlier
    versions hold equal shares."""


@dataclass(frozen=True)
class Provenance:
    """Code, hardware, weights and data that the numbers come from."""

    git: str
    dirty: bool
    versions: dict[str, str]
    hardware: str
    weights_id: str
    preprocess_hash: str
    text_hash: str
    split_hash: str
    fingerprint: str
    started: str
    finished: str
    deterministic_algorithms: bool = True
    """True if torch was restricted to algorithms that repeat their numbers."""


@dataclass(frozen=True)
class Record:
    """One cell: a method on a data set with a backbone and a seed."""

    key: Hash
    status: Status
    error: Annotated[str | None, Length(PROSE)]
    method: str
    dataset: str
    task: Literal["single", "multi"]
    dataset_version: str
    recipe: str
    backbone: str
    seed: Amount
    split_seed: Amount
    protocol: str
    precision: str
    deterministic: bool
    """True if the method uses no randomness: one run serves every seed, and its ± prints as "–"."""
    config: dict[str, Any]
    """Resolved hyper-parameters of the method."""
    dataset_config: dict[str, Any]
    """Resolved knobs of the data set."""
    class_names: Annotated[tuple[str, ...], Length(PROSE)] = ()
    class_keys: Annotated[tuple[str, ...], Length(PROSE)] = ()
    """(C,) names by which the user knows the classes of own data; empty if they are `class_names`,
    and in records of earlier versions."""
    nearest: Annotated[tuple[int, ...], Range(0, 2**53)] = ()
    """(C,) the other class whose name is nearest to that of each class, by the backbone's text
    features; empty in records of earlier versions."""
    identity: Hash = ""
    """Hash of the specification without the method's source; a stale record has the same."""
    notes: Annotated[tuple[str, ...], Length(PROSE)] = ()
    """Footnotes: reconstructions, warnings, anything a reader of the table has to know."""
    details: Annotated[tuple[str, ...], Length(PROSE)] = ()
    """Remarks for the author of the method; records of earlier versions have them in `notes`."""
    curves: dict[str, Any] = field(default_factory=dict)
    """Numbers by epoch: name -> ((epoch, value), ...), such as `loss`, the mean training loss, and
    `validation`, the score in [0, 1] that selects the epoch. Empty for methods that train no epochs
    and in records of earlier versions."""
    metrics: Metrics | None = None
    groups: Groups | None = None
    selection: Selection | None = None
    partition: str = ""
    """Partition of the classes beside the groups by training frequency: its name, or that of its
    file with a hash of the content. Empty without one, and in records of earlier versions."""
    transform: str = "checkpoint"
    """Name of the evaluation transform: the checkpoint's own, or that of a paper's code."""
    image_size: Annotated[int | None, Range(1, 2**20)] = None
    """Side of the backbone's square input in pixels, if it is not that of its weights."""
    remark: Prose = ""
    """Remark of the sweep on all its numbers, printed after the caption of their table."""
    tuning: Tuning | None = None
    """None without a recipe: defaults, values of the protocol, or values that the sweep set."""
    cost: Cost | None = None
    provenance: Provenance | None = None
    schema_version: int = field(default=SCHEMA_VERSION)

    def to_json(self) -> dict[str, Any]:
        """The record as JSON types, with tuples as lists.

        Raises:
            RecordError: the record contains a NaN, an infinity or a value that JSON cannot hold.
        """
        try:
            data: dict[str, Any] = to_json(self)
        except JsonFormError as error:
            raise RecordError(str(error)) from None
        return data

    def as_failed(self, error: str) -> Record:
        """The record of the same cell without a result.

        Args:
            error: why it has none.
        """
        return replace(
            self,
            status="failed",
            error=error,
            notes=(),
            details=(),
            curves={},
            metrics=None,
            groups=None,
            selection=None,
            cost=None,
        )

    @classmethod
    def from_json(cls, data: Any) -> Record:
        """Read the output of `to_json`; every list becomes a tuple.

        Raises:
            RecordError: the data are not a record, fields are missing, unknown, of a wrong type or
                out of range, parts contradict each other, or the schema version is another.
        """
        check_schema(data)
        try:
            record: Record = build(cls, data, "record")
        except JsonFormError as error:
            raise RecordError(str(error)) from None
        if record.status == "done":
            _check_done(record)
        _check_curves(record.curves)
        if record.metrics is not None:
            metrics = completed(record.metrics, record.task)
            record = replace(record, metrics=metrics)
        return record


def check_schema(data: Any) -> None:
    """Refuse data that are no record of the present schema.

    Raises:
        RecordError: the data have no number of a schema.
        SchemaError: that of another schema.
    """
    if not isinstance(data, dict) or "schema_version" not in data:
        raise RecordError("not a record: it has no schema_version")
    version = data["schema_version"]
    if type(version) is not int or version < 1:
        raise RecordError("schema_version is not the number of a schema")
    if version != SCHEMA_VERSION:
        remedy = "update the suite" if version > SCHEMA_VERSION else "`migrate DIR` rewrites it"
        raise SchemaError(
            f"schema {str(version)[:20]}, but this version reads {SCHEMA_VERSION}: {remedy}"
        )


def _check_curves(curves: dict[str, Any]) -> None:
    for name, points in curves.items():
        if not isinstance(points, tuple) or not all(map(_is_point, points)):
            raise RecordError(f"curves.{name} is not a list of pairs of an epoch and a number")


def _is_point(point: Any) -> bool:
    return isinstance(point, tuple) and len(point) == 2 and {type(n) for n in point} <= {int, float}


def _check_done(record: Record) -> None:
    """Refuse the record of a finished cell whose parts are missing or contradict each other."""
    metrics, groups = record.metrics, record.groups
    parts = (metrics, groups, record.selection, record.cost, record.provenance)
    if metrics is None or groups is None or None in parts:
        raise RecordError("the status is done, but a part of the record is missing")
    lengths = {
        "metrics.per_class": len(metrics.per_class),
        "groups.train_counts": len(groups.train_counts),
        "groups.membership": len(groups.membership),
    }
    if record.class_names:
        lengths["class_names"] = len(record.class_names)
    if record.class_keys:
        lengths["class_keys"] = len(record.class_keys)
    if record.nearest:
        lengths["nearest"] = len(record.nearest)
    if groups.named:
        lengths["groups.named"] = len(groups.named)
    if not set(groups.named) <= set(groups.order):
        raise RecordError("groups.named has names that are not in groups.order")
    if len(set(lengths.values())) > 1:
        raise RecordError(f"fields by class have different lengths: {lengths}")
    if max(record.nearest, default=0) >= len(groups.membership):
        raise RecordError("nearest has a class that is not there")
    sizes = {name: groups.membership.count(name) for name in GROUPS}
    for name, size in sizes.items():
        if getattr(groups, name) != size:
            raise RecordError(
                f"groups.{name} is {getattr(groups, name)}, but {size} classes of "
                "groups.membership are in it"
            )
    if sum(sizes.values()) < len(groups.membership):
        raise RecordError("groups.membership has other names than many, medium and few")
    tested = {
        group
        for group, value in zip(groups.membership, metrics.per_class, strict=True)
        if value is not None
    }
    wanted = {"overall": bool(tested)} | {name: name in tested for name in GROUPS}
    for name, present in wanted.items():
        if (getattr(metrics, name) is not None) != present:
            raise RecordError(
                f"metrics.{name} is {getattr(metrics, name)}, which contradicts metrics.per_class"
            )
