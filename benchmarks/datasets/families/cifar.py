"""CIFAR-10-LT and CIFAR-100-LT: long-tailed subsets of CIFAR's training images.

Data: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images". Long tail: Cao et
al. 2019 (see `recipes`).
"""

from __future__ import annotations

import http.client
import logging
import shutil
import socket
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

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
    read,
    tree_sizes,
)
from benchmarks.datasets.files.class_folders import Raw
from benchmarks.datasets.files.drawn import VALIDATION_PER_CLASS, DrawnTail, validation_source
from benchmarks.datasets.registry import register
from benchmarks.errors import DataMissing, UserError
from benchmarks.protocol import GROUPS, group_of
from benchmarks.text import Package, read_package

VERSION = "1"
OFFICIAL_ORDER, NAME_ORDER = "cao2019", "cao2019/name-order"
RECIPES = ("auto", OFFICIAL_ORDER, NAME_ORDER)
GROUP_COUNTS = ("own", "ir100")
_HOME_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
_TIMEOUT_S = 60.0
"""How long a silent server is waited for when downloading."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _CifarLT(DrawnTail):
    """What both sets share. Fields are the knobs."""

    recipe: str = "auto"
    """`cao2019`: drawn over the order of the official pickles. `cao2019/name-order`: the same draw
    over file names, all that a tree of class folders can offer, and another split. `auto` takes
    the first where the pickles are there."""
    group_counts: str = "own"
    """Counts that decide many, medium and few: this subset's `own`, or those of ratio 100 (`ir100`,
    as in LIFT's CIFAR results at ratios 10 and 50)."""
    collection: str = "official"
    """`official`, or the images a class of a smaller tree that is found in its place: set by what
    is there, so that its results are never taken for these."""

    layout: ClassVar[Layout]
    version: ClassVar[str] = VERSION

    def resolve(self, root: Path) -> Self:
        """This configuration with the recipe pinned that the form of the data in `root` allows."""
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
            collection = "{}-{}".format(*found) if reduced and found else "official"
        return replace(self, recipe=recipe, imbalance=float(self.imbalance), collection=collection)

    def pinned(self) -> dict[str, Any]:
        """The knobs; the official collection goes without saying."""
        knobs = super().pinned()
        if self.collection == "official":
            del knobs["collection"]
        return knobs

    def load(self, root: Path, split_seed: int) -> DataSet:
        """The data set, read from `root` in whichever form it is there."""
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
        return DataSet(
            name=self.name,
            task="single",
            version=self._version(full, test),
            recipe=config.recipe,
            texts=texts,
            notes=notes,
            train=train,
            test=test_split,
            validation=partial(without_duplicates, spare, train, test_split) if source else None,
            validation_source=source,
            group_counts=(
                replace(config, imbalance=100.0).counts(len(full.labels))
                if config.group_counts == "ir100"
                else None
            ),
        )

    def counts(self, images: int | None = None) -> NDArray[np.int64]:
        """(C,) training images a class, drawn from `images` (by default the official number)."""
        classes = len(self.layout.classes)
        return self._tail(classes * self.layout.per_class[0] if images is None else images, classes)

    def sizes(self) -> tuple[int, int]:
        """Training and test images of the official data."""
        return int(self.counts().sum()), self.layout.per_class[1] * len(self.layout.classes)

    def class_count(self) -> int:
        """Classes of the official data."""
        return len(self.layout.classes)

    def absent(self, root: Path) -> str:
        """Whether the images are there in any form."""
        return "" if find(root, self.layout) else f"no {self.layout.title} under {root}"

    def download(self, root: Path) -> str:
        """Fetch the official pickles through torchvision, which checks their MD5 sums."""
        official = [form for form in find(root, self.layout) if form.official_order]
        if official:
            return f"{self.layout.title} is already at {official[0].path}."
        from torchvision import datasets

        publisher = datasets.CIFAR100 if self.layout is CIFAR100 else datasets.CIFAR10
        timeout = socket.getdefaulttimeout()
        made = not root.exists()
        try:
            root.mkdir(parents=True, exist_ok=True)
            # In a folder of its own first: an interrupted download leaves nothing to trip over.
            with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as temporary:
                socket.setdefaulttimeout(_TIMEOUT_S)
                publisher(temporary, download=True)
                shutil.move(Path(temporary) / self.layout.folder, root / self.layout.folder)
        except (PermissionError, FileExistsError, NotADirectoryError) as error:
            raise UserError(f"{root} cannot be written to ({error.strerror}).") from error
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            raise DataMissing(
                f"{self.layout.title} could not be downloaded ({error}): try again, or "
                f"{self._by_hand(root)}"
            ) from error
        finally:
            socket.setdefaulttimeout(timeout)
            if made:
                with suppress(OSError):  # not empty: the data are there
                    root.rmdir()
        return f"{self.layout.title} is at {root / self.layout.folder}."

    def card(self) -> dict[str, str]:
        """What `show` prints."""
        layout, counts, package = self.layout, self.counts(), self._package()
        groups = group_of(self._group_counts(), "lift")
        sizes = " / ".join(str(int((groups == g).sum())) for g in GROUPS)
        test = layout.per_class[1] * len(counts)
        return {
            "source": f"{layout.title} (Krizhevsky 2009), {_HOME_PAGE};"
            " long tail: Cao et al. 2019, arXiv 1906.07413",
            "licence": "none stated by the authors; cite Krizhevsky 2009",
            "layout": f"DATA_ROOT/{layout.folder}/, DATA_ROOT/{layout.archive},"
            f" DATA_ROOT/{layout.key}/{{train,test}}/CLASS/*.png or DATA_ROOT/{layout.key}.tar.gz"
            f" (or {layout.key}_folders.tar.gz) of such a tree",
            "classes": str(len(counts)),
            "training images": f"{counts.sum():,} ({counts.max()} to {counts.min()} a class)",
            "test images": f"{test:,} (balanced)",
            "profile": f"{self.profile}, imbalance {self.imbalance:g}",
            "groups": f"many / medium / few {sizes} (> 100, 20–100, < 20 images;"
            f" counts: {self.group_counts})",
            "recipe": f"{OFFICIAL_ORDER} over the official pickles, {NAME_ORDER} over a tree:"
            " different splits",
            "validation": f"up to {VALIDATION_PER_CLASS} training images a class, not drawn ones",
            **self._texts_card(package),
        }

    def _package(self) -> Package:
        return read_package(self.layout.key, self.texts)

    def _group_counts(self) -> NDArray[np.int64]:
        return (replace(self, imbalance=100.0) if self.group_counts == "ir100" else self).counts()

    def _check(self) -> None:
        self._check_tail()
        for field, known in (("recipe", RECIPES), ("group_counts", GROUP_COUNTS)):
            if getattr(self, field) not in known:
                raise UserError(
                    f"{self.name}.{field}='{getattr(self, field)}': known are {', '.join(known)}."
                )

    def _form(self, root: Path) -> Form:
        """The form to read; official file order is asked for by the recipe."""
        forms = find(root, self.layout)
        if not forms:
            raise DataMissing(f"No {self.layout.title} under {root}. {self._remedy(root)}")
        fitting = [f for f in forms if f.official_order or self.recipe == NAME_ORDER]
        if not fitting:
            raise DataMissing(
                f"{self.name}: recipe '{OFFICIAL_ORDER}' needs the official pickles, but {root} "
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
            f"{self.layout.key}/{{train,test}}/CLASS/*.png into {root} by hand; without data, "
            "`--datasets glyphs100_lt --backbone glyph` runs offline."
        )

    def _version(self, train: Raw, test: Raw) -> str:
        """The recipe's version; a smaller collection in the right form is another data set."""
        classes = len(self.layout.classes)
        sizes = (len(train.labels) // classes, len(test.labels) // classes)
        if sizes == self.layout.per_class:
            return VERSION
        _log.warning(
            "%s: %d training and %d test images a class instead of the official %d and %d; "
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
    """The images at `indices` (all by default) under their original names."""
    images = ArrayImages(raw.images, digest=lambda: raw.digest)
    chosen = slice(None) if indices is None else indices
    return Split(
        images=images if indices is None else images.subset(indices),
        labels=raw.labels[chosen],
        ids=tuple(f"{split}/{file}" for file in raw.files[chosen].tolist()),
    )


def _order(raw: Raw, recipe: str) -> NDArray[np.int64]:
    """(N,) the order that a recipe draws from; the images themselves stay where they are."""
    if recipe == NAME_ORDER:
        return np.lexsort((raw.files, raw.labels)).astype(np.int64)
    return np.arange(len(raw.labels))
