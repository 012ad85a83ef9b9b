"""A user's own images in folders that are named after their class."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from benchmarks.datasets.files.characters import shown, trouble
from benchmarks.datasets.files.image_files import SUFFIXES
from benchmarks.datasets.files.links import Links
from benchmarks.datasets.own.contents import described
from benchmarks.datasets.own.entries import UNASSIGNED, Entry, Listing, file_size
from benchmarks.datasets.own.labels import SPLIT_NAMES
from benchmarks.datasets.own.words import nfc
from benchmarks.errors import DataError, DataMissing, counted, first_few
from benchmarks.file_names import is_hidden

_LIKE_A_SPLIT = re.compile(
    r"(train|training|test|testing|val|valid|validation|eval|evaluation|dev)"
    r"([ _.-]?(set|data|images|imgs|split|\d+))*",
    re.IGNORECASE,
)
"""Names of folders that probably are splits and no classes, such as `train_set` and `val2017`."""


def read_tree(images: Mapping[str, Path], known: Collection[str] = ()) -> Listing:
    """List the images under the class folders, sorted by id; hidden files are skipped.

    Args:
        images: split -> folder of class folders; "" -> a folder of either class folders or one
            such folder for each split.
        known: names that are known to be classes.

    Raises:
        DataMissing: there is no such folder.
        DataError: no class folder, one that cannot be read, a name that is not UTF-8, or folders
            of splits where classes are expected.
    """
    folders = _splits(images[""]) if "" in images else dict(images)
    _refuse_overlap(folders)
    for place in (*images.values(), *folders.values()):
        if place.resolve() == Path(place.resolve().anchor):
            raise DataError(f"{place}: the whole disk is not a folder of images.")
    entries: dict[str, Entry] = {}
    keys: set[str] = set()
    unused: Counter[tuple[str, str]] = Counter()
    for split, folder in folders.items():
        there = _children(folder)
        classes = [child.name for child in there if _is_folder(child)]
        loose = sum(is_image(child.name) for child in there if not _is_folder(child))
        if loose:
            unused["image", "outside the class folders"] += loose
        if split in ("test", "val") and not there:  # as programs leave that export three folders
            unused["empty folder", f"for {split}"] += 1
            continue
        if not classes:
            raise DataError(f"{folder} has no class folders; {described(images.get('', folder))}.")
        for name in classes:
            keys.add(nfc(name))
            links = Links(images.get("", folder))
            if wrong := trouble(name):
                raise DataError(f"{folder}: the name of the folder '{shown(name)}' {wrong}.")
            for file, size in files_under(folder / name, links, f"{name}/"):
                if not is_image(file):
                    unused["file", f"with the ending '{os.path.splitext(file)[1]}'"] += 1
                    continue
                sid = _checked(file if split == UNASSIGNED else f"{split}/{file}", folder)
                if sid in entries:
                    raise DataError(
                        f"{folder / file}: the name of another file differs only in its Unicode "
                        "form; rename one of them."
                    )
                entries[sid] = Entry(sid, file, split, (nfc(name),), size=size)
    if not entries:
        where = ", ".join(map(str, folders.values()))
        place = images.get("", next(iter(folders.values())))
        raise DataError(
            f"{where}: the {len(keys)} class folders have no images ({', '.join(SUFFIXES)}); "
            f"{described(place)}."
        )
    if UNASSIGNED in folders:
        _refuse_splits(folders[UNASSIGNED], entries, known)
    passed = [f"{counted(n, noun)} {which}" for (noun, which), n in unused.items()]
    notes = [f"not used: {first_few(passed)}"] if passed else []
    ordered = tuple(entries[sid] for sid in sorted(entries))
    return Listing(ordered, folders, keys=tuple(sorted(keys)), notes=tuple(notes))


def has_folders(folder: Path) -> bool:
    """True if a folder contains visible folders, which may be classes or splits."""
    return any(_is_folder(child) for child in _children(folder))


def _splits(folder: Path) -> dict[str, Path]:
    """Split -> folder; just the folder itself if its folders are classes.

    A class may be called train: a single such folder among others is taken as a class.
    """
    names = [child.name for child in _children(folder) if _is_folder(child)]
    known = {name: SPLIT_NAMES[name.lower()] for name in names if name.lower() in SPLIT_NAMES}
    if "train" not in known.values() or (len(known) == 1 and len(names) > 1):
        return {UNASSIGNED: folder}
    repeated = [split for split, n in Counter(known.values()).items() if n > 1]
    if repeated:
        both = " and ".join(name for name, split in known.items() if split == repeated[0])
        raise DataError(
            f"{folder}: {both} are both for '{repeated[0]}'; write `images:` with one folder for "
            "each split."
        )
    if len(known) < len(names):
        other = [name for name in names if name not in known]
        raise DataError(
            f"{folder}: besides {', '.join(known)} it contains {first_few(other)}; write `images:` "
            "with one folder for each split."
        )
    return {split: folder / name for name, split in known.items()}


def _refuse_splits(folder: Path, files: Iterable[str], known: Collection[str]) -> None:
    """Refuse folders that look like splits above or below class folders: all would be pooled.

    Args:
        folder: the folder of class folders.
        files: paths of the images under it.
        known: names that are known to be classes.
    """
    inside: dict[str, set[str]] = {}
    """Class folder -> the folders in it that contain images, "" for itself."""
    for file in files:
        first, *between, _ = file.split("/")
        inside.setdefault(first, set()).add(between[0] if between else "")
    for name, below in inside.items():
        if "" not in below and name not in known and _LIKE_A_SPLIT.fullmatch(name):
            raise DataError(
                f"{folder}: '{name}' looks like a split with class folders in it "
                f"({first_few(sorted(below))}): write `images: {{train: FOLDER, test: FOLDER}}`; "
                "if it is a class, list it in `classes:`."
            )
        splits = {SPLIT_NAMES.get(part.lower(), "") for part in below}
        if "train" in splits and splits & {"test", "val"}:
            raise DataError(
                f"{folder}: the class folder '{name}' contains folders of splits "
                f"({first_few(sorted(below))}), which would be mixed: put the class folders into "
                "those of the splits, or list the images in a table."
            )


def _refuse_overlap(folders: Mapping[str, Path]) -> None:
    resolved = [(split, folder.resolve()) for split, folder in folders.items()]
    for i, (split, folder) in enumerate(resolved):
        for other, second in resolved[:i]:
            if folder.is_relative_to(second) or second.is_relative_to(folder):
                raise DataError(f"{folder}: its images would be in both {other} and {split}.")


def is_image(name: str) -> bool:
    """True if a file's name ends as that of an image."""
    return name.lower().endswith(SUFFIXES)


