"""CIFAR-10-LT and CIFAR-100-LT: long-tailed subsets of CIFAR's training images.

Data: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images". Long tail: Cao et
al. 2019 (see `long_tail`).
"""

from __future__ import annotations

import http.client
import logging
import shutil
import socket
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import long_tail
from benchmarks.datasets.base import ArrayImages, DataSet, Split
from benchmarks.datasets.carving import without_duplicates
from benchmarks.datasets.files.cifar_files import (
    CIFAR10,
    CIFAR100,
    Form,
    Layout,
    find,
    is_lossy,
    read,
    tree_sizes,
)
from benchmarks.datasets.files.class_folders import Raw
from benchmarks.datasets.files.drawn import VALIDATION_PER_CLASS, DrawnTail, validation_source
from benchmarks.datasets.files.fetch import STAGING
from benchmarks.datasets.registry import register
from benchmarks.errors import DataMissing, UserError
from benchmarks.protocol import GROUPS, group_of
from benchmarks.safe_files import remove_leftovers, scratch_folder
from benchmarks.text import Package, read_package

VERSION = "1"
OFFICIAL_ORDER: Final = "cao2019"
NAME_ORDER: Final = "cao2019/name-order"
_HOME_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
_TIMEOUT_S = 60.0
"""Timeout for a server that stops responding during a download."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _CifarLT(DrawnTail):
    """Base class of both data sets."""

    recipe: Literal["auto", "cao2019", "cao2019/name-order"] = "auto"
    """Order of the images that the long tail is drawn from. `cao2019`: order of the official
    pickles. `cao2019/name-order`: by file name, the only order that a tree of class folders has;
    this is another split. `auto` chooses `cao2019` if the pickles are found."""
    group_counts: Literal["own", "ir100"] = "own"
    """Counts that decide many, medium and few: this subset's `own`, or those of ratio 100 (`ir100`,
    as in LIFT's CIFAR results at ratios 10 and 50)."""
    collection: str = "official"
    """`official`, or the training and test images per class of a smaller tree, and `lossy` for
    copies in JPEG or WebP. Set from the files found, so that results on other images are not
    mistaken for official ones."""

    layout: ClassVar[Layout]
    version: ClassVar[str] = VERSION

    def resolve(self, root: Path) -> Self:
        """Return this configuration with the draw set that the files in `root` allow."""
        self._check()
        forms = find(root, self.layout)
        recipe = self.recipe
        if recipe == "auto":
            by_name = bool(forms) and not forms[0].official_order
            recipe = NAME_ORDER if by_name else OFFICIAL_ORDER
        collection = self.collection
        if recipe == NAME_ORDER and forms:
            found = tree_sizes(forms[0], self.layout)
            reduced = found not in (None, self.layout.per_class)
            parts = ["{}-{}".format(*found)] if reduced and found else []
            parts += ["lossy"] if is_lossy(forms[0], self.layout) else []
            collection = "-".join(parts) or "official"
        return replace(self, recipe=recipe, imbalance=float(self.imbalance), collection=collection)

    def pinned(self) -> dict[str, Any]:
        """Return the fields, without `collection` if it is the official one."""
        values = super().pinned()
        if self.collection == "official":
            del values["collection"]
        return values

    def load(self, root: Path, split_seed: int) -> DataSet:
        """Read the data set from `root`, in any of its forms on disk."""
        config = self.resolve(root)
        raws = read(config._form(root), self.layout)
        full, test = raws["train"], raws["test"]
        order = _order(full, config.recipe)
        counts = config.counts(len(full.labels))
        drawn, others = long_tail.draw(full.labels[order], counts, split_seed, VALIDATION_PER_CLASS)
        train, test_split = _split(full, "train", order[drawn]), _split(test, "test")
        spare = _split(full, "train", order[np.concatenate(others)])
        source = validation_source(others)
        texts, notes = self._texts(self._package())
        lossy = config.collection.endswith("lossy")
        if lossy:
            notes = (*notes, "images are lossy copies (JPEG or WebP), not the official pixels")
        return DataSet(
            name=self.name,
            task="single",
            version=self._version(full, test) + ("-lossy" if lossy else ""),
            recipe=config.recipe,
            texts=texts,
            notes=notes,
            train=train,
            test=test_split,
            validation=partial(without_duplicates, spare, train, test_split) if source else None,
            validation_source=source,
            hierarchy=self._hierarchy(self._package()),
            group_counts=(
                replace(config, imbalance=100.0).counts(len(full.labels))
                if config.group_counts == "ir100"
                else None
            ),
        )

    def counts(self, images: int | None = None) -> NDArray[np.int64]:
        """Return (C,) training images per class, drawn from `images` (default: all)."""
        classes = len(self.layout.classes)
        return self._tail(classes * self.layout.per_class[0] if images is None else images, classes)

    def sizes(self) -> tuple[int, int]:
        """Return the numbers of training and test images of the official data."""
        return int(self.counts().sum()), self.layout.per_class[1] * len(self.layout.classes)

    def train_counts(self, root: Path) -> NDArray[np.int64]:
        """Return (C,) training images per class, head first."""
        return self.counts()

    def class_count(self) -> int:
        """Return the number of classes of the official data."""
        return len(self.layout.classes)

    def absent(self, root: Path) -> str:
        """Return a short message if the images are in `root` in no form; "" otherwise."""
        return "" if find(root, self.layout) else f"no {self.layout.title} under {root}"

    def download(self, root: Path) -> str:
        """Download the official pickles with torchvision, which checks their MD5 sums."""
        official = [form for form in find(root, self.layout) if form.official_order]
        if official:
            return f"{self.layout.title} is already at {official[0].path}."
        from torchvision import datasets

        publisher = datasets.CIFAR100 if self.layout is CIFAR100 else datasets.CIFAR10
        timeout = socket.getdefaulttimeout()
        created = not root.exists()
        try:
            root.mkdir(parents=True, exist_ok=True)
            # Download to a temporary folder: an interruption leaves no partial data behind.
            remove_leftovers(root, STAGING)
            with scratch_folder(root / STAGING) as temporary:
                socket.setdefaulttimeout(_TIMEOUT_S)
                publisher(temporary, download=True)
                shutil.move(temporary / self.layout.folder, root / self.layout.folder)
        except (PermissionError, FileExistsError, NotADirectoryError) as error:
            raise UserError(f"Cannot write to {root} ({error.strerror}).") from error
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            raise DataMissing(
                f"{self.layout.title} could not be downloaded ({error}): try again, or "
                f"{self._by_hand(root)}"
            ) from error
        finally:
            socket.setdefaulttimeout(timeout)
            if created:
                with suppress(OSError):  # not empty: the download succeeded
                    root.rmdir()
        return f"{self.layout.title} is at {root / self.layout.folder}."

    def card(self) -> dict[str, str]:
        """Return what `show` prints."""
        layout, counts, package = self.layout, self.counts(), self._package()
        groups = group_of(self._group_counts(), "lift")
        sizes = " / ".join(str(int((groups == g).sum())) for g in GROUPS)
        test = layout.per_class[1] * len(counts)
        return {
            "source": f"{layout.title} (Krizhevsky 2009), {_HOME_PAGE};"
            " long tail: Cao et al. 2019, arXiv 1906.07413",
            "licence": "none stated by the authors; cite Krizhevsky 2009",
            "layout": f"DATA_ROOT/{layout.folder}/, DATA_ROOT/{layout.archive},"
            f" DATA_ROOT/{layout.key}/{{train,test}}/CLASS/FILE (PNG or BMP; JPEG and WebP are"
            " lossy copies, a data set of their own) or such a tree packed as"
            f" DATA_ROOT/{layout.key}.tar.gz or DATA_ROOT/{layout.key}_folders.tar.gz",
            "classes": str(len(counts)),
            "training images": f"{counts.sum():,} ({counts.max()} to {counts.min()} per class)",
            "test images": f"{test:,} (balanced)",
            "profile": self._profile_card(),
            "groups": f"many / medium / few {sizes} (> 100, 20–100, < 20 images;"
            f" counts: {self.group_counts})",
            "recipe": f"{OFFICIAL_ORDER} for the official pickles, {NAME_ORDER} for a tree:"
            " different splits",
            "validation": f"up to {VALIDATION_PER_CLASS} training images per class that the"
            " long-tailed subset did not draw",
            **self._texts_card(package),
        }

    def _package(self) -> Package:
        return read_package(self.layout.key, self.texts)

    def _group_counts(self) -> NDArray[np.int64]:
        return (replace(self, imbalance=100.0) if self.group_counts == "ir100" else self).counts()

    def _form(self, root: Path) -> Form:
        """Return the form to read: one with the official file order if `recipe` needs it.

        Raises:
            DataMissing: no such form under `root`.
        """
        forms = find(root, self.layout)
        if not forms:
            raise DataMissing(f"No {self.layout.title} under {root}. {self._remedy(root)}")
        fitting = [f for f in forms if f.official_order or self.recipe == NAME_ORDER]
        if not fitting:
            raise DataMissing(
                f"{self.name}.recipe={OFFICIAL_ORDER} needs the official pickles, but {root} "
                f"has only {forms[0].path.name}: set {self.name}.recipe=auto to use that. "
                f"{self._remedy(root)}"
            )
        return fitting[0]

    def _remedy(self, root: Path) -> str:
        return (
            f"Run `python run_benchmarks.py download {self.name} --data-root {root}`, or "
            + self._by_hand(root)
        )

    def _by_hand(self, root: Path) -> str:
        return (
            f"put {self.layout.archive} ({_HOME_PAGE}) or a tree "
            f"{self.layout.key}/{{train,test}}/CLASS/FILE into {root} by hand; without data, "
            "`--datasets glyphs100_lt --backbone glyph` runs offline."
        )

    def _version(self, train: Raw, test: Raw) -> str:
        """Return the version; it differs for a smaller collection, which is another data set."""
        classes = len(self.layout.classes)
        sizes = (len(train.labels) // classes, len(test.labels) // classes)
        if sizes == self.layout.per_class:
            return VERSION
        _log.warning(
            "%s: %d training and %d test images per class instead of the official %d and %d; "
            "results are not comparable with published ones.",
            self.name,
            *sizes,
            *self.layout.per_class,
        )
        return f"{VERSION}-reduced-{sizes[0]}-{sizes[1]}"


@register("cifar100_lt", task="single")
@dataclass(frozen=True)
class Cifar100LT(_CifarLT):
    """CIFAR-100 with a long tail: 100 classes, ratio 100 by default (Cao et al. 2019)."""

    layout = CIFAR100


@register("cifar10_lt", task="single")
@dataclass(frozen=True)
class Cifar10LT(_CifarLT):
    """CIFAR-10 with a long tail: 10 classes, ratio 100 by default (Cao et al. 2019)."""

    layout = CIFAR10


def _split(raw: Raw, split: str, indices: NDArray[np.int64] | None = None) -> Split:
    """Return the images at `indices` (default: all) under their original names."""
    images = ArrayImages(raw.images, digest=lambda: raw.digest)
    chosen = slice(None) if indices is None else indices
    return Split(
        images=images if indices is None else images.subset(indices),
        labels=raw.labels[chosen],
        ids=tuple(f"{split}/{file}" for file in raw.files[chosen].tolist()),
    )


def _order(raw: Raw, recipe: str) -> NDArray[np.int64]:
    """Return image indices (N,) in the order that the long tail is drawn from."""
    if recipe == NAME_ORDER:
        return np.lexsort((raw.files, raw.labels)).astype(np.int64)
    return np.arange(len(raw.labels))
