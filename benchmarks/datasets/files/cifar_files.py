"""CIFAR-10 and CIFAR-100 on disk: official pickles or class folders, loose or in an archive."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.cache import Arrays, cached_arrays
from benchmarks.datasets.base import hash_pixels, hash_strings
from benchmarks.datasets.files import class_folders
from benchmarks.datasets.files.class_folders import (
    ARCHIVE_ERRORS,
    SPLITS,
    Raw,
    fingerprint,
    first_in_archive,
    list_classes,
    open_archive,
    read_archive,
    read_folder,
)
from benchmarks.errors import DataError
from benchmarks.input_files import MB, opened
from benchmarks.plain_pickle import PlainUnpickler
from benchmarks.text import read_package

SIZE = 32
"""Height and width of every image, in pixels."""

_BYTES = 512 * MB
"""Largest pickle; that of CIFAR-100 has 155 MB."""
_CACHE_FORMAT = 3
"""Raise when the same files are decoded to other pixels."""


@dataclass(frozen=True)
class Layout:
    """Names and sizes of one official release."""

    key: str
    """Name of the text package and of the class-folder tree."""
    title: str
    folder: str
    """Folder that the official archive unpacks to."""
    archive: str
    train: tuple[str, ...]
    test: str
    meta: str
    meta_field: str
    label_field: str
    per_class: tuple[int, int]
    """Training and test images per class."""
    md5: tuple[str, ...]
    """Checksums of the official pickles: of the training files, the test file and the meta file."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Official class names in the official (alphabetical) order."""
        return read_package(self.key).keys


CIFAR10 = Layout(
    "cifar10",
    "CIFAR-10",
    "cifar-10-batches-py",
    "cifar-10-python.tar.gz",
    tuple(f"data_batch_{i}" for i in range(1, 6)),
    "test_batch",
    "batches.meta",
    "label_names",
    "labels",
    (5000, 1000),
    (
        "c99cafc152244af753f735de768cd75f",
        "d4bba439e000b95fd0a9bffe97cbabec",
        "54ebc095f3ab1f0389bbae665268c751",
        "634d18415352ddfa80567beed471001a",
        "482c414d41f54cd18b22e5b47cb7c3cb",
        "40351d587109b95175f43aff81a1287e",
        "5ff9c542aee3614f3951f8cda6e48888",
    ),
)
CIFAR100 = Layout(
    "cifar100",
    "CIFAR-100",
    "cifar-100-python",
    "cifar-100-python.tar.gz",
    ("train",),
    "test",
    "meta",
    "fine_label_names",
    "fine_labels",
    (500, 100),
    (
        "16019d7e3df5f24257cddd939b257f8d",
        "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "7973b15100ade9c7d40fb424638fde48",
    ),
)


@dataclass(frozen=True)
class Form:
    """One copy of the data on disk."""

    kind: Literal["pickles", "pickle archive", "tree", "tree archive"]
    path: Path

    @property
    def official_order(self) -> bool:
        """True if the images are in the order of the official release."""
        return self.kind in ("pickles", "pickle archive")


def find(root: Path, layout: Layout) -> list[Form]:
    """Return the forms of the data under `root`, preferred first, without opening an image."""
    forms: list[Form] = []
    folder = root / layout.folder
    if any((folder / name).is_file() for name in (*layout.train, layout.test, layout.meta)):
        forms.append(Form("pickles", folder))
    if (root / layout.archive).is_file():
        forms.append(Form("pickle archive", root / layout.archive))
    tree = root / layout.key
    if any((tree / split).is_dir() for split in SPLITS):
        forms.append(Form("tree", tree))
    for name in (f"{layout.key}.tar.gz", f"{layout.key}_folders.tar.gz"):
        if (root / name).is_file():
            forms.append(Form("tree archive", root / name))
    # The data root may be the tree itself, but train/ and test/ could belong to another data set.
    if not forms and set(list_classes(root, "train")) & set(layout.classes):
        forms.append(Form("tree", root))
    return forms


