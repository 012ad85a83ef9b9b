"""Image files that two splits share: under one name, behind links, or as copies.

Reading all pixels of a large data set takes minutes; the sizes of its files take a second. So
contents are compared only for files of equal size, and only if these are few enough.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.datasets.base import Images
from benchmarks.datasets.carving import ImageSubset
from benchmarks.datasets.files.image_files import FileImages
from benchmarks.datasets.files.resized import ResizedImages
from benchmarks.input_files import opened
from benchmarks.loading import in_threads

MOST_FILES = 4_000
"""Files of which another has the same size, up to which contents are compared."""
MOST_BYTES = 400_000_000
"""Their bytes, likewise."""


def files_of(images: Images) -> list[Path] | None:
    """Return the N files of a split's images; None for images that are not in files."""
    if isinstance(images, FileImages):
        return [images.root / file for file in images.files]
    if isinstance(images, ResizedImages):
        return files_of(images.whole)
    if isinstance(images, ImageSubset):
        whole = files_of(images.whole)
        return None if whole is None else [whole[index] for index in images.index.tolist()]
    return None


def same_files(first: Images, second: Images) -> list[tuple[int, int]]:
    """Find the images of `second` that are the same file as an image of `first`, or a copy of it.

    Files that cannot be read are left out: whoever needs them says so.

    Returns:
        Pairs of positions, one for each image of `second` that was found. Empty for images that are
        not in files.
    """
    ours, theirs = files_of(first), files_of(second)
    if ours is None or theirs is None:
        return []
    ours_by_node: dict[tuple[int, int], int] = {}
    ours_by_size: dict[int, list[int]] = defaultdict(list)
    for index, info in _stats(ours):
        ours_by_node.setdefault((info.st_dev, info.st_ino), index)
        ours_by_size[info.st_size].append(index)
    found: dict[int, int] = {}
    alike: dict[int, list[int]] = defaultdict(list)
    for index, info in _stats(theirs):
        one = ours_by_node.get((info.st_dev, info.st_ino))
        if one is not None:
            found[index] = one
        elif info.st_size in ours_by_size:
            alike[info.st_size].append(index)
    files = sum(len(ours_by_size[size]) + len(own) for size, own in alike.items())
    size = sum(n * (len(ours_by_size[n]) + len(own)) for n, own in alike.items())
    if files <= MOST_FILES and size <= MOST_BYTES:
        mine = _digests(ours, (index for n in alike for index in ours_by_size[n]))
        by_digest = {digest: index for index, digest in mine.items()}
        for index, digest in _digests(theirs, (i for own in alike.values() for i in own)).items():
            if digest in by_digest:
                found[index] = by_digest[digest]
    return sorted((one, index) for index, one in found.items())


def _stats(files: list[Path]) -> Iterator[tuple[int, os.stat_result]]:
    for index, file in enumerate(files):
        try:
            yield index, os.stat(file)
        except OSError:
            continue


def _digests(files: list[Path], indices: Iterable[int]) -> dict[int, bytes]:
    def digest(index: int) -> tuple[int, bytes]:
        try:
            with opened(files[index]) as stream:
                return index, hashlib.file_digest(stream, "blake2b").digest()
        except OSError:
            return index, b""

    return {index: found for index, found in in_threads(digest, list(indices)) if found}
