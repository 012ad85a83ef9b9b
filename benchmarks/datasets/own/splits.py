"""Class indices and splits of a user's images, with the draws of test set and long tail."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import long_tail
from benchmarks.datasets.base import TaskKind, gaps
from benchmarks.datasets.own import spellings
from benchmarks.datasets.own.entries import UNASSIGNED, Complaints, Entry, Listing
from benchmarks.datasets.own.spec import Spec
from benchmarks.errors import DataError, UserError, counted, did_you_mean, first_few

Counts = NDArray[np.int64]

TEST_SHARE = 0.2
"""Share of each class that is drawn for testing if nothing assigns images to it."""
VALIDATION_PER_CLASS = 20
"""Number of images not drawn for the long tail that `--select val` may use, as for CIFAR-LT."""


@dataclass(frozen=True)
class IndexedImages:
    """Images with class indices."""

    keys: tuple[str, ...]
    """(C,) classes in the order of their indices."""
    labels: tuple[tuple[int, ...], ...]
    """Class indices of each image."""
    listing: Listing

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The images."""
        return self.listing.entries


def index_classes(spec: Spec, listing: Listing) -> IndexedImages:
    """Index the classes in the order of `classes:`, or sorted by name or number without it.

    Labels that are whole numbers and not keys of `classes:` are places in it, from 0.

    Raises:
        DataError: a label is not a class, or there are fewer than two classes.
    """
    used = dict.fromkeys(label for entry in listing.entries for label in entry.labels)
    whole = {label: n for label in used if (n := _whole(label)) is not None}
    numeric = bool(used) and len(whole) == len(used)
    declared = dict.fromkeys(tuple(spec.classes) or listing.keys)
    named = {n: str(whole[n]) if numeric and n not in declared else n for n in used}
    keys = tuple(declared or sorted(set(named.values()), key=int if numeric else str))
    place = {key: i for i, key in enumerate(keys)}
    by_place = numeric and not any(key in place for key in named.values())
    index = {label: place.get(key) for label, key in named.items()}
    if by_place:
        index = {label: n if 0 <= n < len(keys) else None for label, n in whole.items()}
    _refuse_unknown(
        spec, listing, [label for label in used if index[label] is None], by_place, keys
    )
    if len(keys) < 2:
        raise DataError(
            f"{spec.file}: there is only one class, '{keys[0]}'{_deeper(spec, listing)}."
        )
    labels = tuple(
        tuple(sorted({i for label in entry.labels if (i := index[label]) is not None}))
        for entry in listing.entries
    )
    if not spec.classes:
        pairs = zip(listing.entries, labels, strict=True)
        used_in = {(entry.split, i) for entry, indices in pairs for i in indices}
        notes = (*_unsplit_labels(spec, keys), *spellings.compare(spec.file, keys, used_in))
        listing = replace(listing, notes=(*listing.notes, *notes))
    return IndexedImages(keys, labels, listing)


def _unsplit_labels(spec: Spec, keys: Sequence[str]) -> tuple[str, ...]:
    """A note on classes that look like several labels of an image."""
    known = set(keys) if spec.places.rows() is not None else set()
    for mark in "|;,":
        joined = [k for k in keys if mark in k and any(p.strip() in known for p in k.split(mark))]
        if joined:
            wanted = "task: multi" if spec.task == "single" else f"separator: '{mark}'"
            return (
                f"labels such as '{joined[0]}' ({len(joined)} in all) are taken as one class each; "
                f"`{wanted}` splits them",
            )
    return ()


def _deeper(spec: Spec, listing: Listing) -> str:
    """Advice for class folders one folder further down, as after unpacking twice."""
    inside = sorted({e.file.split("/")[1] for e in listing.entries if e.file.count("/") > 1})
    if spec.places.rows() is not None or len(inside) < 2:
        return ""
    return f"; if its folders ({first_few(inside)}) are the classes, let `images:` point to it"


