"""Small images in class folders, `{train,test}/CLASS/FILE`, loose or in a tar archive.

All images are decoded into memory, so this is only for collections of small images of one size.
Files have any of several formats (`LOSSLESS`, `LOSSY`). An image is known by the name of the
official PNG file, whatever its copy is called.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.datasets.files.image_files import UNREADABLE, file_names
from benchmarks.datasets.files.image_limits import FORMATS
from benchmarks.datasets.files.links import Links
from benchmarks.errors import DataError, first_few
from benchmarks.file_names import is_hidden
from benchmarks.input_files import opened

SPLITS = ("train", "test")
_UNPACKED_BYTES = 1_000_000_000
"""Largest archive once it is unpacked; CIFAR's have 0.2 GB."""
_IMAGE_BYTES = 1_000_000
"""Largest file of an image of at most 64×64."""

LOSSLESS = (".png", ".bmp")
"""Endings of copies with the official pixels, in any case."""
LOSSY = (".jpg", ".jpeg", ".webp")
"""Endings of copies whose pixels may be others."""

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
        DataError: a class folder is missing, unknown or differs in size, an image is unreadable or
            there twice, or some are lossy copies and others are not; the message names it.
    """
    listing = {split: list_classes(folder, split) for split in SPLITS}
    for split in SPLITS:
        _check(listing[split], classes, f"{folder / split}", partial(_contents, folder / split))
    _check_formats(listing, str(folder))
    raws = {}
    for split in SPLITS:
        images = {}
        for label in classes:
            for file in listing[split][label]:
                path = folder / split / label / file
                try:
                    with opened(path, _IMAGE_BYTES) as stream:
                        images[f"{label}/{official_name(file)}"] = _decode(stream, size, str(path))
                except OSError as error:
                    raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
        raws[split] = _assemble(images, classes)
    return raws


def read_archive(archive: Path, classes: Sequence[str], size: int) -> dict[str, Raw]:
    """Read both splits of the tree in a `.tar.gz` like `read_folder`, without unpacking it.

    Members are named `train/CLASS/FILE`, optionally inside one top folder.
    """
    images: dict[str, dict[str, NDArray[np.uint8]]] = {split: {} for split in SPLITS}
    listing: dict[str, dict[str, list[str]]] = {split: {} for split in SPLITS}
    try:
        with open_archive(archive) as tar:
            for split, label, file, stream, name in _members(tar, archive):
                listing[split].setdefault(label, []).append(file)
                image = _decode(stream, size, f"{name} in {archive}")
                images[split][f"{label}/{official_name(file)}"] = image
    except ARCHIVE_ERRORS as error:
        raise DataError(
            f"{archive}: truncated or damaged archive ({error}); download it again."
        ) from error
    for split in SPLITS:
        _check(listing[split], classes, f"{split}/ in {archive}", lambda _: "")
    _check_formats(listing, str(archive))
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
    """List the image files of each class folder of one split; empty if there is no split.

    Raises:
        DataError: a link leads out of `folder`, or a folder cannot be listed.
    """
    links = Links(folder)
    found: dict[str, list[str]] = {}
    try:
        labels = sorted(
            p for p in (folder / split).iterdir() if p.is_dir() and not is_hidden(p.name)
        )
    except (NotADirectoryError, FileNotFoundError):
        return {}
    except OSError as error:
        raise DataError(f"{folder / split}: cannot be listed ({error.strerror}).") from error
    for label in labels:
        names = file_names(label, links)
        files = sorted(f for f in names if _is_image(f) and not is_hidden(f))
        for file in files:
            if names[file]:
                links.check(label / file)
        found[label.name] = files
    return found


def official_name(file: str) -> str:
    """The name of the official PNG file that a file is a copy of."""
    return str(PurePosixPath(file).with_suffix(".png"))


def is_lossy(file: str) -> bool:
    """Return True for a copy whose pixels may be others."""
    return file.lower().endswith(LOSSY)


def first_in_archive(archive: Path) -> str:
    """The name of the first image in an archive; "" if there is none or the archive is damaged."""
    try:
        with open_archive(archive) as tar:
            return next((file for _, _, file, _, _ in _members(tar, archive)), "")
    except (*ARCHIVE_ERRORS, DataError):
        return ""


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


def _is_image(name: str) -> bool:
    return name.lower().endswith((*LOSSLESS, *LOSSY))


def _members(tar: tarfile.TarFile, archive: Path) -> Iterator[tuple[str, str, str, IO[bytes], str]]:
    """Yield (split, class, file name, opened file, full name) of each image in an archive."""
    for member in tar:
        parts = PurePosixPath(member.name).parts
        image = member.isfile() and _is_image(member.name)
        if not image or len(parts) not in (3, 4) or any(map(is_hidden, parts)):
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


def _contents(folder: Path, label: str) -> str:
    """Say what a split's folder holds instead of images of a class."""
    try:
        if (folder / label).is_dir():
            names = [p.name for p in (folder / label).iterdir() if not is_hidden(p.name)]
            return f"its folder holds {_kinds(names)}" if names else "its folder is empty"
        names = sorted(p.name for p in folder.iterdir() if not is_hidden(p.name))
    except OSError as error:
        return f"it cannot be listed ({error.strerror})"
    return f"there are {first_few(names)}" if names else "the folder is empty"


def _kinds(names: Iterable[str]) -> str:
    kinds = Counter(PurePosixPath(name).suffix.lower() or "without an ending" for name in names)
    return ", ".join(f"{number} {kind}" for kind, number in kinds.most_common(3))


def _check_formats(listing: dict[str, dict[str, list[str]]], where: str) -> None:
    """Refuse two copies of an image, and copies of which some are lossy and others are not."""
    every = [f for labels in listing.values() for files in labels.values() for f in files]
    if len({is_lossy(file) for file in every}) > 1:
        raise DataError(
            f"{where}: some images are lossy copies and others are not ({_kinds(every)}); keep one."
        )
    for split, labels in listing.items():
        for label, files in labels.items():
            twice = [n for n, c in Counter(map(official_name, files)).items() if c > 1]
            if twice:
                stem = PurePosixPath(twice[0]).stem
                raise DataError(f"{where}: {split}/{label} has several files of image '{stem}'.")


def _check(
    listing: dict[str, list[str]],
    classes: Sequence[str],
    where: str,
    contents: Callable[[str], str],
) -> None:
    """Refuse a split whose folders are not exactly `classes`, with equally many images each.

    Args:
        listing: image files by class.
        classes: names of the classes.
        where: place of the split, for messages.
        contents: says what is there in place of the images of a class.
    """
    missing = [label for label in classes if not listing.get(label)]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        found = f": {text}" if (text := contents(missing[0])) else ""
        raise DataError(f"{where}: no images of class '{missing[0]}'{more}{found}.")
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
