"""Partitions of the classes by anything but training frequency: a file, or pre-training.

A report takes the means over these groups beside those over many, medium and few.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.datasets import registry as datasets
from benchmarks.datasets.base import hash_strings
from benchmarks.datasets.class_texts import configured
from benchmarks.datasets.files.glyph_world import GlyphWorld
from benchmarks.errors import UserError, did_you_mean, first_few, of_the_system
from benchmarks.file_names import expanded
from benchmarks.input_files import MB, read_bytes, read_text
from benchmarks.text import CORPORA, read_frequencies, read_package
from benchmarks.yaml_files import yaml_mapping

COVERAGE = "coverage"
KNOWN = (COVERAGE, *CORPORA)
"""Partitions that need no file."""
THIRDS = ("frequent", "middle", "rare")
"""Groups of a partition by frequency: thirds by rank, the first ones larger."""
MOST = 20
"""Most groups of a partition: each is a column."""
_LISTED = {"imagenet_lt": "imagenet", "places_lt": "places"}
"""Data sets whose classes have counts in captions, and their lists."""
_SUFFIXES = (".yaml", ".yml", ".csv")
_LIMIT = 16 * MB


@dataclass(frozen=True)
class Partition:
    """A partition of C classes into named groups."""

    title: str
    """Its name: that of the file or of the corpus."""
    groups: tuple[str, ...]
    """Names of the groups, in the order of the columns."""
    membership: tuple[str, ...]
    """(C,) group of each class."""
    frequency: tuple[float, ...] = ()
    """(C,) numbers that the groups are thirds of; empty if there are none."""

    @property
    def digest(self) -> str:
        """Hash of the names of the groups and the group of each class."""
        return hash_strings([*self.groups, "|", *self.membership])

    def __str__(self) -> str:
        """The partition with its hash, as captions have it."""
        return f"{self.title} ({self.digest[:8]})"


def is_partition(typed: str) -> bool:
    """True if a text names a partition: one of `KNOWN`, or a file by its ending."""
    return typed in KNOWN or typed.lower().endswith(_SUFFIXES)


def pinned(typed: str, where: str) -> str:
    """The name of a partition as records and keys hold it: a file by name and content hash.

    Raises:
        UserError: the file cannot be read.
    """
    if typed in KNOWN:
        return typed
    file = expanded(typed, where)
    try:
        content = read_bytes(file, _LIMIT)
    except OSError as error:
        raise UserError(f"Cannot read {file}: {of_the_system(error)}.") from error
    return f"{file.name}@{hashlib.sha256(content).hexdigest()[:16]}"


def partition_of(
    typed: str, where: str, dataset: str, knobs: Mapping[str, Any], class_names: Sequence[str]
) -> Partition:
    """The partition of a data set's classes that a user names.

    Args:
        typed: one of `KNOWN`, or a file: YAML `group: [class, ...]`, or CSV with the columns
            `class` and `group`, or `class` and `frequency`, which is divided into thirds.
        where: the flag or key, for messages.
        dataset: name of the data set as records have it.
        knobs: of the data set, as records have them.
        class_names: C names, by which a file names the classes.

    Raises:
        UserError: a file that cannot be read, in which a class is missing, unknown or in two
            groups, or a partition that the data set does not have.
    """
    if typed == COVERAGE:
        return _coverage(where, dataset, knobs)
    if typed in CORPORA:
        return _of_corpus(typed, where, dataset, len(class_names))
    if not is_partition(typed):
        raise did_you_mean(f"partition (or .yaml, .csv file) in {where}", typed, KNOWN)
    file = expanded(typed, where)
    if file.suffix.lower() == ".csv":
        pairs, frequencies = _csv_pairs(file)
    else:
        pairs, frequencies = _yaml_pairs(file), {}
    groups = _assigned(file, pairs, class_names)
    if frequencies:
        return by_frequency(file.name, [frequencies[name] for name in class_names])
    order = tuple(dict.fromkeys(group for _, group in pairs))
    return Partition(file.name, order, groups)


def by_frequency(title: str, frequency: Sequence[float]) -> Partition:
    """Thirds of the classes by falling frequency; equal ones in the order of the classes."""
    order = np.argsort(-np.asarray(frequency, dtype=float), kind="stable")
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    thirds = (places * 3 // len(order)).tolist()
    used = tuple(THIRDS[i] for i in sorted(set(thirds)))
    return Partition(title, used, tuple(THIRDS[i] for i in thirds), tuple(frequency))


def _coverage(where: str, dataset: str, knobs: Mapping[str, Any]) -> Partition:
    """Classes of the embedded world whose names the backbone learned, and the others."""
    world = configured(dataset, knobs)
    if not isinstance(world, GlyphWorld):
        raise _not_known(where, COVERAGE, dataset, "only that of the embedded world is")
    covered = world.class_facts()["covered"].tolist()
    names = ("covered", "not covered")
    groups = tuple(names[0] if known else names[1] for known in covered)
    return Partition(COVERAGE, tuple(name for name in names if name in groups), groups)


def _of_corpus(corpus: str, where: str, dataset: str, classes: int) -> Partition:
    """Thirds by the captions of a corpus that name each class."""
    plain = datasets.without_ratio(dataset.partition(" (")[0])
    name = _LISTED.get(plain)
    if name is None:
        raise _not_known(where, corpus, dataset, f"only those of {', '.join(_LISTED)} are")
    keys, counts = read_package(name).keys, read_frequencies(name, corpus)
    if len(keys) != classes:
        raise _not_known(where, corpus, dataset, f"the list has {len(keys)} classes, not {classes}")
    return by_frequency(CORPORA[corpus], [counts[key] for key in keys])


def _not_known(where: str, what: str, dataset: str, but: str) -> UserError:
    return UserError(
        f"{where}: {what} of the classes of {dataset} is not known; {but}. Choose data with "
        "--datasets, or name a file."
    )


def _yaml_pairs(file: Path) -> list[tuple[str, str]]:
    """Pairs of a class and its group."""
    pairs = []
    for group, members in yaml_mapping(file, "groups are a mapping: 'group: [class, ...]'").items():
        if not isinstance(members, list) or not members:
            raise UserError(f"{file}: the group '{group}' is not a list of classes: {members!r}.")
        pairs += [(str(member), _clean(file, str(group))) for member in members]
    return pairs


def _csv_pairs(file: Path) -> tuple[list[tuple[str, str]], dict[str, float]]:
    """Pairs of a class and its group, and the frequency of each class if groups are not given."""
    try:
        text = read_text(file, _LIMIT, "utf-8-sig")
    except OSError as error:
        raise UserError(f"Cannot read {file}: {of_the_system(error)}.") from error
    except ValueError as error:
        raise UserError(f"{file} is not UTF-8 text.") from error
    lines = list(csv.DictReader(io.StringIO(text)))
    columns = set(lines[0]) if lines else set()
    kind = "group" if "group" in columns else "frequency"
    if not {"class", kind} <= columns:
        raise UserError(f"{file}: it needs the columns 'class' and 'group', or 'frequency'.")
    pairs = [(line["class"] or "", line[kind] or "") for line in lines]
    if kind == "group":
        return [(name, _clean(file, group)) for name, group in pairs], {}
    return [(name, "") for name, _ in pairs], {
        name: _number(file, *p) for p in pairs for name in p[:1]
    }


def _number(file: Path, name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise UserError(
            f"{file}: the frequency of '{name}' is not a number of 0 or more: '{text}'."
        )
    return number


def _clean(file: Path, group: str) -> str:
    found = " ".join(group.split())
    if not found or len(found) > 40 or not found.isprintable():
        raise UserError(f"{file}: a group needs a name of 1 to 40 characters, not '{group[:60]}'.")
    return found


def _assigned(
    file: Path, pairs: Sequence[tuple[str, str]], class_names: Sequence[str]
) -> tuple[str, ...]:
    """(C,) group of each class.

    Raises:
        UserError: a class is missing, unknown or in two places, or there are too many groups.
    """
    twice = sorted(name for name, number in Counter(class_names).items() if number > 1)
    if twice:
        raise UserError(f"{file}: two classes of the data are called '{twice[0]}'.")
    known, found = set(class_names), dict[str, str]()
    for name, group in pairs:
        if name not in known:
            raise did_you_mean(f"class in {file}", name, known)
        if name in found:
            raise UserError(f"{file}: the class '{name}' is in it twice.")
        found[name] = group
    missing = [name for name in class_names if name not in found]
    if missing:
        raise UserError(
            f"{file}: {len(missing)} of {len(class_names)} classes are in no group: "
            f"{first_few(missing)}."
        )
    if len(set(found.values())) > MOST:
        raise UserError(f"{file}: more than {MOST} groups, each of which is a column.")
    return tuple(found[name] for name in class_names)
