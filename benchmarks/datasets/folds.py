"""Folds of the training images, each of which scores a model that was fitted on the others.

A tenth of a class of five images is no image at all. With K folds every class with two or more
images is scored on all of them: a class with K images or fewer by leaving one out at a time.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from benchmarks import randomness
from benchmarks.datasets.base import DataSet
from benchmarks.datasets.carving import subset

STAYS = -1
"""Fold of an image that is in all training sets: the only one of a class."""


def fold_of(data: DataSet, folds: int, split_seed: int) -> NDArray[np.int64]:
    """Return the fold that each of N training images is held out in, (N,); STAYS for none.

    The images of a class are spread evenly over the folds. A multi-label image counts for all its
    classes, and rare classes choose first (iterative stratification; Sechidis et al. 2011, ECML).
    Multi-label images without a class stay. The draw is keyed by sample id and split seed.
    """
    labels, counts = data.train.labels, data.counts
    rank = randomness.uniform(randomness.sample_keys(data.train.ids), "folds", split_seed)
    found = np.full(len(labels), STAYS, dtype=np.int64)
    if data.task == "single":
        start = 0  # goes on from class to class, so that small classes do not all use fold 0
        for c in np.flatnonzero(counts > 1):
            members = np.flatnonzero(labels == c)
            places = start + np.arange(len(members))
            found[members[np.argsort(rank[members])]] = places % folds
            start += len(members)
        return found
    alone = labels[:, counts == 1].any(1)
    held = np.zeros((folds, data.num_classes), dtype=np.int64)
    sizes = np.zeros(folds, dtype=np.int64)
    for c in np.argsort(counts, kind="stable"):
        members = np.flatnonzero((labels[:, c] > 0) & ~alone & (found == STAYS))
        for i in members[np.argsort(rank[members])]:
            fold = int(np.lexsort((sizes, held[:, c]))[0])
            found[i] = fold
            held[fold] += labels[i]
            sizes[fold] += 1
    return found


def held_out(data: DataSet, folds: int, fold: int, split_seed: int) -> DataSet:
    """Return the data set with a fold of its training images as its validation images.

    Validation images of its own are left out. Groups are still those of the whole training set.
    `validation` is None if a fold has no images, this one or another.
    """
    found = fold_of(data, folds, split_seed)
    mine = found == fold
    filled = len(np.unique(found[found != STAYS])) == folds
    kept, out = (subset(data.train, np.flatnonzero(mask)) for mask in (~mine, mine))
    return dataclasses.replace(
        data,
        train=kept,
        validation=(lambda: out) if filled else None,
        validation_source=f"fold {fold + 1} of {folds} of the training images, not trained on",
        group_counts=data.counts if data.group_counts is None else data.group_counts,
    )
