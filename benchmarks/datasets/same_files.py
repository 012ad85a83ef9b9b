"""Image files that two splits share: under one name, behind links, or as copies.

Reading all pixels of a large data set takes minutes; the sizes of its files take a second. So
contents are compared only for files of equal size, and only if these are few enough.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.datasets.base import Images
from benchmarks.datasets.carving import ImageSubset
from benchmarks.datasets.files.image_files import FileImages
from benchmarks.datasets.files.packed import PackedImages
from benchmarks.datasets.files.resized import ResizedImages
from benchmarks.errors import DataError
from benchmarks.input_files import opened
from benchmarks.loading import in_threads

MOST_FILES = 4_000
"""Files of which another has the same size, up to which contents are compared."""
MOST_BYTES = 400_000_000
"""Their bytes, likewise."""


def files_of(images: Images) -> list[Path | Packed] | None:
    """Return the N files of a split's images; None for images that are not in files."""
    if isinstance(images, FileImages):
        return [images.root / file for file in images.files]
    if isinstance(images, PackedImages):
        return [Packed(images, index) for index in range(len(images))]
    if isinstance(images, ResizedImages):
        return files_of(images.whole)
    if isinstance(images, ImageSubset):
        whole = files_of(images.whole)
        return None if whole is None else [whole[index] for index in images.index.tolist()]
    return None


@dataclass(frozen=True)
class Packed:
    """An image in a larger file."""

    images: PackedImages
    index: int

    @property
    def node(self) -> tuple[int, str]:
        """Pair that no other image has."""
        return id(self.images.pack), self.images.names[self.index]

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.images.pack.size(self.images.names[self.index])


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
    ours_by_node: dict[tuple[int, int | str], int] = {}
    ours_by_size: dict[int, list[int]] = defaultdict(list)
    for index, node, size in _stats(ours):
        ours_by_node.setdefault(node, index)
        ours_by_size[size].append(index)
    found: dict[int, int] = {}
    alike: dict[int, list[int]] = defaultdict(list)
    for index, node, size in _stats(theirs):
        one = ours_by_node.get(node)
        if one is not None:
            found[index] = one
        elif size in ours_by_size:
            alike[size].append(index)
    files = sum(len(ours_by_size[size]) + len(own) for size, own in alike.items())
    size = sum(n * (len(ours_by_size[n]) + len(own)) for n, own in alike.items())
    if files <= MOST_FILES and size <= MOST_BYTES:
        mine = digests(ours, (index for n in alike for index in ours_by_size[n]))
        by_digest = {digest: index for index, digest in mine.items()}
        for index, digest in digests(theirs, (i for own in alike.values() for i in own)).items():
            if digest in by_digest:
                found[index] = by_digest[digest]
    return sorted((one, index) for index, one in found.items())


def _stats(
    files: Iterable[Path | Packed],
) -> Iterator[tuple[int, tuple[int, int | str], int]]:
    """Yield (position, what no other file has, bytes) of each file that is there."""
    for index, file in enumerate(files):
        if isinstance(file, Packed):
            yield index, file.node, file.size
            continue
        try:
            info = os.stat(file)
        except OSError:
            continue
        yield index, (info.st_dev, info.st_ino), info.st_size


def digests(files: Sequence[Path | Packed], indices: Iterable[int]) -> dict[int, bytes]:
    """Hash the contents of some of the files, by position; those that cannot be read are absent."""

    def digest(index: int) -> tuple[int, bytes]:
        file = files[index]
        try:
            if isinstance(file, Packed):
                return index, hashlib.blake2b(file.images.encoded(file.index).data).digest()
            with opened(file) as stream:
                return index, hashlib.file_digest(stream, "blake2b").digest()
        except (OSError, DataError):
            return index, b""

    return {index: found for index, found in in_threads(digest, list(indices)) if found}
