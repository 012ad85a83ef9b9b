"""Base class of data sets whose splits are published as lists of image paths.

A family declares its lists, their URLs and checksums, and the usual folders of its images. Missing
files and deviations from the published lists are reported before anything runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.base import (
    DataSet,
    Scores,
    Split,
    hash_strings,
    images_per_class,
    refuse_shared,
)
from benchmarks.datasets.files.fetch import Source, checksum_of, fetch
from benchmarks.datasets.files.image_files import FileImages
from benchmarks.datasets.files.locate import Located, locate
from benchmarks.datasets.files.release import Release
from benchmarks.datasets.files.resized import InFiles
from benchmarks.datasets.files.split_lists import Listing, read_list
from benchmarks.datasets.files.texts import WithTexts
from benchmarks.errors import DataError, DataMissing, UserError
from benchmarks.hierarchy import Hierarchy
from benchmarks.input_files import opened
from benchmarks.text import Package, read_package

VERSION = "1"
UNVERIFIED, PUBLIC = "unverified", "public"
OFFLINE = "without data, `--datasets glyphs100_lt --backbone glyph` runs offline."

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listed(InFiles, WithTexts):
    """Family with public split lists, described by its `release`."""

    lists: str = PUBLIC
    """`public`, or a checksum of the lists if they are not the published ones. Set from the files
    found, so that results on other lists are not mistaken for results on the public ones."""

    release: ClassVar[Release]
    version: ClassVar[str] = VERSION

    def resolve(self, root: Path) -> Self:
        """Return this configuration, checked, with `lists` set from the files in `root`.

        Raises:
            UserError: `lists` differs from the lists found, or `cache_images` is out of range.
        """
        self._check_cache()
        found = self._lists_found(root)
        if self.lists not in (PUBLIC, found):
            raise UserError(
                f"{self.name}.lists={self.lists}: the lists under {root} are '{found}'."
            )
        return replace(self, lists=found)

    def load(self, root: Path, split_seed: int) -> DataSet:
        """Read the data set; its splits are public lists, so the split seed has no effect.

        Raises:
            DataMissing: lists or images are missing; the message says what to do.
            DataError: a list is damaged or has other classes, or splits share images.
        """
        package = self._package(root)
        listings = self._listings(root, package)
        for split, listing in listings.items():
            self._check_classes(split, listing, package)
        names = [split for split in ("train", "validation", "test") if split in listings]
        for i, first in enumerate(names):
            for second in names[i + 1 :]:
                refuse_shared(
                    self.name,
                    (_ADJECTIVE[first], listings[first].files),
                    (_ADJECTIVE[second], listings[second].files),
                )
        placed = self._place(root, listings)
        splits = {
            split: Split(
                FileImages(root, placed[split].files),
                listing.labels,
                listing.files,
                self._captions(root, split, listing),
            )
            for split, listing in listings.items()
        }
        texts, notes = self._texts(package)
        version, about = self._as_published(root, listings)
        validation = splits.get("validation")
        return DataSet(
            name=self.name,
            task=self.task,
            version=version,
            recipe=self.release.recipe,
            texts=texts,
            notes=(*notes, *about),
            train=self._for_training(splits["train"]),
            test=splits["test"],
            validation=None if validation is None else lambda: validation,
            validation_source=(
                f"the official validation list, {len(validation):,} images, disjoint from test"
                if validation is not None
                else ""
            ),
            hierarchy=self._tree(root, package),
            scores=self._scores(),
        )

    def _tree(self, root: Path, package: Package) -> Callable[[], Hierarchy] | None:
        """Return the builder of the tree over the classes, if there is one."""
        return self._hierarchy(package)

    def sizes(self) -> tuple[int, int]:
        """Return the numbers of training and test images of the public lists."""
        return self.release.official["train"], self.release.official["test"]

    def train_counts(self, root: Path) -> NDArray[np.int64] | None:
        """Return (C,) training images per class, or None without the lists."""
        try:
            file = self._list_files(root)["train"]
        except DataMissing:
            return None
        labels = read_list(file, self.release.classes, multi=self.task == "multi").labels
        return images_per_class(labels, self.release.classes)

    def class_count(self) -> int:
        """Return the number of classes of the public lists."""
        return self.release.classes

    def absent(self, root: Path) -> str:
        """Return a short message on missing lists; images are checked when the data are loaded."""
        try:
            self._list_files(root)
        except DataMissing as missing:
            return str(missing).partition(". ")[0].removeprefix(f"{self.name}: ")
        return ""

    def download(self, root: Path) -> str:
        """Download the lists, and the image archives that can be downloaded freely."""
        folder = root / self.name
        done = [fetch(source, folder) for source in self._absent(root, self.release.lists.values())]
        if self.release.archives and not self._all_there(root):
            done += [
                fetch(archive, folder) for archive in self._absent(root, self.release.archives)
            ]
        release = self.release
        if done:
            line = f"{release.title}: downloaded to {folder}: {'; '.join(done)}."
        else:
            line = f"{release.title}: the lists are already there."
        if self._all_there(root):
            return f"{line} The images are there."
        return f"{line} Get the images from {release.images_from}; put them in {release.layout}."

    def card(self) -> dict[str, str]:
        """Return what `show` prints."""
        sizes = {
            f"{_ADJECTIVE[split]} images": f"{self.release.official[split]:,}"
            for split in ("train", "validation", "test")
            if split in self.release.official
        }
        release = self.release
        urls = dict.fromkeys(source.url.rpartition("/")[0] for source in release.lists.values())
        return {
            "source": release.source,
            "licence": release.licence or UNVERIFIED,
            "layout": release.layout,
            "classes": str(release.classes),
            **sizes,
            "groups": release.groups or UNVERIFIED,
            **release.notes,
            "lists": "; ".join(source.describe() for source in release.lists.values()),
            "lists from": "; ".join(urls),
            "images from": release.images_from,
            "validation": release.validation,
            **self._card_of_texts(),
        }

    # ---- overridden by families --------------------------------------------------------------

    def _package(self, root: Path | None = None) -> Package:
        """Return the text package; without a data root, the part that is known without data."""
        return read_package(self.release.package, self.texts)

    def _card_of_texts(self) -> dict[str, str]:
        return self._texts_card(self._package())

    def _listings(self, root: Path, package: Package) -> dict[str, Listing]:
        """Read the lists of the splits."""
        files = self._list_files(root)
        return {
            split: read_list(files[split], len(package.keys), multi=self.task == "multi")
            for split in ("train", "validation", "test")
            if split in files
        }

    def _captions(self, root: Path, split: str, listing: Listing) -> tuple[str, ...] | None:
        return None

    def _scores(self) -> Scores:
        return "logits"

    # ---- lists and images on disk ------------------------------------------------------------

    def _folders(self) -> tuple[str, ...]:
        return (self.name, *self.release.folders, "")

    def _find(self, root: Path, path: str) -> Path | None:
        """Return the file or folder in the first of the usual folders that has it."""
        places = (root / folder / path for folder in self._folders())
        return next((place for place in places if place.exists()), None)

    def _absent(self, root: Path, sources: Iterable[Source]) -> list[Source]:
        return [source for source in sources if self._find(root, source.on_disk) is None]

    def _list_files(self, root: Path) -> dict[str, Path]:
        """Return the lists on disk by role."""
        return self._require(
            root, {role: source.on_disk for role, source in self.release.lists.items()}
        )

    def _require(self, root: Path, names: Mapping[str, str]) -> dict[str, Path]:
        """Return files on disk by role, given their names by role.

        Raises:
            DataMissing: some files are missing.
        """
        found = {role: self._find(root, name) for role, name in names.items()}
        missing = [names[role] for role, path in found.items() if path is None]
        if missing:
            raise DataMissing(
                f"{self.name}: no {', '.join(missing)} under {root}. {self._remedy(root)}"
            )
        return {role: path for role, path in found.items() if path is not None}

    def _remedy(self, root: Path) -> str:
        release = self.release
        files = "lists and images" if release.archives else "the lists"
        by_hand = "" if release.archives else f"; get the images from {release.images_from}"
        return (
            f"`python run_benchmarks.py download {self.name} --data-root {root}` downloads {files}"
            f"{by_hand}. Expected layout: {release.layout}; {OFFLINE}"
        )

    def _place(self, root: Path, listings: Mapping[str, Listing]) -> dict[str, Located]:
        """Find the images of all splits.

        Raises:
            DataMissing: some are missing; the message counts them in all splits.
        """
        placed = {
            split: locate(root, listing.files, self._folders(), self.release.rewrites)
            for split, listing in listings.items()
        }
        missing = {split: place.missing for split, place in placed.items() if place.missing}
        if missing:
            counts = ", ".join(
                f"{len(files):,} of {len(placed[split].files):,} {_ADJECTIVE[split]} images"
                for split, files in missing.items()
            )
            first = [file for files in missing.values() for file in files][:3]
            raise DataMissing(
                f"{self.name}: {counts} are missing under {root}, for example {', '.join(first)}. "
                f"{self._remedy(root)}"
            )
        return placed

    def _all_there(self, root: Path) -> bool:
        try:
            self._place(root, self._listings(root, self._package(root)))
        except DataMissing:
            return False
        return True

    # ---- comparison with the published lists -------------------------------------------------

    def _check_classes(self, split: str, listing: Listing, package: Package) -> None:
        """Refuse a list whose class numbers differ from the text package.

        In single-label data, the folder of each image is named by its class's key.
        """
        if self.task == "multi":
            return
        for path, label in zip(listing.files, listing.labels.tolist(), strict=True):
            if path.rpartition("/")[0].rpartition("/")[2] != package.keys[label]:
                raise DataError(
                    f"{self.name}: the {_ADJECTIVE[split]} list gives {path} the label {label}, "
                    f"which is {package.keys[label]}: the list numbers the classes in another "
                    "order, or its images are not in class folders."
                )

    def _as_published(
        self, root: Path, listings: Mapping[str, Listing]
    ) -> tuple[str, tuple[str, ...]]:
        """Return the version, and a footnote if the lists are not the published ones."""
        sizes = {split: len(listing.files) for split, listing in listings.items()}
        if sizes != self.release.official:
            note = (
                f"{self.name}: lists of {_sizes(sizes)} images instead of the published "
                f"{_sizes(self.release.official)}; results are not comparable with published ones"
            )
            _log.warning("%s.", note)
            return f"{VERSION}-reduced-{sizes['train']}-{sizes['test']}", (note,)
        files = self._list_files(root)
        other = [file.name for role, file in files.items() if not self._is_public(role, file)]
        if other:
            note = (
                f"{self.name}: {', '.join(other)} with the published length but a different "
                "checksum; results may not be comparable with published ones"
            )
            _log.warning("%s.", note)
            return f"{VERSION}-altered", (note,)
        return VERSION, ()

    def _lists_found(self, root: Path) -> str:
        """Return `public` for the published lists or none, otherwise a checksum of all lists."""
        try:
            files = self._list_files(root)
        except DataMissing:
            return PUBLIC
        if all(self._is_public(role, file) for role, file in files.items()):
            return PUBLIC
        sums = [f"{role} {checksum_of(file, 'sha256')}" for role, file in sorted(files.items())]
        return f"other@{hash_strings(sums)[:8]}"

    def _is_public(self, role: str, file: Path) -> bool:
        """Return True for the published list, by checksum if one is known, otherwise by length."""
        checksum = self.release.lists[role].checksum
        if checksum is not None:
            return checksum_of(file, checksum) == checksum
        return self.release.official.get(role) == lines_of(file)


def lines_of(file: Path) -> int:
    """Count the lines that are not blank; the last one may lack a line break."""
    with opened(file) as stream:
        return sum(bool(line.strip()) for line in stream)


_ADJECTIVE = {"train": "training", "validation": "validation", "test": "test"}


def _sizes(sizes: Mapping[str, int]) -> str:
    return " / ".join(f"{count:,} {_ADJECTIVE[split]}" for split, count in sizes.items())