def _refuse_unknown(
    spec: Spec, listing: Listing, unknown: Sequence[str], by_place: bool, keys: Sequence[str]
) -> None:
    if not unknown:
        return
    rows = spec.places.rows()
    if rows is None:
        hint = str(did_you_mean("class", unknown[0], keys)).partition(". ")[2]
        raise DataError(
            f"{spec.file}, classes: {counted(len(unknown), 'folder')} not listed: "
            f"{first_few(unknown)}. {hint}"
        )
    wrong, bad = Complaints(rows, "row"), set(unknown)
    for entry in listing.entries:
        for label in entry.labels:
            if label in bad and by_place:
                wrong.add(
                    f"{entry.where}: label {label} is out of range, there are {len(keys)} classes "
                    f"(0 to {len(keys) - 1})"
                )
            elif label in bad and wrong.full:  # only the first ones are printed
                wrong.add("")
            elif label in bad:
                hint = str(did_you_mean("class", label, keys)).partition(". ")[2]
                wrong.add(f"{entry.where}: '{label}' is not a class ({hint.rstrip('.')})")
    wrong.refuse()


def _whole(label: str) -> int | None:
    """A label's value if it is a whole number, also written 3.0 as some tools do."""
    match = re.fullmatch(r"(-?[0-9]{1,18})(\.0+)?", label)
    return int(match[1]) if match else None


@dataclass(frozen=True)
class Splits:
    """Assignment of images to training, testing and validation."""

    splits: dict[str, list[int]]
    """train, test, val -> indices of images, ordered by id."""
    counts: tuple[Counts, Counts]
    """(C,) training and test images of each class."""
    validation_source: str
    gaps: tuple[str, ...]
    """Footnotes on classes without images."""


def make_splits(
    images: IndexedImages, name: str, share: float | None, tail: LongTail | None, seed: int
) -> Splits:
    """Assign the images to splits and draw the long tail, if there is one.

    Args:
        images: all of them.
        name: the data set's name, for messages.
        share: share of each class to draw for testing; None if not set.
        tail: long tail to draw from the training images.
        seed: the split seed.

    Raises:
        UserError: as `_assign` and `LongTail.counts`.
    """
    splits, classes = _assign(images, name, share, seed), len(images.keys)
    source = "the data's own validation images" if splits["val"] else ""
    if tail is not None:
        labels = label_array(images, "single", splits["train"])
        counts = tail.counts(np.bincount(labels, minlength=classes), name, images.keys)
        drawn, others = tail.draw(labels, counts, seed)
        if not splits["val"] and len(others):
            splits["val"] = [splits["train"][i] for i in others]
            source = (
                "training images that the long-tailed subset did not draw, up to "
                f"{VALIDATION_PER_CLASS} a class"
            )
        splits["train"] = [splits["train"][i] for i in drawn]
    train, test = (_counts(images, splits[split]) for split in ("train", "test"))
    return Splits(splits, (train, test), source, gaps(images.keys, train, test))


def _counts(images: IndexedImages, indices: Sequence[int]) -> Counts:
    labels = [c for i in indices for c in images.labels[i]]
    found = np.bincount(np.array(labels, dtype=np.int64), minlength=len(images.keys))
    return found.astype(np.int64)


def label_array(images: IndexedImages, task: TaskKind, indices: Sequence[int]) -> NDArray[np.int64]:
    """(N,) class indices, or (N, C) zeros and ones for multi-label."""
    labels = [images.labels[i] for i in indices]
    if task == "single":
        return np.array([label for (label,) in labels], dtype=np.int64)
    found = np.zeros((len(labels), len(images.keys)), dtype=np.int64)
    for row, classes in zip(found, labels, strict=True):
        row[list(classes)] = 1
    return found


