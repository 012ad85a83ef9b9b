"""Validation images for data sets that bring none: a part of the training images, taken away."""

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
"""Of a class's training images that are taken."""
SMALLEST = 10
"""Training images of the smallest class that anything is taken from."""


@dataclass(frozen=True, eq=False)
class PartOfImages:
    """Some of the images of another split."""

    whole: Images
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)

    def read(self, index: int) -> NDArray[np.uint8]:
        """Image `index` of the part, (H, W, 3)."""
        return self.whole.read(int(self.index[index]))

    def crop(self, index: int, part: CropOf, side: int) -> NDArray[np.uint8]:
        """A part of image `index`, resized to (S, S, 3)."""
        return crop(self.whole, int(self.index[index]), part, side)

    def digest(self) -> str:
        """A hash of the whole's and of which images are taken."""
        return hash_strings([self.whole.digest(), *map(str, self.index)])


def with_validation(data: DataSet, split_seed: int) -> DataSet:
    """The data set with validation images, its own where it has any.

    Else a tenth of each class's training images, at least one, is taken away from training; classes
    with fewer than 10 keep all of theirs, and so does an image that shows one of them. Groups stay
    those of the whole training set. The draw is by sample id and split seed.

    Returns:
        `data` itself if it has validation images, or if no class is large enough.
    """
    if data.validation is not None:
        return data
    taken = _taken(data, split_seed)
    if not taken.any():
        return data
    kept, spare = (part(data.train, np.flatnonzero(which)) for which in (~taken, taken))
    classes = spare.labels.any(0).sum() if data.task == "multi" else len(set(spare.labels.tolist()))
    return dataclasses.replace(
        data,
        train=kept,
        validation=lambda: spare,
        validation_source=(
            f"{len(spare)} training images of {classes} classes, not trained on: a tenth of each "
            f"class with {SMALLEST} or more"
        ),
        group_counts=data.counts if data.group_counts is None else data.group_counts,
    )


def _taken(data: DataSet, split_seed: int) -> NDArray[np.bool_]:
    """(N,) which training images are taken."""
    keys = randomness.sample_keys(data.train.ids)
    rank = randomness.uniform(keys, "carve", split_seed)
    labels, counts = data.train.labels, data.counts
    shares = np.maximum(1, np.round(SHARE * counts)).astype(np.int64)
    shares[counts < SMALLEST] = 0
    taken = np.zeros(len(labels), dtype=bool)
    if data.task == "single":
        for c, share in enumerate(shares):
            own = np.flatnonzero(labels == c)
            taken[own[np.argsort(rank[own])[:share]]] = True
        return taken
    # Rare classes choose first, so that each gets its share and an image counts for all it shows.
    allowed = ~labels[:, counts < SMALLEST].any(1) & labels.any(1)
    left = shares.copy()
    for c in np.argsort(counts, kind="stable"):
        own = np.flatnonzero(allowed & ~taken & (labels[:, c] > 0))
        for i in own[np.argsort(rank[own])]:
            if left[c] <= 0:
                break
            # No class gives more than twice its share: what is common accompanies what is rare.
            if (left - labels[i] >= -shares).all():
                taken[i] = True
                left -= labels[i]
    return taken


def part(split: Split, index: NDArray[np.int64]) -> Split:
    """The samples of a split at `index`."""
    images: Images = (
        split.images.part(index)
        if isinstance(split.images, ArrayImages)
        else PartOfImages(split.images, index)
    )
    captions = None if split.captions is None else tuple(split.captions[i] for i in index)
    return Split(images, split.labels[index], tuple(split.ids[i] for i in index), captions)


def without_copies(spare: Split, train: Split, test: Split) -> Split:
    """Spare images of one size, less those that also stand in train or test.

    CIFAR has exact duplicates. Which they are is remembered in the user's cache, and the images are
    read when somebody wants them.
    """

    def build() -> Arrays:
        taken = {s.images.read(i).tobytes() for s in (train, test) for i in range(len(s))}
        new = [spare.images.read(i).tobytes() not in taken for i in range(len(spare))]
        return {"keep": np.flatnonzero(new)}

    digests = [split.images.digest() for split in (spare, train, test)]
    found = cached_arrays("copies", hash_strings(digests), ["keep"], build)
    keep = np.array(found["keep"], dtype=np.int64)
    images = ArrayImages(
        lambda: np.stack([spare.images.read(i) for i in keep.tolist()]),
        len(keep),
        PartOfImages(spare.images, keep).digest,
    )
    return Split(images, spare.labels[keep], tuple(spare.ids[i] for i in keep))