def tree_sizes(form: Form, layout: Layout) -> tuple[int, int] | None:
    """Count the first class's training and test images in a tree; None for another form."""
    if form.kind != "tree":
        return None
    train, test = (len(list_classes(form.path, s).get(layout.classes[0], ())) for s in SPLITS)
    return train, test


def is_lossy(form: Form, layout: Layout) -> bool:
    """Return True if the images are lossy copies, by the name of the first."""
    if form.kind == "tree":
        names = list_classes(form.path, SPLITS[0]).get(layout.classes[0], [])
        return bool(names) and class_folders.is_lossy(names[0])
    return form.kind == "tree archive" and class_folders.is_lossy(first_in_archive(form.path))


def read(form: Form, layout: Layout) -> dict[str, Raw]:
    """Read both complete splits: in official order from pickles, otherwise by class and file name.

    Decoded images are kept in the user's cache, keyed by content or by modification times.

    Raises:
        DataError: a file is damaged; the message names it.
    """

    def build() -> Arrays:
        if form.kind == "tree":
            raws = read_folder(form.path, layout.classes, SIZE)
        elif form.kind == "tree archive":
            raws = read_archive(form.path, layout.classes, SIZE)
        elif form.kind == "pickles":
            raws = _read_pickles(form.path, layout)
        else:
            raws = _read_pickle_archive(form.path, layout)
        arrays = {f"{s}_{part}": getattr(raws[s], part) for s in SPLITS for part in parts}
        # Stored with the images, so that looking up cached features reads none of them.
        return arrays | {f"{s}_digest": np.array(hash_pixels(raws[s].images)) for s in SPLITS}

    parts = ("images", "labels", "files")
    stored = (*parts, "digest")
    names = [f"{split}_{part}" for split in SPLITS for part in stored]
    key = f"{layout.key}-{_CACHE_FORMAT}-{_fingerprint(form, layout)}"
    arrays = cached_arrays("cifar", key, names, build)
    raws = {}
    for split in SPLITS:
        images, labels, files, digest = (arrays[f"{split}_{part}"] for part in stored)
        raws[split] = Raw(np.asarray(images), np.asarray(labels), np.asarray(files), str(digest))
    return raws


def _fingerprint(form: Form, layout: Layout) -> str:
    if form.kind != "pickles":
        return fingerprint(form.path)
    names = (*layout.train, layout.test, layout.meta)
    if missing := [name for name in names if not (form.path / name).is_file()]:
        raise DataError(
            f"{form.path}: '{missing[0]}' is missing from the official {layout.title} files; "
            "delete the folder and download it again."
        )
    stats = [(form.path / name, (form.path / name).stat()) for name in names]
    return hash_strings([f"{f.resolve()} {s.st_size} {s.st_mtime_ns}" for f, s in stats])


def _read_pickles(folder: Path, layout: Layout) -> dict[str, Raw]:
    with _named(str(folder)):
        entries, digests = {}, []
        for name in (*layout.train, layout.test, layout.meta):
            with _named(str(folder / name)), opened(folder / name, _BYTES) as stream:
                entries[name] = _load(stream)
                stream.seek(0)
                digests.append(hashlib.file_digest(stream, "md5").hexdigest())
        raws = _from_entries(entries, layout)
    for name, found, official in zip(entries, digests, layout.md5, strict=True):
        if found != official and _official_sizes(raws, layout):
            raise DataError(
                f"{folder / name}: damaged, or not the official file (its MD5 sum is {found}, the "
                f"official one {official}): download it again."
            )
    return raws


def _official_sizes(raws: dict[str, Raw], layout: Layout) -> bool:
    """Return True if all images are here; a smaller collection is another data set."""
    sizes = [len(raws[split].labels) for split in SPLITS]
    return sizes == [number * len(layout.classes) for number in layout.per_class]


