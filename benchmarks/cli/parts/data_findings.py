"""Facts about a user's own images for `init-data`: counts, groups, copies, damage, odd names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.base import DataSet, Split, images_per_class
from benchmarks.datasets.checking import SHOWN, read_all
from benchmarks.datasets.own.card import data_card
from benchmarks.datasets.own.family import OwnData
from benchmarks.datasets.own.labels import SPLIT_NAMES
from benchmarks.datasets.skew import skew_facts
from benchmarks.errors import counted, first_few

CLASSES = 40
"""Most classes whose counts are printed."""


def findings(family: OwnData) -> tuple[list[str], bool]:
    """Read all images of a data set.

    Args:
        family: the data set; its splits are those of split seed 0.

    Returns:
        Lines to print, and False if a run would refuse some of the images.

    Raises:
        DataError: files are missing or empty, or there are no images to train or test on.
    """
    data = family.load(family.spec.file.parent, 0)
    splits = {"train": data.train, "test": data.test}
    if data.validation is not None:
        splits["val"] = data.validation()
    copies, damaged = _read(splits)
    card = data_card(family.spec, family.images.keys, family.load_splits(0), data.texts)
    facts = {name: card[name] for name in ("training images", "test images", "validation")}
    facts |= {"groups": card["groups"], "imbalance": _ratio(data.counts)}
    facts |= skew_facts(data.counts, data.task)
    lines = [f"{name}: {text}" for name, text in facts.items()]
    notes = (*family.notes(), *data.notes, *data.gaps, *_odd_names(family.images.keys))
    lines += [f"note: {note}" for note in notes]
    lines += copies or ["copies: no image is there twice"]
    shown = " ".join(damaged[:SHOWN]) + (" …" if len(damaged) > SHOWN else "")
    number = counted(len(damaged), "image")
    lines.append(
        f"damaged: {number}, which a run refuses: {shown}" if damaged else "damaged: no image"
    )
    return [*_counts(data, splits), *lines], not damaged


def _counts(data: DataSet, splits: dict[str, Split]) -> list[str]:
    """A table of the images of each class in each split, the largest class first."""
    names = data.texts.class_names
    counts = {name: images_per_class(split.labels, len(names)) for name, split in splits.items()}
    order = np.argsort(-counts["train"], kind="stable")
    width = max(len("class"), *(len(names[c]) for c in order[:CLASSES]))
    rows = [f"{'class':{width}}  " + "  ".join(f"{name:>7}" for name in counts)]
    rows += [
        f"{names[c]:{width}}  " + "  ".join(f"{n[c]:7,}" for n in counts.values())
        for c in order[:CLASSES]
    ]
    if len(names) > CLASSES:
        rows.append(f"and {len(names) - CLASSES} more classes")
    return rows


def _ratio(counts: NDArray[np.int64]) -> str:
    there = counts[counts > 0]
    return f"ratio {there.max() / there.min():,.4g} of the largest to the smallest class"


def _read(splits: dict[str, Split]) -> tuple[list[str], list[str]]:
    """Lines on images with the same pixels, and a line on each damaged image."""
    places: dict[str, list[tuple[str, str, bytes]]] = defaultdict(list)
    damaged = []
    for name, split in splits.items():
        for i, (digest, problem) in enumerate(read_all(split.images)):
            if problem:
                damaged.append(problem)
            else:
                places[digest].append((name, split.ids[i], split.labels[i].tobytes()))
    repeated = [found for found in places.values() if len(found) > 1]
    within, across = Counter[str](), Counter[str]()
    for found in repeated:
        in_splits = Counter(name for name, _, _ in found)
        within.update({name: number - 1 for name, number in in_splits.items()})
        if len(in_splits) > 1:
            across[" and ".join(in_splits)] += 1
    lines = [
        f"copies: {counted(number, 'image')} of {name} repeat others of it"
        for name, number in within.items()
        if number
    ]
    lines += [
        f"copies: {counted(number, 'image')} in both {names}" for names, number in across.items()
    ]
    torn = [found for found in repeated if len({label for _, _, label in found}) > 1]
    if torn:
        lines.append(f"copies: {counted(len(torn), 'image')} with different labels")
    if repeated:
        pairs = [" = ".join(sid for _, sid, _ in found[:2]) for found in repeated]
        lines.append(f"copies: {first_few(pairs, '; ')}")
    return lines, damaged


def _odd_names(keys: Sequence[str]) -> list[str]:
    """Notes on names of classes that are probably none."""
    notes = []
    splits = [key for key in keys if key.lower() in SPLIT_NAMES]
    if splits:
        notes.append(f"classes are called like splits: {first_few(splits)}")
    numbers = [key for key in keys if key.isdecimal()]
    if 0 < len(numbers) < len(keys):
        notes.append(f"names of {len(numbers)} classes are numbers: {first_few(numbers)}")
    unnamed = ("new folder", "untitled", "unknown", "other", "misc", "images", "tmp", "backup")
    vague = [key for key in keys if key.lower().replace("_", " ").startswith(unnamed)]
    if vague:
        notes.append(f"names that a text tower cannot know: {first_few(vague)}")
    return notes
