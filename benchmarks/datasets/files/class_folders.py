"""Small images in class folders, `{train,test}/CLASS/*.png`, loose or in a tar archive.

All images are decoded into memory, so this is only for collections of small images of one size.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.datasets.files.image_files import UNREADABLE, file_names
from benchmarks.datasets.files.image_limits import FORMATS
from benchmarks.datasets.files.links import Links
from benchmarks.errors import DataError
from benchmarks.input_files import opened

SPLITS = ("train", "test")
_UNPACKED_BYTES = 1_000_000_000
"""Largest archive once it is unpacked; CIFAR's have 0.2 GB."""
_IMAGE_BYTES = 1_000_000
"""Largest file of an image of at most 64×64."""

ARCHIVE_ERRORS = (tarfile.TarError, EOFError, zlib.error, OSError)
"""Exceptions that reading a truncated or damaged `.tar.gz` may raise."""


@dataclass(frozen=True)
class Raw:
    """One complete official split."""

    images: NDArray[np.uint8]
    """(N, H, W, 3)"""
    labels: NDArray[np.int64]
    """(N,)"""
    files: NDArray[np.str_]
    """(N,) `CLASS/FILE`; file names alone need not be unique (CIFAR-100 has two that are not)."""
    digest: str = ""
    """Hash of the images; "" if not computed."""


def read_folder(folder: Path, classes: Sequence[str], size: int) -> dict[str, Raw]:
    """Read both splits of the tree under `folder`, sorted by class and file name.

    Args:
        folder: contains `train` and `test`.
        classes: names of the class folders in index order.
        size: height and width that every image must have.

    Raises:
        DataError: a class folder is missing, unknown or differs in size, or an image is
            unreadable; the message names it.
    """
    listing = {split: list_classes(folder, split) for split in SPLITS}
    for split in SPLITS:
        _check(listing[split], classes, f"{folder / split}")
    raws = {}
    for split in SPLITS:
        images = {}
        for label in classes:
            for file in listing[split][label]:
                path = folder / split / label / file
                try:
                    with opened(path, _IMAGE_BYTES) as stream:
                        images[f"{label}/{file}"] = _decode(stream, size, str(path))
                except OSError as error:
                    raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
        raws[split] = _assemble(images, classes)
    return raws


def read_archive(archive: Path, classes: Sequence[str], size: int) -> dict[str, Raw]:
    """Read both splits of the tree in a `.tar.gz` like `read_folder`, without unpacking it.

    Members are named `train/CLASS/FILE.png`, optionally inside one top folder.
    """
    images: dict[str, dict[str, NDArray[np.uint8]]] = {split: {} for split in SPLITS}
    listing: dict[str, dict[str, list[str]]] = {split: {} for split in SPLITS}
    try:
        with open_archive(archive) as tar:
            for split, label, file, stream, name in _members(tar, archive):
                listing[split].setdefault(label, []).append(file)
                images[split][f"{label}/{file}"] = _decode(stream, size, f"{name} in {archive}")
    except ARCHIVE_ERRORS as error:
        raise DataError(
            f"{archive}: truncated or damaged archive ({error}); download it again."
        ) from error
    for split in SPLITS:
        _check(listing[split], classes, f"{split}/ in {archive}")
    return {split: _assemble(images[split], classes) for split in SPLITS}


