"""Facts about a user's own data, as `show my.yaml` prints them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.base import Texts
from benchmarks.datasets.files.texts import words_card
from benchmarks.datasets.own.spec import Spec
from benchmarks.datasets.own.splits import Splits
from benchmarks.errors import NotApplicable, counted
from benchmarks.hierarchy import Hierarchy
from benchmarks.protocol import GROUPS, group_of


def description_card(spec: Spec) -> dict[str, str]:
    """Facts that the YAML file states."""
    return {
        "file": str(spec.file),
        "task": f"{spec.task}-label",
        "source": spec.source or "not stated",
        "licence": spec.licence or "not stated",
        "version": spec.version,
        "layout": _layout(spec),
    }


def data_card(spec: Spec, keys: Sequence[str], data: Splits, texts: Texts) -> dict[str, str]:
    """Facts about the data themselves; no image needs to be readable.

    Args:
        spec: the description.
        keys: the classes, as folders or table cells spell them.
        data: the splits of one split seed, which the counts refer to.
        texts: the text package.
    """
    facts = {"classes": str(len(keys))}
    train, test = data.counts
    most, least = int(train.argmax()), int(train.argmin())
    sizes = f"{train[most]} a class"
    if train[most] > train[least]:
        sizes = (
            f"largest class '{keys[most]}' with {train[most]}, "
            f"smallest '{keys[least]}' with {train[least]}"
        )
    facts["training images"] = f"{len(data.splits['train']):,}; {sizes}"
    reach = f"{test.min()} to {test.max()}" if test.min() < test.max() else f"{test.min()}"
    facts["test images"] = f"{len(data.splits['test']):,}; {reach} a class"
    facts["validation"] = (
        f"{len(data.splits['val']):,} images: {data.validation_source}"
        if data.splits["val"]
        else "no validation images of its own"
    )
    facts["groups"] = _groups(spec, train)
    described = "descriptions" if texts.descriptions else "no descriptions"
    facts["texts"] = (
        f"{counted(len(texts.templates), 'template')}, {described}; text hash {texts.digest}"
    )
    return facts | words_card(texts)


def levels(hierarchy: Callable[[], Hierarchy]) -> str:
    """Source of a tree and its numbers of nodes by level, or the reason why it cannot be built."""
    try:
        tree = hierarchy()
    except NotApplicable as reason:
        return str(reason)
    starts = [
        {path[: level + 1] for path in tree.paths if len(path) > level}
        for level in range(tree.depths.max())
    ]
    return f"{tree.source}: {' / '.join(str(len(nodes)) for nodes in starts)} nodes by level"


def _layout(spec: Spec) -> str:
    places = spec.places
    if places.table is not None:
        return f"{places.table}, paths from {places.images['']}"
    if places.huggingface is not None:
        return str(places.huggingface)
    files = {split: " + ".join(map(str, files)) for split, files in places.shards.items()}
    by_split = files or {split: str(folder) for split, folder in places.images.items()}
    return ", ".join(f"{split}: {place}" if split else place for split, place in by_split.items())


def _groups(spec: Spec, train: NDArray[np.int64]) -> str:
    rule = spec.groups
    if rule == "auto":
        rule = "lift" if spec.task == "single" else "lmpt"
    groups = group_of(train, rule)
    sizes = [int((groups == name).sum()) for name in GROUPS]
    said = f"many / medium / few {' / '.join(map(str, sizes))} (rule {rule})"
    if 0 in sizes and rule != "thirds":
        said += "; empty groups show '–', write `groups: thirds` to rank the classes instead"
    return said