def _assign(
    images: IndexedImages, name: str, share: float | None, seed: int
) -> dict[str, list[int]]:
    """Split -> indices of its images, ordered by id.

    If nothing assigns images to testing, a share of each class is drawn by the split seed. An
    image's place in the draw depends only on its id and the seed, so that adding images moves few
    others. A multi-label image counts for the rarest of its classes.

    Raises:
        DataError: no image to train or test on.
        UserError: a share that is set but not needed, or needed but not set.
    """
    splits: dict[str, list[int]] = {split: [] for split in (UNASSIGNED, "train", "test", "val")}
    for i, entry in enumerate(images.entries):
        splits[entry.split].append(i)
    pool = splits.pop(UNASSIGNED)
    if not pool:
        if splits["test"] and share is not None:
            raise UserError(f"{name}.test_share={share:g}: the data already have test images.")
        if not splits["test"] and share is None:
            given = " and ".join(split for split in splits if splits[split])
            raise DataError(
                f"{name}: there are images for {given}, but none for testing: add test images, or "
                "write `test_share: 0.2` to draw them from train."
            )
        if not splits["test"]:
            pool, splits["train"] = splits["train"], []
    if pool:
        drawn = _drawn(images, pool, TEST_SHARE if share is None else share, seed)
        splits["test"] = [i for i in pool if i in drawn]
        splits["train"] = [i for i in pool if i not in drawn]
    for split, what in (("train", "to train on"), ("test", "to test on")):
        if not splits[split]:
            raise DataError(f"{name}: there are no images {what}.")
    return splits


def _drawn(images: IndexedImages, pool: Sequence[int], share: float, seed: int) -> set[int]:
    """Indices drawn for testing: at least one of a class with two or more images, never all."""
    counts = Counter(c for i in pool for c in images.labels[i])
    strata: dict[int, list[int]] = {}
    for i in pool:
        rarest = min(images.labels[i], key=lambda c: (counts[c], c), default=-1)
        strata.setdefault(rarest, []).append(i)
    drawn: set[int] = set()
    for members in strata.values():
        members.sort(key=lambda i: _place(images.entries[i].sid, seed))
        n = min(max(int(len(members) * share + 0.5), 1), len(members) - 1)
        drawn.update(members[:n])
    return drawn


def _place(sid: str, seed: int) -> bytes:
    return hashlib.sha256(f"test draw {seed} {sid}".encode()).digest()


@dataclass(frozen=True)
class LongTail:
    """Parameters of the draw that makes a training set long-tailed."""

    imbalance: float
    profile: long_tail.Profile
    head_share: float
    n_max: int | None

    def counts(self, available: Counts, name: str, keys: Sequence[str]) -> Counts:
        """(C,) number of images to draw from each class; the first class has the most.

        Without `n_max`, as many as the data allow.

        Raises:
            UserError: a class has too few images.
        """

        def wanted(n: int) -> Counts:
            return long_tail.class_counts(
                n, len(available), self.imbalance, self.profile, self.head_share
            )

        if self.n_max is not None:
            counts = wanted(self.n_max)
            short = np.flatnonzero(counts > available)
            if short.size:
                c = int(short[0])
                raise UserError(
                    f"{name}.n_max={self.n_max}: {len(short)} of {len(counts)} classes have too "
                    f"few images: '{keys[c]}' needs {counts[c]} and has {available[c]}."
                )
            return counts
        low, high = 0, int(available.max())
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if (wanted(middle) <= available).all() else (low, middle - 1)
        if low == 0:
            empty = keys[int(available.argmin())]
            raise UserError(f"{name}.imbalance: '{empty}' has no training images.")
        return wanted(low)

    def draw(self, labels: Counts, counts: Counts, seed: int) -> tuple[Counts, Counts]:
        """Sorted indices of the images drawn, and of those kept for validation."""
        drawn, others = long_tail.draw(labels, counts, seed, VALIDATION_PER_CLASS)
        return np.sort(drawn), np.sort(np.concatenate(others))