def _children(folder: Path) -> list[os.DirEntry[str]]:
    """The visible contents of a folder, sorted by name."""
    try:
        with os.scandir(folder) as found:
            return sorted((e for e in found if not is_hidden(e.name)), key=lambda e: e.name)
    except FileNotFoundError as error:
        raise DataMissing(f"{folder}: no such folder.") from error
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}).") from error


def _is_folder(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_dir()
    except OSError:  # a link to itself
        return False


def files_under(
    folder: Path, links: Links, prefix: str = "", above: frozenset[str] = frozenset()
) -> Iterator[tuple[str, int | None]]:
    """(path, size) of the files under a folder at any depth; the size of a broken link is None.

    Hidden files are left out. Links are followed, but not up to a folder that contains them.

    Args:
        folder: the folder.
        links: says which links lead out of the data.
        prefix: beginning of all paths.
        above: resolved paths of the folders that contain it, as far as they were searched.

    Raises:
        DataMissing: there is no such folder.
        DataError: a link leads out of the data, or a folder cannot be listed.
    """
    here = os.path.realpath(folder)
    if here in above:
        return
    links.check(folder)
    for child in _children(folder):
        if _is_folder(child):
            below = f"{prefix}{child.name}/"
            yield from files_under(folder / child.name, links, below, above | {here})
            continue
        size = file_size(child)
        if size is not None and child.is_symlink():
            links.check(folder / child.name)
        yield f"{prefix}{child.name}", size


def _checked(name: str, folder: Path) -> str:
    """A file's path as an id.

    Raises:
        DataError: it is not UTF-8.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        printable = name.encode(errors="surrogateescape").decode(errors="replace")
        raise DataError(f"{folder}: the name '{printable}' is not UTF-8; rename it.") from error
    return nfc(name)
