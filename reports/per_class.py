"""Rows of a table class by class: counts, precision, recall, F1, and what classes are taken for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from benchmarks.errors import UserError
from reports.compare.runs import Read
from reports.csv_text import csv_text
from reports.grid import Grid, Head
from reports.layout import NONE, Cell, number
from reports.markdown_grid import markdown_grid
from reports.markdown_text import escape_markdown
from reports.table import Row, Table
from reports.terminal import print_grid
from results.schema import Record

MATRIX = 200
"""Most classes of which the CSV file of confusions is a matrix; of more it is a list of pairs."""
PRINTED = 20
"""Classes that the terminal shows, the lowest F1 first; the files have all classes."""
NAMED = 3
"""Classes that a class is taken for, in the table."""
Counts = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class PerClass:
    """The classes of a row over all its runs."""

    table: Table
    row: Row
    names: tuple[str, ...]
    """(C,) the user's own names."""
    groups: tuple[str, ...]
    train: Counts
    """(C,) training images."""
    test: Counts
    """(C,) test images of one run."""
    hits: Counts
    """(C,) images of a class that are given to it, over all runs."""
    given: Counts
    """(C,) images that are given to a class, over all runs."""
    labelled: Counts
    """(C,) images of a class, over all runs."""
    pairs: Mapping[tuple[int, int], int]
    """Single-label: (true class, predicted class) -> images, over all runs, without hits."""
    precision_at: Values | None
    """Multi-label: (C,) mean average precision over the runs, NaN without positives."""

    @property
    def title(self) -> str:
        """Row, data set and backbone."""
        return f"Classes: {self.row.name} on {self.table.name} / {self.table.backbone_name}"

    @cached_property
    def precision(self) -> Values:
        """(C,) in percent; NaN for a class that no image is given to."""
        return _percent(self.hits, self.given)

    @cached_property
    def recall(self) -> Values:
        """(C,) in percent; NaN without test images."""
        return _percent(self.hits, self.labelled)

    @cached_property
    def f1(self) -> Values:
        """(C,) in percent; NaN without test images."""
        found = _percent(2 * self.hits, self.given + self.labelled)
        return np.where(self.labelled > 0, found, np.nan)

    @cached_property
    def worst(self) -> list[tuple[int, int]]:
        """Pairs of true and predicted class, the most frequent first."""
        return sorted(self.pairs, key=lambda pair: (-self.pairs[pair], pair))

    def taken_for(self, c: int, most: int = NAMED) -> list[tuple[str, float]]:
        """The classes that images of a class are given to, with their share in percent."""
        found = self._by_true.get(c, [])[:most]
        return [
            (self.names[other], 100.0 * self.pairs[c, other] / self.labelled[c]) for other in found
        ]

    @cached_property
    def _by_true(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for true, other in self.worst:
            found.setdefault(true, []).append(other)
        return found

    @property
    def notes(self) -> list[str]:
        """The meaning of the numbers."""
        runs = len(self.row.done)
        over = f" The images of {runs} runs count together." if runs > 1 else ""
        if self.table.task == "single":
            return [
                "Precision: share of the images given to a class that are of it; recall: share of "
                f"its images that are given to it; F1: their harmonic mean; in percent.{over}"
            ]
        return [
            "AP: average precision, the mean over runs. Precision, recall and F1 are those of "
            f"decisions at a probability of 0.5, which need not be the best; in percent.{over}"
        ]


def per_class(table: Table, row: Row, read: Read) -> PerClass:
    """The classes of a row.

    Args:
        table: of the row.
        row: a row with runs.
        read: returns the predictions of a record.

    Raises:
        UserError: the row has no runs, or one has no stored predictions of classes.
    """
    if not row.done:
        raise UserError(f"--per-class: '{row.label}' on {table.dataset} has no finished run.")
    first = row.done[0]
    assert first.groups is not None
    size = len(first.groups.membership)
    sums = np.zeros((3, size), dtype=np.int64)
    pairs: dict[tuple[int, int], int] = {}
    test = np.zeros(size, dtype=np.int64)
    for record in row.done:
        arrays = read(record)
        if record.task == "single":
            if "top5" not in arrays:
                raise UserError(
                    f"--per-class: the predictions of '{row.label}' on {table.dataset} are not "
                    "here; they are beside the records of a run (`KEY.npz`), not in a clone."
                )
            labels, predicted = arrays["labels"].astype(np.int64), arrays["top5"][:, 0]
            right = labels == predicted
            test = np.bincount(labels, minlength=size)
            for place, own in enumerate((labels[right], predicted, labels)):
                sums[place] += np.bincount(own, minlength=size)
            wrong = np.stack([labels[~right], predicted[~right]])
            for (true, other), count in zip(*_counted(wrong), strict=True):
                pair = int(true), int(other)
                pairs[pair] = pairs.get(pair, 0) + int(count)
        else:
            has, chosen = arrays["labels"] > 0, decided(record, arrays)
            test = has.sum(0)
            for place, decisions in enumerate((has & chosen, chosen, has)):
                sums[place] += decisions.sum(0)
    return PerClass(
        table, row,
        names=first.class_keys or first.class_names or tuple(map(str, range(size))),
        groups=first.groups.membership,
        train=np.array(first.groups.train_counts),
        test=test, hits=sums[0], given=sums[1], labelled=sums[2], pairs=pairs,
        precision_at=_average_precisions(row) if table.task == "multi" else None,
    )  # fmt: skip


def decided(record: Record, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """(N, C) multi-label: True where the probability is 0.5 or more.

    Raises:
        UserError: the stored scores are not logits.
    """
    if "scores" not in arrays or record.dataset_config.get("scores") == "softmax":
        raise UserError(
            f"--per-class: the stored scores of {record.method} on {record.dataset} are not "
            "logits, which decisions need."
        )
    return np.asarray(arrays["scores"] >= 0)


def _counted(pairs: Counts) -> tuple[Counts, Counts]:
    found, counts = np.unique(pairs, axis=1, return_counts=True)
    return found.T, counts


def _average_precisions(row: Row) -> Values:
    values = [
        [np.nan if value is None else value for value in record.metrics.per_class]
        for record in row.done
        if record.metrics is not None
    ]
    return np.asarray(np.mean(values, axis=0))


def _percent(part: Counts, whole: Counts) -> Values:
    return np.where(whole > 0, 100.0 * part / np.maximum(whole, 1), np.nan)


# ---- files ---------------------------------------------------------------------------------------


def grid(found: PerClass, only: Sequence[int] | None = None) -> Grid:
    """The table of all classes, or of some, in their order."""
    multi = found.precision_at is not None
    names = ["group", "train", "test", *(["AP"] if multi else []), "precision", "recall", "F1"]
    heads = [Head(name, "") for name in names] + ([] if multi else [Head("taken for", "")])
    lines = []
    for c in range(len(found.names)) if only is None else only:
        values = [found.precision[c], found.recall[c], found.f1[c]]
        if found.precision_at is not None:
            values.insert(0, found.precision_at[c])
        cells = [Cell(found.groups[c]), Cell(f"{found.train[c]}"), Cell(f"{found.test[c]}")]
        cells += [Cell(NONE if np.isnan(value) else number(float(value))) for value in values]
        if not multi:
            taken = [f"{name} {share:.0f} %" for name, share in found.taken_for(c)]
            cells.append(Cell(", ".join(taken) or NONE))
        lines.append((Head(found.names[c], ""), tuple(cells)))
    return Grid("class", tuple(heads), tuple(lines))


def print_classes(found: PerClass, console: Console) -> None:
    """Print the classes; if there are many, those with the lowest F1."""
    console.print(Text(found.title, style="bold"))
    order = None
    if len(found.names) > PRINTED:
        known = np.where(np.isnan(found.f1), np.inf, found.f1)
        order = np.argsort(known, kind="stable")[:PRINTED].tolist()
        console.print(
            Text(f"The {PRINTED} classes with the lowest F1; the files have all classes.")
        )
    print_grid(grid(found, order), console)
    for line in found.notes:
        console.print(Padding(Text(line), (0, 0, 0, 1)))
    console.print()


def classes_markdown(found: PerClass) -> str:
    """The table of all classes with its notes."""
    lines = [f"## {escape_markdown(found.title)}", "", *markdown_grid(grid(found)), ""]
    return "\n".join([*lines, *(f"- {escape_markdown(line)}" for line in found.notes)]) + "\n"


def classes_csv(found: PerClass) -> str:
    """One line for each class, unrounded."""
    averages = found.precision_at
    lines = [
        {
            "class": name,
            "group": found.groups[c],
            "train_images": int(found.train[c]),
            "test_images": int(found.test[c]),
            "average_precision": None if averages is None else _value(averages[c]),
            "precision": _value(found.precision[c]),
            "recall": _value(found.recall[c]),
            "f1": _value(found.f1[c]),
            "taken_for": "; ".join(f"{n} {share:.1f}" for n, share in found.taken_for(c)) or None,
        }
        for c, name in enumerate(found.names)
    ]
    unused = "taken_for" if found.precision_at is not None else "average_precision"
    return csv_text([name for name in lines[0] if name != unused], lines)


def confusion_csv(found: PerClass) -> str | None:
    """Images by true class (lines) and predicted class; of many classes, a line for each pair.

    Returns:
        None for multi-label data.
    """
    if found.precision_at is not None:
        return None
    names = found.names
    if len(names) > MATRIX:
        pairs = [
            {"class": names[true], "predicted": names[other], "images": found.pairs[true, other]}
            for true, other in found.worst
        ]
        return csv_text(["class", "predicted", "images"], pairs)
    lines = []
    for c, row in enumerate(matrix(found)):
        lines.append({"class": names[c]} | {f"{i}": int(n) for i, n in enumerate(row)})
    head, *rest = csv_text(["class", *map(str, range(len(names)))], lines).split("\n")
    del head  # columns have the names of classes, several of which may be equal
    return csv_text(["class", *names], []) + "\n".join(rest)


def matrix(found: PerClass) -> Counts:
    """(C, C) images by true and predicted class, over all runs."""
    whole = np.diag(found.hits)
    for (true, other), count in found.pairs.items():
        whole[true, other] = count
    return whole


def _value(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
