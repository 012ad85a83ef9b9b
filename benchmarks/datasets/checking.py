"""Checks on a data set's images: damaged files, and images shared by train and test."""

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
from benchmarks.visible import visible

Progress = Callable[[int, int], None]
"""Callback that receives (images done, images in all)."""
SHOWN = 5
"""Number of damaged images that are printed; the file lists all of them."""

Pairs = tuple[tuple[str, str], ...]
"""(training id, test id) of images with identical pixels."""


@dataclass(frozen=True)
class Findings:
    """Result of reading every image of a data set."""

    images: int
    """Number of images read."""
    damaged: tuple[str, ...]
    """One line for each damaged image."""
    duplicates: Pairs


def examine(
    data: DataSet,
    progress: Progress = lambda done, total: None,
    *,
    validation: bool = False,
) -> Findings:
    """Read every image of a data set that a run would read.

    Args:
        data: the data set whose training and test images are read.
        progress: called as images are read.
        validation: also read the data set's validation images, if it has any.
    """
    splits = [data.train, data.test]
    if validation and data.validation is not None:
        splits.append(data.validation())
    done, total = 0, sum(map(len, splits))
    damaged: list[str] = []
    content: list[dict[str, str]] = []
    for split in splits:
        content.append({})
        for i, (digest, problem) in enumerate(read_all(split.images)):
            if problem:
                damaged.append(problem)
            else:
                content[-1].setdefault(split.ids[i], digest)
            done += 1
            if done % 256 == 0 or done == total:
                progress(done, total)
    train, test, *_ = content
    return Findings(total, tuple(damaged), _matches(train, test))


def damaged(images: Images) -> dict[int, str]:
    """Return one line on each damaged image, by index."""
    return {index: problem for index, (_, problem) in enumerate(read_all(images)) if problem}


def find_train_test_duplicates(data: DataSet) -> Pairs:
    """Compare the pixels of all training and test images; for images held in memory."""
    digests = (
        {sid: _digest(split.images, i) for i, sid in enumerate(split.ids)}
        for split in (data.train, data.test)
    )
    return _matches(*digests)


def train_test_duplicates(data: DataSet) -> Pairs:
    """Return `find_train_test_duplicates` from the user's cache; images are read only once."""

    def build() -> Arrays:
        found = find_train_test_duplicates(data)
        return {"pairs": np.array(found, dtype=np.str_).reshape(-1, 2)}

    splits = (data.train, data.test)
    key = hash_strings([text for s in splits for text in (s.images.digest(), "|", *s.ids)])
    pairs = cached_arrays("duplicates", key, ["pairs"], build)["pairs"]
    return tuple((str(train), str(test)) for train, test in pairs)


def report(name: str, found: Findings, folder: Path) -> str:
    """Return one line on the findings and list them, if there are any, in `folder/NAME.txt`.

    The file of an earlier check is replaced or deleted.

    Raises:
        DataError: some images are damaged.
    """
    file = folder / f"{safe(name)}.txt"
    file.unlink(missing_ok=True)
    lines = [*found.damaged, *(f"{train} = {test}" for train, test in found.duplicates)]
    if lines:
        folder.mkdir(parents=True, exist_ok=True)
        text = "\n".join(" ".join(line.splitlines()) for line in lines)
        file.write_text(visible(text) + "\n", encoding="utf-8")
    if found.damaged:
        first = " ".join(found.damaged[:SHOWN])
        more = "" if len(found.damaged) <= SHOWN else " …"
        raise DataError(
            f"{name}: {len(found.damaged)} of {found.images:,} images are damaged, all listed in "
            f"{file}. {first}{more}"
        )
    line = f"{name}: {found.images:,} images read, none damaged"
    if found.duplicates:
        number = len({test for _, test in found.duplicates})
        line += f"; {duplicates_note(number)} ({file})"
    return f"{line}."


def duplicates_note(number: int, what: str = "test image", others: str = "training") -> str:
    """Return a footnote with the number of images of one split that are also in another."""
    verb = "is" if number == 1 else "are"
    return f"{counted(number, what)} {verb} identical to a {others} image"


def read_all(images: Images) -> Iterator[tuple[str, str]]:
    """Yield (digest of the pixels, "") or ("", problem) for every image, in order."""

    def read(index: int) -> tuple[str, str]:
        try:
            return _digest(images, index), ""
        except DataError as error:
            return "", str(error)

    return in_threads(read, range(len(images)))


def _digest(images: Images, index: int) -> str:
    pixels = images.read(index)
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def _matches(train: dict[str, str], test: dict[str, str]) -> Pairs:
    by_digest = {digest: sid for sid, digest in train.items()}
    return tuple((by_digest[digest], sid) for sid, digest in test.items() if digest in by_digest)
