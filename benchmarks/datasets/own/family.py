"""A user's own data, described by a YAML file: `--datasets my.yaml` (docs/own_data.md)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import long_tail
from benchmarks.datasets.base import DataSet, Split, Texts, hash_strings
from benchmarks.datasets.files.resized import InFiles
from benchmarks.datasets.files.texts import assemble
from benchmarks.datasets.long_tail import Profile
from benchmarks.datasets.own.card import data_card, description_card, levels
from benchmarks.datasets.own.entries import Folders
from benchmarks.datasets.own.hub_data import fetch
from benchmarks.datasets.own.listing import read_listing
from benchmarks.datasets.own.places import SPLITS, HubData
from benchmarks.datasets.own.spec import Spec, display_name, read_spec
from benchmarks.datasets.own.splits import (
    TEST_SHARE,
    IndexedImages,
    LongTail,
    Splits,
    index_classes,
    label_array,
    make_splits,
)
from benchmarks.errors import DataError, DataMissing, UserError, counted, did_you_mean, first_few
from benchmarks.file_names import expanded
from benchmarks.hierarchy import Hierarchy, nested
from benchmarks.plugins.ranges import Count, OpenShare, Range
from benchmarks.plugins.values import apply_fields
from benchmarks.text import Package, wordnet

_FORMAT = "1"
"""Increase it when the same files give another data set than before."""


@dataclass(frozen=True)
class OwnData(InFiles):
    """A user's own images. Each YAML file becomes a subclass; the fields are its knobs."""

    test_share: Annotated[float | None, OpenShare] = None
    """Share of each class that is drawn for testing, by the split seed: 0.2 if neither folders nor
    a column assign splits; required if they assign no image to testing."""
    imbalance: Annotated[float | None, Range(1)] = None
    """Ratio of the largest to the smallest class of the long tail that is drawn from the training
    images; none takes all images."""
    profile: Profile = "exp"
    """`exp`, `step` (the first classes are large, the others small), or `head_tail`: exponential
    within the head, down to 101 images, and within the tail, from 100 (LT-Soups)."""
    head_share: Annotated[float, OpenShare] = 0.5
    """Share of large classes, for `step` and `head_tail`."""
    n_max: Annotated[int | None, Count] = None
    """Training images of the largest class of the long tail; none takes as many as possible."""

    from_file: ClassVar[dict[str, Any]]
    """Class attributes that come from the file."""
    spec: ClassVar[Spec]
    published: ClassVar[bool] = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how another process, which does not have the subclass, makes an equal data set."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return _restored, (self.from_file, values)

    def resolve(self, root: Path) -> Self:
        """This configuration after checks of its values and, if present, of the tree or table.

        Raises:
            UserError: a value out of its range.
            DataError: a table or tree that cannot be used.
        """
        self._check()
        with suppress(DataMissing):  # `plan` works without the data
            self.load_splits(0)
            self.texts()
            self._hierarchy()
        return self

    def pinned(self) -> dict[str, Any]:
        """The knobs and, if the data are present, a hash of their content without paths."""
        try:
            return super().pinned() | {"data": self.digest}
        except DataMissing:
            return super().pinned()

    def load(self, root: Path, split_seed: int) -> DataSet:
        """Load the data set; `root` is not used, since paths are relative to the YAML file.

        Raises:
            DataMissing: no folder or table, or missing images: counted, the first three named.
            DataError: labels, splits or files that cannot be used.
        """
        self._check()
        self._refuse_missing()
        texts, text_notes = self.texts()
        splits = self.load_splits(split_seed)
        train, test, validation = (splits.splits[split] for split in SPLITS)
        captions, caption_notes = self._captions(train)
        return DataSet(
            name=self.name,
            task=self.task,
            version=self.version,
            recipe=self._recipe(),
            texts=texts,
            train=self._for_training(self._split(train, captions)),
            test=self._split(test),
            validation=(lambda: self._split(validation)) if validation else None,
            validation_source=splits.validation_source,
            notes=(*self.images.listing.notes, *text_notes, *caption_notes),
            hierarchy=self._hierarchy(),
            upright=True,
            class_keys=self.images.keys,
        )

    def load_splits(self, split_seed: int) -> Splits:
        """The splits of a split seed; the image files may be missing."""
        if split_seed not in self._splits:
            self._splits[split_seed] = make_splits(
                self.images, self.name, self.test_share, self._long_tail(), split_seed
            )
        return self._splits[split_seed]

    def sizes(self) -> tuple[int, int] | None:
        """Number of training and test images; None if the data are missing."""
        try:
            splits = self.load_splits(0).splits
        except UserError:
            return None
        return len(splits["train"]), len(splits["test"])

    def train_counts(self, root: Path) -> NDArray[np.int64] | None:
        """(C,) training images per class of split seed 0; None if the data are missing."""
        try:
            return self.load_splits(0).counts[0]
        except UserError:
            return None

    def class_count(self) -> int | None:
        """Number of classes; None if the data are missing."""
        try:
            return len(self.images.keys)
        except UserError:
            return None

    def notes(self) -> tuple[str, ...]:
        """Footnotes on the draws, and on missing data."""
        notes = []
        try:
            self._refuse_missing()
        except DataError as error:
            said = str(error).removeprefix(f"{self.name}: ")
            notes.append(f"cannot be loaded: {said.rstrip('.')}")
        if self._test_is_drawn():
            share = TEST_SHARE if self.test_share is None else self.test_share
            notes.append(f"test images: {100 * share:g} % of each class, drawn by the split seed")
        if self.imbalance is not None:
            notes.append(
                f"long tail of ratio {self.imbalance:g} ({self.profile}) drawn from the training "
                "images by the split seed, with the draw of Cao et al. 2019 over file names"
            )
        return (*notes, *super().notes())

    def download(self, root: Path) -> str:
        """Fetch data of the Hugging Face hub; other data are the user's.

        Raises:
            DataMissing: the hub cannot be reached, or has no such data set.
            DataError: it has no files that can be read.
        """
        place = self.spec.places.huggingface
        if isinstance(place, HubData):
            return f"{self.name}: {place} is in {fetch(place)}."
        return f"{self.name}: nothing to download, {self.spec.file} describes your own data."

    def card(self) -> dict[str, str]:
        """Facts that `show` prints; counts are those of split seed 0."""
        facts = description_card(self.spec)
        try:
            images = self.images
        except DataMissing as missing:
            return facts | {"data": f"not here: {missing}"}
        splits = self.load_splits(0)
        texts, text_notes = self.texts()
        facts |= data_card(self.spec, images.keys, splits, texts)
        notes = (*self.notes(), *images.listing.notes, *text_notes, *splits.gaps)
        if (hierarchy := self._hierarchy()) is not None:
            facts["hierarchy"] = levels(hierarchy)
        facts["note"] = "; ".join(notes)
        facts["data"] = f"hash {self.digest}, of everything but places on disk"
        return {name: text for name, text in facts.items() if text}

    # ---- parts -------------------------------------------------------------------------------

    def _check(self) -> None:
        self._check_cache()
        name = self.name
        if self.imbalance is None:
            for knob in ("profile", "head_share", "n_max"):
                if getattr(self, knob) != getattr(OwnData, knob):
                    raise UserError(f"{name}.{knob}={getattr(self, knob)} needs an imbalance.")
            return
        if self.task == "multi":
            raise UserError(f"{name}.imbalance: a long tail is drawn for single-label data only.")
        long_tail.refuse_unused_head_share(name, self.profile, self.head_share, OwnData.head_share)

    @cached_property
    def images(self) -> IndexedImages:
        """The images that are listed; none is decoded.

        Raises:
            DataMissing: there is no such folder or file.
            DataError: it cannot be used.
        """
        return index_classes(self.spec, read_listing(self.spec))

    @cached_property
    def digest(self) -> str:
        """Hash of the images' ids, labels, splits, captions and sizes, and of the texts."""
        images, texts = self.images, self.texts()[0]
        said = [
            json.dumps([e.split, e.sid, labels, e.caption, e.size], ensure_ascii=False)
            for e, labels in zip(images.entries, images.labels, strict=True)
        ]
        tree = self.spec.hierarchy
        if tree is not None:
            said.append(json.dumps({"hierarchy": tree}, ensure_ascii=False))
        return hash_strings([_FORMAT, self.task, *images.keys, texts.digest, *said])

    def _hierarchy(self) -> Callable[[], Hierarchy] | None:
        """Builder of the tree over the classes; None if the file describes none.

        Raises:
            UserError: a tree that does not have each class once.
        """
        spec, keys = self.spec, self.images.keys
        names = self.texts()[0].class_names
        if spec.hierarchy is None:
            return None
        if spec.hierarchy == "wordnet":
            empty = Package("", "", (), (), spec.templates, (), ())
            return partial(wordnet.hierarchy, empty.of_classes(keys, names))
        tree = nested(spec.hierarchy, keys, names, f"{spec.file}, hierarchy", f"{spec.file.name}")
        return lambda: tree

    @cached_property
    def _splits(self) -> dict[int, Splits]:
        """Splits by seed: with many images it takes a while, and `plan` asks again and again."""
        return {}

    def _long_tail(self) -> LongTail | None:
        if self.imbalance is None:
            return None
        return LongTail(self.imbalance, self.profile, self.head_share, self.n_max)

    def _test_is_drawn(self) -> bool:
        try:
            return not any(entry.split == "test" for entry in self.images.entries)
        except DataMissing:
            return False

    def _recipe(self) -> str:
        test = "test drawn" if self._test_is_drawn() else "as given"
        return test if self.imbalance is None else f"{test}, cao2019/name-order"

    def texts(self) -> tuple[Texts, tuple[str, ...]]:
        """The text package, and footnotes.

        Raises:
            UserError: a description of an unknown class, or no WordNet although one is requested.
        """
        spec, keys = self.spec, self.images.keys
        names = tuple(spec.classes.get(key) or display_name(key) for key in keys)
        texts: list[str | None] = [None] * len(keys)
        notes: tuple[str, ...] = ()
        if spec.descriptions == "wordnet":
            empty = Package("", "", (), (), spec.templates, (), ())
            texts, notes = wordnet.glosses(empty.of_classes(keys, names))
        else:
            place = {n: i for i, n in enumerate(names)} | {key: i for i, key in enumerate(keys)}
            sharing = Counter(name for name, key in zip(names, keys, strict=True) if name != key)
            for key, text in spec.descriptions.items():
                if key not in place:
                    raise did_you_mean(f"class in the descriptions of {spec.file}", key, place)
                if sharing[key] > 1 and key not in keys:
                    several = (k for k, n in zip(keys, names, strict=True) if n == key)
                    raise UserError(
                        f"{spec.file}, descriptions: '{key}' is the name of several classes: write "
                        f"their keys, {', '.join(several)}."
                    )
                if texts[place[key]] is not None:
                    raise UserError(
                        f"{spec.file}, descriptions: '{key}' is described twice, by its key and by "
                        "its name."
                    )
                texts[place[key]] = text
        found, more = assemble(names, spec.templates, texts)
        if all(name.isdigit() for name in names):
            more = (*more, "the class names are numbers, which mean nothing to a text tower")
        return found, (*notes, *more)

    def _split(self, indices: Sequence[int], captions: tuple[str, ...] | None = None) -> Split:
        entries = [self.images.entries[i] for i in indices]
        return Split(
            self.images.listing.images_of(entries),
            label_array(self.images, self.task, indices),
            tuple(e.sid for e in entries),
            captions,
        )

    def _captions(self, indices: Sequence[int]) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
        """Captions of the training images, and footnotes; None if there are none.

        An image without a caption gets the first template with the names of its classes.
        """
        if not self.images.listing.captioned:
            return None, ()
        texts = self.texts()[0]
        captions, blank = [], 0
        for i in indices:
            caption = self.images.entries[i].caption
            if not caption:
                blank += 1
                named = " and ".join(texts.class_names[c] for c in self.images.labels[i])
                caption = texts.templates[0].replace("{}", named or "scene")
            captions.append(caption)
        note = (
            f"{blank} of {len(captions)} training images have no caption; the first template with "
            "their class names is used instead"
        )
        return tuple(captions), (note,) if blank else ()

    def _refuse_missing(self) -> None:
        """Refuse images that are listed but missing, and empty files."""
        listing = self.images.listing
        missing = [e for e in listing.entries if e.size is None]
        if missing:
            first, of = missing[0], len(listing.entries)
            folder = listing.folders[first.split]
            folders = Folders(folder)
            folders.find(first.file)
            near = folders.other_case(first.file)
            hint = f" There is '{near}', which differs in case." if near else ""
            if len(missing) == of:
                hint = " To have paths start from another folder, write `images: FOLDER`."
            raise DataMissing(
                f"{self.name}: {len(missing)} of {counted(of, 'image')} not found under {folder}: "
                f"{first_few([e.file for e in missing])}.{hint}"
            )
        empty = [e for e in listing.entries if e.size == 0]
        if empty:
            raise DataError(
                f"{self.name}: {counted(len(empty), 'empty file')} under "
                f"{listing.folders[empty[0].split]}: {first_few([e.file for e in empty])}."
            )


