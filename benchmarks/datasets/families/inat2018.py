"""iNaturalist 2018: 8,142 species with a natural long tail.

Data: github.com/visipedia/inat_comp, 2018/README.md. Collection: Van Horn et al. 2017, "The
iNaturalist Challenge 2017 Dataset" (arXiv 1707.06642).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.datasets.files.characters import TEXT, shown, trouble
from benchmarks.datasets.files.fetch import Archive, Source
from benchmarks.datasets.files.links import leaves
from benchmarks.datasets.files.listed import UNVERIFIED, Listed, lines_of
from benchmarks.datasets.files.locate import as_listed, without_first_folder
from benchmarks.datasets.files.release import Release
from benchmarks.datasets.files.split_lists import Listing, read_list
from benchmarks.datasets.registry import register
from benchmarks.errors import DataError, NotApplicable, counted
from benchmarks.hierarchy import ROOT, Hierarchy
from benchmarks.input_files import read_bytes, read_text
from benchmarks.text import Package
from benchmarks.yaml_files import JSON_LIMIT

# From the publisher's README (visipedia/inat_comp, 2018/README.md), as are the counts.
_HOME = "https://ml-inat-competition-datasets.s3.amazonaws.com/2018"
_TEXT_LISTS = {"train": "iNaturalist18_train.txt", "test": "iNaturalist18_val.txt"}


RANKS = ("kingdom", "phylum", "class", "order", "family", "genus")
"""Keys of the publisher's list, above the name of the species."""


def _archive(name: str, checksum: str, megabytes: float) -> Archive:
    file = f"{name}.tar.gz"
    return Archive(file, f"{_HOME}/{file}", f"sha256:{checksum}", megabytes, holds=name)


@register("inat2018", task="single")
@dataclass(frozen=True)
class INat2018(Listed):
    """iNaturalist 2018: 8,142 species; its validation set is the test set."""

    release = Release(
        title="iNaturalist 2018",
        package="inaturalist2018",
        classes=8142,
        recipe="inat2018",
        # Checksums and sizes: tensorflow/datasets (90b66237),
        # image_classification/i_naturalist2018/checksums.tsv.
        lists={
            "train": _archive(
                "train2018.json",
                "be550dd4e2692458e508dd03e3a8d79f087453e2ad570a438a4ff198a7abc68f",
                21.0,
            ),
            "test": _archive(
                "val2018.json",
                "e23c47d61d3aa2a9095090dbc49de861445d9a8144884a78222873f11f7ef43e",
                1.3,
            ),
            "categories": _archive(
                "categories.json",
                "2287211e8da582419dc2ca66736005fdb079e0a89eaf38936a441d8277a8162e",
                0.1,
            ),
        },
        official={"train": 437_513, "test": 24_426},
        folders=("inaturalist2018", "iNaturalist18", "iNat2018"),
        rewrites=(as_listed, without_first_folder),
        layout=(
            "DATA_ROOT/inat2018/train_val2018/SUPERCATEGORY/CATEGORY/*.jpg (or the same in "
            "inaturalist2018/, iNaturalist18/, iNat2018/ or DATA_ROOT itself, with or without "
            "train_val2018/), with categories.json and either train2018.json and val2018.json or "
            "the iNaturalist18_{train,val}.txt of LIFT and classifier-balancing in "
            "DATA_ROOT/inat2018/"
        ),
        images_from=(
            f"{_HOME}/train_val2018.tar.gz (127.9 GB, md5 b1c6952ce38f31868cc50ea72d066cc3; too "
            "large to download automatically)"
        ),
        source="https://github.com/visipedia/inat_comp/tree/master/2018; Van Horn et al. 2017, "
        "arXiv 1707.06642",
        licence="iNaturalist's terms of service; non-commercial research and education only; "
        "the images may not be distributed",
        validation="none: the official validation set is the test set here, as in the literature",
    )

    def _package(self, root: Path | None = None) -> Package:
        """Return the package with scientific names from the publisher's list; keys are numbers."""
        package = super()._package()
        if root is None:
            return package
        names = _names(self._list_files(root)["categories"])
        return package.of_classes([str(i) for i in range(len(names))], names)

    def _tree(self, root: Path, package: Package) -> Callable[[], Hierarchy]:
        return partial(taxonomy, self._list_files(root)["categories"])

    def _card_of_texts(self) -> dict[str, str]:
        package = self._package()
        return {
            "texts": f"{package.source}; {counted(len(package.templates), 'template')}, no "
            f"descriptions; text hash {UNVERIFIED} (computed once categories.json is present)"
        }

    def _list_files(self, root: Path) -> dict[str, Path]:
        """Return the text lists if both are present, the annotation files otherwise."""
        if not self._has_text_lists(root):
            return super()._list_files(root)
        return self._require(
            root, {**_TEXT_LISTS, "categories": self.release.lists["categories"].on_disk}
        )

    def _absent(self, root: Path, sources: Iterable[Source]) -> list[Source]:
        absent = super()._absent(root, sources)
        if self._has_text_lists(root):
            absent = [source for source in absent if source is self.release.lists["categories"]]
        return absent

    def _has_text_lists(self, root: Path) -> bool:
        return all(self._find(root, file) is not None for file in _TEXT_LISTS.values())

    def _listings(self, root: Path, package: Package) -> dict[str, Listing]:
        files, classes = self._list_files(root), len(package.keys)
        return {
            split: read_annotations(files[split], classes)
            if files[split].suffix == ".json"
            else read_list(files[split], classes)
            for split in ("train", "test")
        }

    def _is_public(self, role: str, file: Path) -> bool:
        # The published checksums are of the packed files. Names are part of the text hash.
        if role == "categories":
            return True
        annotations = file.suffix == ".json"
        if not annotations:
            return self.release.official[role] == lines_of(file)
        return self.release.official[role] == read_bytes(file, JSON_LIMIT).count(b'"image_id"')


