"""A look at a data set before anything is trained on it: damaged images, and images met twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.cache import Arrays, cached_arrays
from benchmarks.datasets.base import DataSet, Images, hash_strings
from benchmarks.errors import DataError, counted
from benchmarks.file_names import safe
from benchmarks.loading import in_threads

Progress = Callable[[int, int], None]
"""Told (images done, images in all)."""
SHOWN = 5
"""Damaged images that are printed; the file has all of them."""


@dataclass(frozen=True)
class Findings:
    """What reading every image of a data set brought to light."""

    images: int
    damaged: tuple[str, ...]
    """A line each."""
    twice: tuple[tuple[str, str], ...]
    """(training id, test id) of images with the very same pixels."""


def examine(
    data: DataSet,
    progress: Progress = lambda done, total: None,
    *,
    validation: bool = False,
) -> Findings:
    """Read every image of a data set that a run would read.

    Args:
        data: its training and test images are read.
        progress: told how far it is.
        validation: the run selects on validation images: read its own, where it has any.
    """
    splits = [data.train, data.test]
    if validation and data.validation is not None:
        splits.append(data.validation())
    done, total = 0, sum(map(len, splits))
    damaged: list[str] = []
    content: list[dict[str, str]] = []
    for split in splits:
        content.append({})
        for i, (digest, problem) in enumerate(_looks(split.images)):
            if problem:
                damaged.append(problem)
            else:
                content[-1].setdefault(split.ids[i], digest)
            done += 1
            if done % 256 == 0 or done == total:
                progress(done, total)
    train, test, *_ = content
    return Findings(total, tuple(damaged), _twice(train, test))


def damaged(images: Images) -> dict[int, str]:
    """What is wrong with images, by index, a line each; nothing for those that can be read."""
    return {index: problem for index, (_, problem) in enumerate(_looks(images)) if problem}


def seen_twice(data: DataSet) -> tuple[tuple[str, str], ...]:
    """(training id, test id) of images with the very same pixels; for images in memory."""
    digests = (
        {sid: _digest(split.images, i) for i, sid in enumerate(split.ids)}
        for split in (data.train, data.test)
    )
    return _twice(*digests)


def known_twice(data: DataSet) -> tuple[tuple[str, str], ...]:
    """`seen_twice`, remembered in the user's cache: no image is read for it a second time."""

    def build() -> Arrays:
        return {"pairs": np.array(seen_twice(data), dtype=np.str_).reshape(-1, 2)}

    splits = (data.train, data.test)
    key = hash_strings([text for s in splits for text in (s.images.digest(), "|", *s.ids)])
    pairs = cached_arrays("twice", key, ["pairs"], build)["pairs"]
    return tuple((str(train), str(test)) for train, test in pairs)


def report(name: str, found: Findings, folder: Path) -> str:
    """One line on what was found, and a file `folder/NAME.txt` with all of it if there is anything.

    What an earlier look left there is replaced, or taken away.

    Raises:
        DataError: some images are damaged.
    """
    file = folder / f"{safe(name)}.txt"
    file.unlink(missing_ok=True)
    lines = [*found.damaged, *(f"{train} = {test}" for train, test in found.twice)]
    if lines:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if found.damaged:
        first = " ".join(found.damaged[:SHOWN])
        more = "" if len(found.damaged) <= SHOWN else " …"
        raise DataError(
            f"{name}: {len(found.damaged)} of {found.images:,} images are damaged, all listed in "
            f"{file}. {first}{more}"
        )
    said = f"{name}: {found.images:,} images read, none damaged"
    if found.twice:
        said += f"; {twice_note(found.twice)} ({file})"
    return f"{said}."


def twice_note(twice: tuple[tuple[str, str], ...]) -> str:
    """How many test images are training images as well, in words."""
    number = len({test for _, test in twice})
    verb = "has" if number == 1 else "have"
    return f"{counted(number, 'test image')} {verb} the very pixels of a training image"


def _looks(images: Images) -> Iterator[tuple[str, str]]:
    """(digest, "") or ("", what is wrong) of every image, in order."""

    def look(index: int) -> tuple[str, str]:
        try:
            return _digest(images, index), ""
        except DataError as error:
            return "", str(error)

    return in_threads(look, range(len(images)))


def _digest(images: Images, index: int) -> str:
    pixels = images.read(index)
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def _twice(train: dict[str, str], test: dict[str, str]) -> tuple[tuple[str, str], ...]:
    of = {digest: sid for sid, digest in train.items()}
    return tuple((of[digest], sid) for sid, digest in test.items() if digest in of)