def family_of(file: Path) -> tuple[type[OwnData], dict[str, Any]]:
    """Return the class of the data set that a YAML file describes, and the fields it sets.

    Raises:
        UserError: the file cannot be read or used.
    """
    spec = read_spec(expanded(file, "data set"))
    facts = {
        "__doc__": f"Your own data, described in {file}.",
        "name": spec.name,
        "task": spec.task,
        "version": spec.version,
        "default_groups": spec.groups,
        "spec": spec,
        "published": isinstance(spec.places.huggingface, HubData),
    }
    cls = _class_of(facts)
    checked = apply_fields(f"data set {file}", cls, dict(spec.knobs))
    return cls, {name: checked[name] for name in spec.knobs}


_classes: dict[str, type[OwnData]] = {}
"""The classes of this process by their facts, so that equal cells have equal families."""


def _class_of(facts: dict[str, Any]) -> type[OwnData]:
    """Return the class of a data set with these class attributes."""
    key = repr(facts)
    if key not in _classes:
        own = {**facts, "__module__": __name__, "from_file": facts}
        _classes[key] = type("OwnData", (OwnData,), own)
    return _classes[key]


def _restored(facts: dict[str, Any], values: dict[str, Any]) -> OwnData:
    """Return the data set that another process sent."""
    return _class_of(facts)(**values)