class _Bounded:
    """A stream of bytes that ends with an error when it is too long."""

    def __init__(self, stream: Any, limit: int) -> None:
        self._stream, self._left = stream, limit

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes.

        Raises:
            OSError: the limit is reached.
        """
        data: bytes = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise OSError("it unpacks to more than CIFAR has")
        return data


@contextmanager
def open_archive(archive: Path) -> Iterator[tarfile.TarFile]:
    """Open a `.tar.gz` to read its members one after the other, up to a size.

    Raises:
        OSError, tarfile.TarError, EOFError, zlib.error: see `ARCHIVE_ERRORS`.
    """
    with opened(archive) as packed, gzip.open(packed) as stream:
        bounded: Any = _Bounded(stream, _UNPACKED_BYTES)
        with tarfile.open(fileobj=bounded, mode="r|") as tar:
            yield tar


def list_classes(folder: Path, split: str) -> dict[str, list[str]]:
    """List the PNG file names of each class folder of one split; empty if there is no split.

    Raises:
        DataError: a link leads out of `folder`, or a folder cannot be listed.
    """
    links = Links(folder)
    found: dict[str, list[str]] = {}
    try:
        labels = sorted(p for p in (folder / split).iterdir() if _visible(p.name) and p.is_dir())
    except (NotADirectoryError, FileNotFoundError):
        return {}
    except OSError as error:
        raise DataError(f"{folder / split}: cannot be listed ({error.strerror}).") from error
    for label in labels:
        names = file_names(label, links)
        files = sorted(f for f in names if _visible(f) and f.lower().endswith(".png"))
        for file in files:
            if names[file]:
                links.check(label / file)
        found[label.name] = files
    return found


def fingerprint(path: Path) -> str:
    """Hash an archive's bytes, or a tree's file names, sizes and modification times."""
    if path.is_file():
        with opened(path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:24]
    digest = hashlib.sha256(str(path.resolve()).encode())
    for split in SPLITS:
        for label, files in list_classes(path, split).items():
            for file in files:
                info = (path / split / label / file).stat()
                digest.update(
                    f"{split}/{label}/{file} {info.st_size} {info.st_mtime_ns}\n".encode()
                )
    return digest.hexdigest()[:24]


def _visible(name: str) -> bool:
    """Return False for hidden files, which file managers and macOS's tar leave behind."""
    return not name.startswith((".", "__MACOSX"))


def _members(tar: tarfile.TarFile, archive: Path) -> Iterator[tuple[str, str, str, IO[bytes], str]]:
    """Yield (split, class, file name, opened file, full name) of each image in an archive."""
    for member in tar:
        parts = PurePosixPath(member.name).parts
        image = member.isfile() and member.name.lower().endswith(".png")
        if not image or len(parts) not in (3, 4) or not all(map(_visible, parts)):
            continue
        split, label, file = parts[-3:]
        stream = tar.extractfile(member)
        if member.size > _IMAGE_BYTES:
            raise DataError(f"{member.name} in {archive}: {member.size:,} bytes, too many for it.")
        if split in SPLITS and stream is not None:
            yield split, label, file, stream, member.name


def _decode(stream: IO[bytes], size: int, where: str) -> NDArray[np.uint8]:
    """Decode one image to (size, size, 3); errors call it `where`."""
    data = stream.read()
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.size != (size, size):
                width, height = image.size
                raise DataError(f"{where}: the image is {width}×{height}, expected {size}×{size}.")
            return np.asarray(image.convert("RGB"))
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: unreadable or truncated image.") from error


def _check(listing: dict[str, list[str]], classes: Sequence[str], where: str) -> None:
    """Refuse a split whose folders are not exactly `classes`, with equally many images each."""
    missing = [label for label in classes if not listing.get(label)]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DataError(f"{where}: no images of class '{missing[0]}'{more}.")
    unknown = sorted(set(listing) - set(classes))
    if unknown:
        raise DataError(f"{where}: folder '{unknown[0]}' is not a class of this data set.")
    usual = Counter(len(files) for files in listing.values()).most_common(1)[0][0]
    for label in classes:
        if len(listing[label]) != usual:
            raise DataError(
                f"{where}: class '{label}' has {len(listing[label])} images, "
                f"the other classes have {usual}."
            )


def _assemble(images: dict[str, NDArray[np.uint8]], classes: Sequence[str]) -> Raw:
    index = {label: i for i, label in enumerate(classes)}
    files = sorted(images, key=lambda f: (index[f.split("/")[0]], f))
    return Raw(
        np.stack([images[f] for f in files]),
        np.array([index[f.split("/")[0]] for f in files], dtype=np.int64),
        np.array(files),
    )
