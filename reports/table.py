"""The table model that every format and figure is made from.

One table for each data set and backbone, one row for each variant of a method, a mean and a sample
standard deviation for each metric. `aggregate` builds it from records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.datasets.partitions import Partition
from benchmarks.metrics import METRICS, Metric, metrics_of, title_of
from reports.view import USUAL, View
from results.schema import Record

Mark = Literal["best", "second"]


@dataclass(frozen=True)
class Summary:
    """One value over the runs of a row; metrics in percent, times in seconds, memory in MB."""

    mean: float | None
    """None if no run has the value (an empty group)."""
    std: float | None
    """Sample standard deviation (ddof=1); None for fewer than two runs."""
    n: int
    """Runs that have the value."""


@dataclass(frozen=True)
class Row:
    """A variant of a method in a table."""

    label: str
    """Identity in the table, by which a user refers to the row."""
    name: str
    """Printed name: the label, unless the user has given another name."""
    method: str
    values: Mapping[str, Summary]
    """Summary of every metric of `benchmarks.metrics` and every cost of `columns.COSTS`."""
    spread: str | None
    """Source of variation between the runs ("3 run seeds"); None for one run."""
    done: tuple[Record, ...]
    """The records behind the values: one for each run seed and split seed."""
    failed: tuple[Record, ...]
    """Cells of the variant that failed or do not apply."""
    stale: bool
    """True if a value comes from a record made with another version of the method's source."""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Metric -> ends of its 95 % interval over test images and, if there are several, runs. Empty
    without predictions, and for one run of a method that draws random numbers."""

    @property
    def first(self) -> Record:
        """A record of the variant, for what all of its records share."""
        return (*self.done, *self.failed)[0]

    @property
    def fixed(self) -> bool:
        """True for one run of a method that draws no random numbers: nothing can vary."""
        return len(self.done) == 1 and self.done[0].deterministic

    @property
    def not_applicable(self) -> bool:
        """True if no cell of the variant applies to the data."""
        return not self.done and all(r.status == "not_applicable" for r in self.failed)

    @property
    def stale_recipe(self) -> bool:
        """True if a recipe of a run was tuned with another version of the method's source."""
        return any(record.tuning is not None and record.tuning.stale for record in self.done)

    @property
    def cells(self) -> int:
        """Number of all cells of the variant."""
        return len(self.done) + len(self.failed)


@dataclass(frozen=True)
class PublishedValue:
    """A published value and the row of the table that repeats it."""

    label: str
    """Label of our row."""
    name: str
    """Printed name of our row."""
    metric: str
    task: str
    published: float
    ours: Summary
    tolerance: float
    """Largest difference that counts as the same, in points."""
    source: str
    """Publication that the value was read in, with the facts that a reader has to know."""

    @property
    def title(self) -> str:
        """The metric as tables call it."""
        return title_of(self.metric, self.task)

    @property
    def difference(self) -> float | None:
        """Ours minus published, in points."""
        return None if self.ours.mean is None else self.ours.mean - self.published

    @property
    def beyond(self) -> bool:
        """True if the difference is larger than the tolerance."""
        return self.difference is not None and abs(self.difference) > self.tolerance + 1e-9


@dataclass(frozen=True)
class PublishedValues:
    """Published results on the data set of a table."""

    values: tuple[PublishedValue, ...]
    """Values with a row of ours, in the order of the rows."""
    others: tuple[str, ...]
    """Values without a row of ours, one text for each reason."""
    unread: tuple[str, ...] = ()
    """Methods of the table whose published values could not be read, with their source."""

    @property
    def sources(self) -> list[str]:
        """The sources of the values, in their order."""
        return list(dict.fromkeys(value.source for value in self.values))


@dataclass(frozen=True)
class Marks:
    """Marks of the rows of a table that rest on paired tests between them."""

    by_metric: Mapping[str, tuple[Mark | None, ...]]
    """Metric -> mark of each row, for the metrics that are compared."""
    level: float
    """Largest probability that the row that is truly the best of a column is not marked as best."""


@dataclass(frozen=True)
class Table:
    """Results on one data set with one backbone."""

    dataset: str
    backbone: str
    name: str
    """Printed name of the data set."""
    backbone_name: str
    """Printed name of the backbone."""
    task: str
    """`single` (accuracies) or `multi` (average precisions)."""
    main: str
    """Key of the metric that sorts the rows, unless the user has asked for another order."""
    balanced: bool
    """False if the test set has more images of some classes than of others."""
    prior: str
    """Name of the class prior that overall accuracy is weighted by; "" for the test images."""
    rows: tuple[Row, ...]
    """From the worst main value to the best, those without values last, or as the user asked."""
    sizes: Mapping[str, str]
    """Number of classes in each group ("35"; "34–36" if splits differ; "" if no cell is done)."""
    caption: str
    footnotes: tuple[str, ...]
    warnings: tuple[str, ...]
    """Faults of the set of records itself, such as duplicates."""
    view: View = USUAL
    """The user's choice of columns and orientation; order and names are applied already."""
    remark: str = ""
    """Remarks of the sweeps' authors, printed after the caption."""
    published: PublishedValues | None = None
    """None if nothing is published on the data set with the backbone."""
    partition: Partition | None = None
    """Groups of classes beside many, medium and few; None if the user names none."""
    named: Mapping[str, Metric] = field(default_factory=dict)
    """Metrics over the groups of the partition, by their keys."""
    tested: Marks | None = None
    """None if no two rows could be tested, for example without predictions."""

    def metric(self, key: str) -> Metric:
        """The metric of a column."""
        return self.named.get(key) or METRICS[key]

    @property
    def metrics(self) -> list[Metric]:
        """All metrics of the table's task, and those over the groups of the partition."""
        return [*metrics_of(self.task), *self.named.values()]

    @property
    def by_overall(self) -> bool:
        """True if overall accuracy sorts and marks rows: its weights are equal or asked for."""
        return self.balanced or bool(self.prior)
