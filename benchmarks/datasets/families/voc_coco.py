"""VOC-LT and COCO-LT: multi-label data with long tails and a caption for each training image.

Long tails: Wu et al. 2020, "Distribution-Balanced Loss for Multi-Label Classification in
Long-Tailed Datasets" (arXiv 2007.09654). Lists and captions: Xia et al. 2023 (LMPT).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.datasets.base import Scores
from benchmarks.datasets.files.characters import shown
from benchmarks.datasets.files.fetch import Archive, Source
from benchmarks.datasets.files.listed import Listed
from benchmarks.datasets.files.locate import as_listed, without_first_folder
from benchmarks.datasets.files.release import Release
from benchmarks.datasets.files.split_lists import Listing, read_captions
from benchmarks.datasets.registry import register
from benchmarks.errors import DataError
from benchmarks.input_files import MB, read_text
from benchmarks.plugins.values import check_fields
from benchmarks.text import Package

_HOME = "https://raw.githubusercontent.com/richard-peng-xia/LMPT"
_LISTS = "6a2dd5b53a624494df1bb2c8fe8459ac3860d22c"
"""Commit that added the lists and captions."""


def _list(file: str, checksum: str, commit: str = _LISTS) -> Source:
    """Return a file of LMPT's repository, where each file has only one version.

    The checksums were computed from copies with the same lengths and last lines.
    """
    return Source(
        file, f"{_HOME}/{commit}/data/{file.partition('_')[0]}/{file}", f"sha256:{checksum}"
    )


@dataclass(frozen=True)
class _MultiLabel(Listed):
    """Base class of both data sets."""

    scores: Scores = "logits"
    """Scores for average precision: logits, or the softmax over the classes of uncalibrated logits
    (as in LMPT)."""

    def resolve(self, root: Path) -> Self:
        """Return this configuration, checked, with `lists` set from the files in `root`."""
        check_fields(f"data set {self.name}", self)
        return super().resolve(root)

    def _scores(self) -> Scores:
        return self.scores

    def _listings(self, root: Path, package: Package) -> dict[str, Listing]:
        check_labels(self._list_files(root)["labels"], package.keys)
        return super()._listings(root, package)

    def _captions(self, root: Path, split: str, listing: Listing) -> tuple[str, ...] | None:
        if split != "train":
            return None
        file = self._list_files(root)["captions"]
        captions = read_captions(file)
        missing = [path for path in listing.files if not captions.get(path)]
        if missing:
            raise DataError(
                f"{file}: {len(missing):,} of {len(listing.files):,} training images have no "
                f"caption, for example {', '.join(missing[:3])}."
            )
        return tuple(captions[path] for path in listing.files)


def check_labels(file: Path, keys: Sequence[str]) -> None:
    """Refuse a label file whose classes or order differ from `keys`.

    The file has one `name index` per line; names may contain spaces.

    Raises:
        DataError: the message names the first line that differs.
    """
    try:
        lines = read_text(file, MB, "utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as text.") from error
    found = [tuple(shown(line).rsplit(maxsplit=1)) for line in lines if line.strip()]
    expected = [(key, str(index)) for index, key in enumerate(keys)]
    for number, (have, want) in enumerate(zip(found, expected, strict=False), 1):
        if have != want:
            raise DataError(
                f"{file}, line {number}: '{' '.join(have)}', expected '{' '.join(want)}'."
            )
    if len(found) != len(expected):
        raise DataError(f"{file}: {len(found)} classes, expected {len(expected)}.")


@register("voc_lt", task="multi")
@dataclass(frozen=True)
class VocLT(_MultiLabel):
    """VOC-LT: 20 classes of 4 to 775 images, trained on VOC2012, tested on VOC2007 (Wu et al.)."""

    release = Release(
        title="VOC-LT",
        package="voc2007",
        classes=20,
        recipe="wu2020",
        lists={
            "train": _list(
                "voc_lt_train.txt",
                "2111a5e58ae8b67a112a2b2c8aa98fe8fa926ac3e1d73e2e4e0e4844c90cc047",
            ),
            "test": _list(
                "voc_lt_test.txt",
                "43b2929a86e9fe685cdf3b6b72fb90b6838ff9f9f427807e8b9502111e73750a",
            ),
            "captions": _list(
                "voc_lt_captions.txt",
                "a986c2d493d4258aa470fe0b48b66b12c1ec338e4341dda3fb4c46ef9865f273",
            ),
            "labels": _list(
                "voc_labels.txt",
                "59e82ce7a1fa096b8a80c22cc72e6c86e54c598b2e1cfe08a211f1c82a0dcb2c",
                "abfacf0d253919337b4c7f566a36ffb3ffda9ea8",
            ),
        },
        official={"train": 1_142, "test": 4_952},
        folders=("voc", "VOC", "pascal_voc"),
        rewrites=(as_listed, without_first_folder),
        layout=(
            "DATA_ROOT/voc_lt/VOCdevkit/{VOC2012,VOC2007}/JPEGImages/*.jpg (or the same in voc/, "
            "VOC/, pascal_voc/ or DATA_ROOT itself, with or without VOCdevkit/), with the lists in "
            "DATA_ROOT/voc_lt/"
        ),
        images_from="VOCtrainval_11-May-2012.tar (2.0 GB) and VOCtest_06-Nov-2007.tar (0.5 GB) "
        "from http://host.robots.ox.ac.uk/pascal/VOC, fetched by `download`",
        # URLs and checksums: torchvision.datasets.voc; sizes: tensorflow/datasets (333639b3),
        # url_checksums/voc.txt.
        archives=(
            Archive(
                "VOCtrainval_11-May-2012.tar",
                "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
                "md5:6cd6e144f989b92b3379bac3b3de84fd",
                1999.6,
                holds="VOCdevkit/VOC2012/JPEGImages",
            ),
            Archive(
                "VOCtest_06-Nov-2007.tar",
                "https://thor.robots.ox.ac.uk/pascal/VOC/voc2007/VOCtest_06-Nov-2007.tar",
                "md5:b6e924de25625d8de591ea690078ad9f",
                451.0,
                holds="VOCdevkit/VOC2007/JPEGImages",
            ),
        ),
        source="PASCAL VOC 2012 (train) and 2007 (test), http://host.robots.ox.ac.uk/pascal/VOC; "
        "long tail: Wu et al. 2020, arXiv 2007.09654; lists and captions: LMPT (Xia et al. 2023)",
        groups="many / medium / few 6 / 6 / 8 (rule lmpt)",
        validation="no official one: carved from the training images",
        notes={
            "captions": "one per training image, from a captioning model; the last one is cut off",
            "metric": "mean average precision on the logits; scores=softmax: on the softmax over "
            "the classes of uncalibrated logits, as in LMPT",
        },
    )


@register("coco_lt", task="multi")
@dataclass(frozen=True)
class CocoLT(_MultiLabel):
    """COCO-LT: 80 classes of 6 to 1,128 images, trained and tested on COCO 2017 (Wu et al.)."""

    release = Release(
        title="COCO-LT",
        package="coco",
        classes=80,
        recipe="wu2020",
        lists={
            "train": _list(
                "coco_lt_train.txt",
                "8e0c354ae2214d7ced46f4a5ae24236149296be4dcd2df74f00eba2abe6be0ce",
            ),
            "test": _list(
                "coco_lt_test.txt",
                "4dda722463b0ed3aada172ce1c75f46f1391e4d2bee7643760549f916a8022e5",
            ),
            "captions": _list(
                "coco_lt_captions.txt",
                "4bcc3de5c20e3561f6bbe90188c00cea3adf1eab58245f761e4fd9b93319fecd",
            ),
            "labels": _list(
                "coco_labels.txt",
                "a16d52dc65d8bc2b7abe5875199d802e951b7af142b327f8c85b496116a87f45",
                "66dec043689a58085926ebb50199bbcdb11b2cef",
            ),
        },
        official={"train": 1_909, "test": 5_000},
        folders=("coco", "coco/images", "COCO", "coco2017"),
        layout=(
            "DATA_ROOT/coco/{train2017,val2017}/*.jpg (or the same in coco/images/, coco_lt/, "
            "COCO/, coco2017/ or DATA_ROOT itself), with the lists in DATA_ROOT/coco_lt/"
        ),
        # Sizes: tensorflow/datasets (2282548b), url_checksums/coco2017.txt.
        images_from=(
            "http://images.cocodataset.org/zips/train2017.zip (19.3 GB) and val2017.zip (0.8 GB; "
            "too large to download automatically)"
        ),
        source="COCO 2017 (train2017 and val2017), https://cocodataset.org; long tail: Wu et al. "
        "2020, arXiv 2007.09654; lists and captions: LMPT (Xia et al. 2023)",
        groups="many / medium / few 22 / 33 / 25 (rule lmpt)",
        validation="no official one: carved from the training images",
        notes={
            "captions": "several sentences in one line per training image",
            "test labels": "48 test images have none, as published",
            "metric": "mean average precision on the logits; scores=softmax: on the softmax over "
            "the classes of uncalibrated logits, as in LMPT",
        },
    )
