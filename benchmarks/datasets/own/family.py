"""A user's own data, described by a YAML file: `--datasets my.yaml` (docs/own_data.md)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from benchmarks.datasets import long_tail
from benchmarks.datasets.base import DataSet, Split, Texts, hash_strings
from benchmarks.datasets.files.image_files import FileImages
from benchmarks.datasets.files.resized import InFiles
from benchmarks.datasets.files.texts import assemble
from benchmarks.datasets.own.card import data_card, description_card
from benchmarks.datasets.own.entries import Folders
from benchmarks.datasets.own.spec import Spec, read_spec, shown
from benchmarks.datasets.own.splits import (
    TEST_SHARE,
    Numbered,
    Splits,
    Tail,
    choose,
    label_array,
    number,
)
from benchmarks.datasets.own.table import read_table
from benchmarks.datasets.own.tree import read_tree
from benchmarks.errors import DataError, DataMissing, UserError, counted, did_you_mean, first_few
from benchmarks.plugins.values import apply_fields
from benchmarks.text import Package, wordnet

_FORMAT = "1"
"""Raise when the same files would give another data set."""


@dataclass(frozen=True)
class OwnData(InFiles):
    """A user's own images. Each file has a subclass of its own; fields are the knobs."""

    test_share: float | None = None
    """Share of each class that is drawn for testing, by the split seed. 0.2 where neither folders
    nor a column say what is for testing; where they name no test, it has to be given."""
    imbalance: float | None = None
    """Ratio of the largest to the smallest class, to make a balanced training set long-tailed;
    none takes the images as they are."""
    profile: str = "exp"
    """`exp`, or `step` (the first classes are large, the others small)."""
    head_share: float = 0.5
    """Share of large classes; for `step` alone."""
    n_max: int | None = None
    """Training images of the largest class of the long tail; none takes as many as there are."""

    spec: ClassVar[Spec]
    published: ClassVar[bool] = False

    def resolve(self, root: Path) -> Self:
        """This configuration, its values checked, and with them a tree or table that is there.

        Raises:
            UserError: a value out of its range.
            DataError: a table or tree that cannot be used.
        """
        self._check()
        with suppress(DataMissing):  # `plan` needs none
            self.load_splits(0)
            self.texts()
        return self

    def pinned(self) -> dict[str, Any]:
        """The knobs, and, where the data are here, a hash of what else decides them: of no path."""
        try:
            return super().pinned() | {"data": self.digest}
        except DataMissing:
            return super().pinned()

    def load(self, root: Path, split_seed: int) -> DataSet:
        """The data set; `root` is not read, paths start from the file.

        Raises:
            DataMissing: no folder or table, or images that are not there: counted, three named.
            DataError: labels, splits or files that cannot be used.
        """
        self._check()
        self._refuse_missing()
        texts, text_notes = self.texts()
        chosen = self.load_splits(split_seed)
        train, validation = chosen.splits["train"], chosen.splits["val"]
        captions, caption_notes = self._captions(train)
        return DataSet(
            name=self.name,
            task=self.task,
            version=self.version,
            recipe=self._recipe(),
            texts=texts,
            train=self._for_training(self._split(train, captions)),
            test=self._split(chosen.splits["test"]),
            validation=(lambda: self._split(validation)) if validation else None,
            validation_source=chosen.validation_source,
            notes=(*self.images.found.notes, *text_notes, *caption_notes),
        )

    def load_splits(self, split_seed: int) -> Splits:
        """Which image is for what; the images themselves need not be there."""
        if split_seed not in self._chosen:
            self._chosen[split_seed] = choose(
                self.images, self.name, self.test_share, self._tail(), split_seed
            )
        return self._chosen[split_seed]

    def sizes(self) -> tuple[int, int] | None:
        """Training and test images, where the data are there."""
        try:
            splits = self.load_splits(0).splits
        except UserError:
            return None
        return len(splits["train"]), len(splits["test"])

    def class_count(self) -> int | None:
        """Classes, where the data are there."""
        try:
            return len(self.images.keys)
        except UserError:
            return None

    def notes(self) -> tuple[str, ...]:
        """How the splits came about; of data that are not here, what is missing."""
        notes = []
        try:
            self._refuse_missing()
        except DataError as error:
            said = str(error).removeprefix(f"{self.name}: ")
            notes.append(f"cannot be loaded: {said.rstrip('.')}")
        share = TEST_SHARE if self.test_share is None else self.test_share
        if self._test_drawn():
            notes.append(f"test images: {100 * share:g} % of each class, drawn by the split seed")
        if self.imbalance is not None:
            notes.append(
                f"long tail of ratio {self.imbalance:g} ({self.profile}) drawn from the training "
                "images by the split seed, with the draw of Cao et al. 2019 over file names"
            )
        return (*notes, *super().notes())

    def download(self, root: Path) -> str:
        """Nothing: the data are the user's."""
        return f"{self.name}: these are your own data, described in {self.spec.file}."

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
        notes = (*self.notes(), *images.found.notes, *text_notes, *splits.gaps)
        facts["note"] = "; ".join(notes)
        facts["data"] = f"hash {self.digest}, of everything but places on disk"
        return {name: text for name, text in facts.items() if text}

    # ---- parts -------------------------------------------------------------------------------

    def _check(self) -> None:
        self._check_cache()
        name = self.name
        if self.test_share is not None and not 0 < self.test_share < 1:
            raise UserError(f"{name}.test_share={self.test_share:g}: must lie between 0 and 1.")
        if self.imbalance is None:
            for knob in ("profile", "head_share", "n_max"):
                if getattr(self, knob) != getattr(OwnData, knob):
                    raise UserError(f"{name}.{knob}={getattr(self, knob)} needs an imbalance.")
            return
        if self.task == "multi":
            raise UserError(f"{name}.imbalance: the draw is for single-label data.")
        long_tail.check(self.imbalance, self.profile, self.head_share)
        long_tail.refuse_idle_head_share(name, self.profile, self.head_share, OwnData.head_share)
        if self.n_max is not None and self.n_max < 1:
            raise UserError(f"{name}.n_max={self.n_max}: must be 1 or more.")

    @cached_property
    def images(self) -> Numbered:
        """What the tree or table holds, with numbered classes. Opens no image.

        Raises:
            DataMissing: there is no such folder or table.
            DataError: it cannot be used.
        """
        spec = self.spec
        return number(spec, read_table(spec) if spec.table is not None else read_tree(spec.images))

    @cached_property
    def digest(self) -> str:
        """A hash of ids, labels, splits, captions and sizes of the images, and of the texts."""
        images, texts = self.images, self.texts()[0]
        said = [
            json.dumps([e.split, e.sid, labels, e.caption, e.size], ensure_ascii=False)
            for e, labels in zip(images.entries, images.labels, strict=True)
        ]
        return hash_strings([_FORMAT, self.task, *images.keys, texts.digest, *said])

    @cached_property
    def _chosen(self) -> dict[int, Splits]:
        """Splits by seed: with many images it takes a while, and `plan` asks again and again."""
        return {}

    def _tail(self) -> Tail | None:
        if self.imbalance is None:
            return None
        return Tail(self.imbalance, self.profile, self.head_share, self.n_max)

    def _test_drawn(self) -> bool:
        try:
            return not any(entry.split == "test" for entry in self.images.entries)
        except DataMissing:
            return False

    def _recipe(self) -> str:
        test = "test drawn" if self._test_drawn() else "as given"
        return test if self.imbalance is None else f"{test}, cao2019/name-order"

    def texts(self) -> tuple[Texts, tuple[str, ...]]:
        """The text package, and footnotes.

        Raises:
            UserError: descriptions of unknown classes, or no WordNet where there should be one.
        """
        spec, keys = self.spec, self.images.keys
        names = tuple(spec.classes.get(key) or shown(key) for key in keys)
        texts: list[str | None] = [None] * len(keys)
        notes: tuple[str, ...] = ()
        if spec.descriptions == "wordnet":
            empty = Package("", "", (), (), spec.templates, (), ())
            texts, notes = wordnet.glosses(empty.of_classes(keys, names))
        else:
            place = {n: i for i, n in enumerate(names)} | {key: i for i, key in enumerate(keys)}
            called = Counter(name for name, key in zip(names, keys, strict=True) if name != key)
            for key, text in spec.descriptions.items():
                if key not in place:
                    raise did_you_mean(f"class in the descriptions of {spec.file}", key, place)
                if called[key] > 1 and key not in keys:
                    raise UserError(
                        f"{spec.file}, descriptions: '{key}' stands for several classes: write "
                        f"{', '.join(k for k, n in zip(keys, names, strict=True) if n == key)}."
                    )
                if texts[place[key]] is not None:
                    raise UserError(
                        f"{spec.file}, descriptions: '{key}' is described twice, by its key and by "
                        "its name."
                    )
                texts[place[key]] = text
        found, more = assemble(names, spec.templates, texts)
        if all(name.isdigit() for name in names):
            more = (*more, "the classes are called by numbers, which tell a text tower nothing")
        return found, (*notes, *more)

    def _split(self, indices: Sequence[int], captions: tuple[str, ...] | None = None) -> Split:
        entries = [self.images.entries[i] for i in indices]
        folder = self.images.found.folders[entries[0].split]
        files = FileImages(folder, tuple(e.file for e in entries), upright=True)
        return Split(
            files,
            label_array(self.images, self.task, indices),
            tuple(e.sid for e in entries),
            captions,
        )

    def _captions(self, indices: Sequence[int]) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
        """Captions of the training images; of an image without one, its classes in the template."""
        if not self.images.found.captioned:
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
            f"{blank} of {len(captions)} training images have no caption, the first template with "
            "their classes was used instead"
        )
        return tuple(captions), (note,) if blank else ()

    def _refuse_missing(self) -> None:
        """Name what is listed and not there, and files without content."""
        found = self.images.found
        missing = [e for e in found.entries if e.size is None]
        if missing:
            first, of = missing[0], len(found.entries)
            folder = found.folders[first.split]
            folders = Folders(folder)
            folders.find(first.file)
            near = folders.nearly(first.file)
            hint = f" There is '{near}', spelt with other capitals." if near else ""
            if len(missing) == of:
                hint = " Paths start from there: `images: FOLDER` says another place."
            raise DataMissing(
                f"{self.name}: {len(missing)} of {counted(of, 'image')} not found under {folder}: "
                f"{first_few([e.file for e in missing])}.{hint}"
            )
        empty = [e for e in found.entries if e.size == 0]
        if empty:
            raise DataError(
                f"{self.name}: {counted(len(empty), 'file')} without content under "
                f"{found.folders[empty[0].split]}: {first_few([e.file for e in empty])}."
            )


def family_of(file: Path) -> tuple[type[OwnData], dict[str, Any]]:
    """The data set that a YAML file describes, and the fields that the file sets.

    Raises:
        UserError: the file cannot be read or used.
    """
    spec = read_spec(file.expanduser())
    facts = {
        "__doc__": f"Your own data, described in {file}.",
        "__module__": __name__,
        "name": spec.name,
        "task": spec.task,
        "version": spec.version,
        "default_groups": spec.groups,
        "spec": spec,
    }
    cls = type("OwnData", (OwnData,), facts)
    checked = apply_fields(f"data set {file}", cls, dict(spec.knobs))
    return cls, {name: checked[name] for name in spec.knobs}