def read_annotations(file: Path, classes: int) -> Listing:
    """Read the images and labels of a competition annotation file (COCO format).

    Raises:
        DataError: the file has another format, a category out of range or a repeated image.
    """
    data = _read(file)
    try:
        paths = {image["id"]: str(image["file_name"]) for image in data["images"]}
        labels = {paths[a["image_id"]]: int(a["category_id"]) for a in data["annotations"]}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{file}: no annotations for images with id and file_name ({error!r})."
        ) from error
    if len(labels) != len(data["annotations"]):
        raise DataError(f"{file}: an image is listed twice.")
    wrong = next((p for p, label in labels.items() if not 0 <= label < classes), None)
    if wrong is not None:
        raise DataError(
            f"{file}: {wrong} has category {labels[wrong]}, but categories.json has {classes}."
        )
    out = next((p for p in labels if leaves(p) or trouble(p, TEXT)), None)
    if out is not None:
        raise DataError(f"{file}: '{shown(out)}' leads out of the data.")
    return Listing(tuple(labels), np.array(list(labels.values()), dtype=np.int64))


def taxonomy(file: Path) -> Hierarchy:
    """Read the taxonomy of the species in the publisher's list, from kingdom to name.

    Raises:
        NotApplicable: the list has no taxonomy.
        DataError: the file has another format.
    """
    names, data = _names(file), _read(file)
    if not all(isinstance(entry.get(rank), str) for entry in data for rank in RANKS):
        raise NotApplicable(f"no class hierarchy: {file.name} lacks the ranks {', '.join(RANKS)}")
    above = {int(entry["id"]): [entry[rank] for rank in RANKS] for entry in data}
    paths = tuple((ROOT, *above[i], name) for i, name in enumerate(names))
    return Hierarchy(paths, "iNaturalist's taxonomy")


def _names(file: Path) -> tuple[str, ...]:
    """Read scientific names by category number."""
    data = _read(file)
    try:
        names = {int(entry["id"]): str(entry["name"]) for entry in data}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}: not a list of categories with id and name.") from error
    if sorted(names) != list(range(len(data))):
        raise DataError(f"{file}: the categories are not numbered 0 to {len(data) - 1}.")
    for name in names.values():
        if wrong := trouble(name):
            raise DataError(f"{file}: the name '{shown(name)}' {wrong}.")
    return tuple(names[i] for i in range(len(names)))


def _read(file: Path) -> Any:
    try:
        return json.loads(read_text(file, JSON_LIMIT))
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: cannot be read as JSON; download it again.") from error
