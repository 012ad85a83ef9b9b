"""The draw of CIFAR-LT (Cao et al. 2019) against the authors' code."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.datasets.long_tail import class_counts, draw
from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import EXACT, Pair, against

IMAGES = 50_000


@against(
    "kaidic/LDAM-DRW",
    "2536330f2afdaa65618323cb5a5850efccce762a",
    ["imbalance_cifar.py"],
    differs="a tree of class folders has no order of the pickles; the draw over file names has a "
    "name of its own, cao2019/name-order",
    stand_ins="torchvision's CIFAR is 50,000 numbers in place of pixels, with labels in random "
    "order",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Counts, drawn images and their labels, ratios 10 to 200, both profiles, seeds 0 and 1."""
    for classes in (10, 100):
        labels = np.random.default_rng(0).permutation(np.arange(IMAGES) % classes)
        stand_in = SimpleNamespace(datasets=SimpleNamespace(CIFAR10=_images(labels)))
        module = theirs.definitions(
            "imbalance_cifar.py", "IMBALANCECIFAR10", "IMBALANCECIFAR100",
            torchvision=stand_in, np=np,
        )  # fmt: skip
        data_set = getattr(module, f"IMBALANCECIFAR{classes}")
        for profile in ("exp", "step"):
            ours, other = [], []  # per ratio and seed: counts, drawn images and their labels
            for ratio, seed in ((10, 0), (50, 0), (100, 0), (100, 1), (200, 0)):
                counts = class_counts(IMAGES / classes, classes, ratio, profile)
                drawn, _ = draw(labels, counts, seed)
                found = data_set("", profile, 1 / ratio, rand_number=seed)
                ours.append((counts, drawn, labels[drawn]))
                other.append((found.get_cls_num_list(), found.data[:, 0], found.targets))
            sides = [map(np.concatenate, zip(*side, strict=True)) for side in (ours, other)]
            for what, mine, other in zip(("counts", "images", "labels"), *sides, strict=True):
                yield Pair(f"{what}, {classes} classes, {profile}", mine, other, EXACT)


def _images(labels: Any) -> type:
    """A class with the attributes of torchvision's CIFAR10 whose pixels are image numbers."""

    class Images:
        def __init__(self, *_: Any) -> None:
            self.data = np.arange(len(labels))[:, None]
            self.targets = labels.tolist()

    return Images
