"""Data sets whose splits are public lists of image paths, and whose images lie somewhere on disk.

A family names its lists, their homes and checksums, and the usual places of its images; what is
missing or not as published is said before anything runs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

from benchmarks.datasets.base import DataSet, Scores, Split, hash_strings, refuse_shared
from benchmarks.datasets.files.fetch import Source, checksum_of, fetch
from benchmarks.datasets.files.image_files import FileImages
from benchmarks.datasets.files.lists import Listing, read_list
from benchmarks.datasets.files.locate import Located, locate
from benchmarks.datasets.files.release import Release
from benchmarks.datasets.files.resized import InFiles
from benchmarks.datasets.files.texts import WithTexts
from benchmarks.errors import DataError, DataMissing, UserError
from benchmarks.text import Package, read_package

VERSION = "1"
UNVERIFIED, PUBLIC = "unverified", "public"
OFFLINE = "without data, `--datasets glyphs100_lt --backbone glyph` runs offline."

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listed(InFiles, WithTexts):
    """What these families share. Fields are the knobs."""

    lists: str = PUBLIC
    """`public`, or a checksum of the lists where others than the published ones are found: set by
    what is there, so that results on other lists are never taken for these."""

    release: ClassVar[Release]
    version: ClassVar[str] = VERSION

    def resolve(self, root: Path) -> Self:
        """This configuration with the lists pinned that are found in `root`.

        Raises:
            UserError: other lists are asked for than are there, or copies of no size.
        """
        self._check_cache()
        found = self._lists_found(root)
        if self.lists not in (PUBLIC, found):
            raise UserError(f"{self.name}.lists={self.lists}: the lists under {root} are {found}.")
        return replace(self, lists=found)

    def load(self, root: Path, split_seed: int) -> DataSet:
        """The data set; its splits are public lists, so the split seed draws nothing.

        Raises:
            DataMissing: lists or images are not there; the line says what to do.
            DataError: a list that is damaged, has other classes or shares images among splits.
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
                    (_CALLED[first], listings[first].files),
                    (_CALLED[second], listings[second].files),
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
            validation=partial(_give, validation) if validation is not None else None,
            validation_source=(
                f"the official validation list, {len(validation):,} images, disjoint from test"
                if validation is not None
                else ""
            ),
            scores=self._scores(),
        )

    def sizes(self) -> tuple[int, int]:
        """Training and test images of the public lists."""
        return self.release.official["train"], self.release.official["test"]

    def class_count(self) -> int:
        """Classes of the public lists."""
        return self.release.classes

    def absent(self, root: Path) -> str:
        """The lists that are not there; images are looked for when the set is loaded."""
        try:
            self._list_files(root)
        except DataMissing as missing:
            return str(missing).partition(". ")[0].removeprefix(f"{self.name}: ")
        return ""

    def download(self, root: Path) -> str:
        """Fetch the lists and those archives that the publisher offers to everybody."""
        folder = root / self.name
        done = [fetch(source, folder) for source in self._absent(root, self.release.lists.values())]
        if self.release.archives and not self._all_there(root):
            done += [
                fetch(archive, folder) for archive in self._absent(root, self.release.archives)
            ]
        if done:
            said = f"{self.release.title}: fetched to {folder}: {'; '.join(done)}."
        else:
            said = f"{self.release.title}: the lists are already there."
        if self._all_there(root):
            return f"{said} The images are there."
        release = self.release
        return f"{said} Images: {release.images_from}. Put them there by hand: {release.layout}."

    def card(self) -> dict[str, str]:
        """What `show` prints."""
        sizes = {
            f"{_CALLED[split]} images": f"{self.release.official[split]:,}"
            for split in ("train", "validation", "test")
            if split in self.release.official
        }
        release = self.release
        homes = dict.fromkeys(source.url.rpartition("/")[0] for source in release.lists.values())
        return {
            "source": release.source,
            "licence": release.licence or UNVERIFIED,
            "layout": release.layout,
            "classes": str(release.classes),
            **sizes,
            "groups": release.groups or UNVERIFIED,
            **release.notes,
            "lists": "; ".join(source.describe() for source in release.lists.values()),
            "lists from": "; ".join(homes),
            "images from": release.images_from,
            "validation": release.validation,
            **self._card_of_texts(),
        }

    # ---- what a family may do its own way ----------------------------------------------------

    def _package(self, root: Path | None = None) -> Package:
        """The text package; without a data root, as far as it is known without data."""
        return read_package(self.release.package, self.texts)

    def _card_of_texts(self) -> dict[str, str]:
        return self._texts_card(self._package())

    def _listings(self, root: Path, package: Package) -> dict[str, Listing]:
        """The splits' lists, read."""
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
        """The file or folder in one of the usual places."""
        places = (root / folder / path for folder in self._folders())
        return next((place for place in places if place.exists()), None)

    def _absent(self, root: Path, sources: Iterable[Source]) -> list[Source]:
        return [source for source in sources if self._find(root, source.on_disk) is None]

    def _list_files(self, root: Path) -> dict[str, Path]:
        """Role -> list on disk."""
        return self._need(
            root, {role: source.on_disk for role, source in self.release.lists.items()}
        )

    def _need(self, root: Path, names: Mapping[str, str]) -> dict[str, Path]:
        """Role -> file on disk, of the files' names by role.

        Raises:
            DataMissing: some are not there.
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
        gets = "lists and images" if release.archives else "the lists"
        by_hand = "" if release.archives else f"; images: {release.images_from}"
        return (
            f"`python run_benchmarks.py download {self.name} --data-root {root}` fetches {gets}"
            f"{by_hand}. Expected layout: {release.layout}; {OFFLINE}"
        )

    def _place(self, root: Path, listings: Mapping[str, Listing]) -> dict[str, Located]:
        """Where the images are.

        Raises:
            DataMissing: some are not there; all are looked for before anything is said.
        """
        placed = {
            split: locate(root, listing.files, self._folders(), self.release.rewrites)
            for split, listing in listings.items()
        }
        missing = {split: place.missing for split, place in placed.items() if place.missing}
        if missing:
            counts = ", ".join(
                f"{len(files):,} of {len(placed[split].files):,} {_CALLED[split]} images"
                for split, files in missing.items()
            )
            first = [file for files in missing.values() for file in files][:3]
            raise DataMissing(
                f"{self.name}: {counts} are missing under {root}: first {', '.join(first)}. "
                f"{self._remedy(root)}"
            )
        return placed

    def _all_there(self, root: Path) -> bool:
        try:
            self._place(root, self._listings(root, self._package(root)))
        except DataMissing:
            return False
        return True

    # ---- lists as published ------------------------------------------------------------------

    def _check_classes(self, split: str, listing: Listing, package: Package) -> None:
        """Refuse a list that numbers the classes otherwise than the text package.

        Of single-label data every image's folder is called by its class's key.
        """
        if self.task == "multi":
            return
        for path, label in zip(listing.files, listing.labels.tolist(), strict=True):
            if path.rpartition("/")[0].rpartition("/")[2] != package.keys[label]:
                raise DataError(
                    f"{self.name}: the {_CALLED[split]} list gives {path} the label {label}, which "
                    f"is {package.keys[label]}: it numbers the classes in another order, or its "
                    "images are not in folders of their class."
                )

    def _as_published(
        self, root: Path, listings: Mapping[str, Listing]
    ) -> tuple[str, tuple[str, ...]]:
        """The version, and a footnote where the lists are not the published ones."""
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
                f"{self.name}: {', '.join(other)} of the published length, but of other content "
                "(checksum); results may not be comparable with published ones"
            )
            _log.warning("%s.", note)
            return f"{VERSION}-altered", (note,)
        return VERSION, ()

    def _lists_found(self, root: Path) -> str:
        """`public`, also where there are none; else a checksum of all of them."""
        try:
            files = self._list_files(root)
        except DataMissing:
            return PUBLIC
        if all(self._is_public(role, file) for role, file in files.items()):
            return PUBLIC
        sums = [f"{role} {checksum_of(file, 'sha256')}" for role, file in sorted(files.items())]
        return f"other@{hash_strings(sums)[:8]}"

    def _is_public(self, role: str, file: Path) -> bool:
        """Whether it is the published list: by its checksum, else by its length."""
        checksum = self.release.lists[role].checksum
        if checksum is not None:
            return checksum_of(file, checksum) == checksum
        return self.release.official.get(role) == lines_of(file)


def lines_of(file: Path) -> int:
    """Lines that are not blank; the last one may have no end."""
    return sum(bool(line.strip()) for line in file.read_bytes().split(b"\n"))


_CALLED = {"train": "training", "validation": "validation", "test": "test"}


def _give(split: Split) -> Split:
    return split


def _sizes(sizes: Mapping[str, int]) -> str:
    return " / ".join(f"{count:,} {_CALLED[split]}" for split, count in sizes.items())
