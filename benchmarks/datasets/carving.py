"""Validation images carved from the training images of data sets that have none."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks import randomness
from benchmarks.cache import Arrays, cached_arrays
from benchmarks.datasets.base import ArrayImages, DataSet, Images, Split, hash_strings
from benchmarks.datasets.files.image_files import CropOf, crop

SHARE = 0.1
"""Share of a class's training images that become validation images."""
SMALLEST = 10
"""Classes with fewer training images keep all of them."""


@dataclass(frozen=True, eq=False)
class ImageSubset:
    """Images at some indices of another split."""

    whole: Images
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return image `index` of the subset, (H, W, 3)."""
        return self.whole.read(int(self.index[index]))

    def crop(
        self, index: int, region: CropOf, side: int, *, bicubic: bool = False
    ) -> NDArray[np.uint8]:
        """Return a region of image `index`, resized to (S, S, 3)."""
        return crop(self.whole, int(self.index[index]), region, side, bicubic=bicubic)

    def digest(self) -> str:
        """Return a hash of the whole split's digest and the indices."""
        return hash_strings([self.whole.digest(), *map(str, self.index)])


def with_validation(data: DataSet, split_seed: int) -> DataSet:
    """Return the data set with validation images, carved from train if it has none.

    The carve removes a tenth of each class's training images, at least one, from training. Classes
    with fewer than 10 images keep all of them, including images that also show other classes.
    Groups are still those of the whole training set. The draw is keyed by sample id and split seed.

    Returns:
        `data` unchanged if it has validation images, or if no class is large enough.
    """
    if data.validation is not None:
        return data
    carved = _carved(data, split_seed)
    if not carved.any():
        return data
    kept, held_out = (subset(data.train, np.flatnonzero(mask)) for mask in (~carved, carved))
    labels = held_out.labels
    classes = labels.any(0).sum() if data.task == "multi" else len(set(labels.tolist()))
    return dataclasses.replace(
        data,
        train=kept,
        validation=lambda: held_out,
        validation_source=(
            f"{len(held_out)} training images of {classes} classes, not trained on: a tenth of "
            f"each class with {SMALLEST} or more"
        ),
        group_counts=data.counts if data.group_counts is None else data.group_counts,
    )


def _carved(data: DataSet, split_seed: int) -> NDArray[np.bool_]:
    """Return a mask (N,) of the training images that become validation images."""
    keys = randomness.sample_keys(data.train.ids)
    rank = randomness.uniform(keys, "carve", split_seed)
    labels, counts = data.train.labels, data.counts
    shares = np.maximum(1, np.round(SHARE * counts)).astype(np.int64)
    shares[counts < SMALLEST] = 0
    carved = np.zeros(len(labels), dtype=bool)
    if data.task == "single":
        for c, share in enumerate(shares):
            members = np.flatnonzero(labels == c)
            carved[members[np.argsort(rank[members])[:share]]] = True
        return carved
    # Rare classes choose first, so that each gets its share; an image counts for all its classes.
    allowed = ~labels[:, counts < SMALLEST].any(1) & labels.any(1)
    left = shares.copy()
    for c in np.argsort(counts, kind="stable"):
        members = np.flatnonzero(allowed & ~carved & (labels[:, c] > 0))
        for i in members[np.argsort(rank[members])]:
            if left[c] <= 0:
                break
            # Images of rare classes also show common ones: no class loses more than twice its
            # share.
            if (left - labels[i] >= -shares).all():
                carved[i] = True
                left -= labels[i]
    return carved


def subset(split: Split, index: NDArray[np.int64]) -> Split:
    """Return the samples of a split at `index`."""
    images: Images = (
        split.images.subset(index)
        if isinstance(split.images, ArrayImages)
        else ImageSubset(split.images, index)
    )
    captions = None if split.captions is None else tuple(split.captions[i] for i in index)
    return Split(images, split.labels[index], tuple(split.ids[i] for i in index), captions)


def without_duplicates(spare: Split, train: Split, test: Split) -> Split:
    """Return `spare`, images of one size, without those that are identical to a train or test one.

    CIFAR contains exact duplicates. The user's cache holds the indices of the images kept, and
    pixels are read only when needed.
    """

    def build() -> Arrays:
        used = {s.images.read(i).tobytes() for s in (train, test) for i in range(len(s))}
        new = [spare.images.read(i).tobytes() not in used for i in range(len(spare))]
        return {"keep": np.flatnonzero(new)}

    digests = [split.images.digest() for split in (spare, train, test)]
    found = cached_arrays("copies", hash_strings(digests), ["keep"], build)
    keep = np.array(found["keep"], dtype=np.int64)
    images = ArrayImages(
        lambda: np.stack([spare.images.read(i) for i in keep.tolist()]),
        len(keep),
        ImageSubset(spare.images, keep).digest,
    )
    return Split(images, spare.labels[keep], tuple(spare.ids[i] for i in keep))
