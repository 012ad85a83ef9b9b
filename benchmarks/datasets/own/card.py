"""What `show my.yaml` prints of a user's own data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.files.texts import words_card
from benchmarks.datasets.own.spec import Spec
from benchmarks.errors import DataMissing, counted
from benchmarks.protocol import GROUPS, group_of

if TYPE_CHECKING:
    from benchmarks.datasets.own.family import OwnData


def card(own: OwnData) -> dict[str, str]:
    """Its facts; counts are those of split seed 0, and no image has to be there."""
    spec = own.spec
    facts = {
        "file": str(spec.file),
        "task": f"{spec.task}-label",
        "source": spec.source or "not stated",
        "licence": spec.licence or "not stated",
        "version": spec.version,
        "layout": _layout(spec),
    }
    try:
        images = own.images
    except DataMissing as missing:
        return facts | {"data": f"not here: {missing}"}
    data = own.load_splits(0)
    facts["classes"] = str(len(images.keys))
    train, test = data.counts
    keys = images.keys
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
        else "no images of its own"
    )
    facts["groups"] = _groups(own, train)
    texts, notes = own.texts()
    described = "descriptions" if texts.descriptions else "no descriptions"
    facts["texts"] = (
        f"{counted(len(texts.templates), 'template')}, {described}; text hash {texts.digest}"
    )
    facts |= words_card(texts)
    found = images.found
    facts["note"] = "; ".join([*own.notes(), *found.notes, *notes, *data.gaps])
    facts["data"] = f"hash {own.digest}, of everything but places on disk"
    return {name: text for name, text in facts.items() if text}


def _layout(spec: Spec) -> str:
    places: Mapping[str, object] = spec.images
    if spec.table is not None:
        return f"{spec.table}, paths from {places['']}"
    return ", ".join(
        f"{split}: {folder}" if split else f"{folder}" for split, folder in places.items()
    )


def _groups(own: OwnData, train: NDArray[np.int64]) -> str:
    rule = own.default_groups
    if rule == "auto":
        rule = "lift" if own.task == "single" else "lmpt"
    groups = group_of(train, rule)
    sizes = [int((groups == name).sum()) for name in GROUPS]
    said = f"many / medium / few {' / '.join(map(str, sizes))} (rule {rule})"
    if 0 in sizes and rule != "thirds":
        said += "; an empty group shows '–', `groups: thirds` ranks the classes instead"
    return said