def _read_pickle_archive(archive: Path, layout: Layout) -> dict[str, Raw]:
    wanted = (*layout.train, layout.test, layout.meta)
    contents: dict[str, bytes] = {}
    try:
        with open_archive(archive) as tar:
            for member in tar:
                name = Path(member.name).name
                stream = tar.extractfile(member) if name in wanted else None
                if stream is not None:
                    contents[name] = stream.read()
    except ARCHIVE_ERRORS as error:
        raise DataError(
            f"{archive}: truncated or damaged archive ({error}); download it again."
        ) from error
    missing = [name for name in wanted if name not in contents]
    if missing:
        raise DataError(f"{archive}: not the official archive: '{missing[0]}' is missing.")
    with _named(str(archive)):
        entries = {name: _load(io.BytesIO(data)) for name, data in contents.items()}
        return _from_entries(entries, layout)


def _from_entries(entries: dict[str, Any], layout: Layout) -> dict[str, Raw]:
    """Build the splits from unpickled dictionaries.

    Raises:
        ValueError or KeyError: the contents differ from the official ones.
    """
    classes = layout.classes
    if tuple(entries[layout.meta][layout.meta_field]) != classes:
        raise ValueError("class names differ from the official ones")
    raws = {}
    for split, names in (("train", layout.train), ("test", (layout.test,))):
        data = np.concatenate([np.asarray(entries[n]["data"], dtype=np.uint8) for n in names])
        labels = np.concatenate([np.asarray(entries[n][layout.label_field]) for n in names])
        files = [f for n in names for f in entries[n]["filenames"]]
        if not len(data) == len(labels) == len(files) or data.shape[1:] != (3 * SIZE * SIZE,):
            raise ValueError("numbers of images, labels and file names differ")
        sizes = np.bincount(labels, minlength=len(classes))
        if len(sizes) != len(classes) or sizes.min() != sizes.max():
            raise ValueError("classes differ in size")
        images = data.reshape(-1, 3, SIZE, SIZE).transpose(0, 2, 3, 1)
        ids = [f"{classes[label]}/{file}" for label, file in zip(labels, files, strict=True)]
        raws[split] = Raw(np.ascontiguousarray(images), labels.astype(np.int64), np.array(ids))
    return raws


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Turn any exception into a DataError naming `path`: damaged pickles raise nearly any type."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise DataError(
            f"{path}: truncated or not an official CIFAR pickle ({reason}); download it again."
        ) from error


class _Dtype:
    """The type of an array in a pickle: whole numbers only."""

    def __init__(self, code: str, *_: Any) -> None:
        if not re.fullmatch(r"[iu][1248]", code):
            raise pickle.UnpicklingError(f"an array of type {code!r:.20}")
        self.type = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.type = self.type.newbyteorder(state[1])


class _Array:
    """An array in a pickle, once its state is set."""

    def __init__(self, *_: Any) -> None:
        self.array = np.empty(0, dtype=np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, columns, data = state
        self.array = _array(data, dtype, shape, "F" if columns else "C")


def _array(data: Any, dtype: _Dtype, shape: tuple[int, ...], order: str) -> NDArray[Any]:
    if isinstance(data, str):  # written by Python 2
        data = data.encode("latin1")
    return np.frombuffer(data, dtype.type).reshape(shape, order="F" if order == "F" else "C")


def _encoded(text: str, _: str) -> bytes:
    """Bytes, which old pickles of Python 3 contain as a text."""
    return text.encode("latin1")


class _Unpickler(PlainUnpickler):
    """Unpickler of arrays of whole numbers and of plain containers."""

    BUILT = (_Array, _Dtype)
    _STANDING_IN: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy.core.numeric", "_frombuffer"): _array,
        ("numpy", "ndarray"): None,  # only named, as the class of what is made
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): _encoded,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a constructor that the official files name."""
        # NumPy 2 moved the module named in the official files.
        known = module.replace("numpy._core", "numpy.core"), name
        if known in self._STANDING_IN:
            return self._STANDING_IN[known]
        return super().find_class(module, name)


def _load(stream: IO[bytes]) -> dict[str, Any]:
    """Read a pickled dictionary.

    Raises:
        Exception: it is damaged, or contains what official files do not; of nearly any type.
    """
    found = _Unpickler(stream, encoding="latin1").load()
    return {
        key: value.array if isinstance(value, _Array) else value for key, value in found.items()
    }
