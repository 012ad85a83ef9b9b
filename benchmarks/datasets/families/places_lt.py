"""Places-LT: 365 scene categories with a long tail.

Data: Zhou et al. 2017, "Places: A 10 Million Image Database for Scene Recognition". Long tail: Liu
et al. 2019, "Large-Scale Long-Tailed Recognition in an Open World" (OLTR).

The class hierarchy is the publishers' spreadsheet (linked as "scene hierarchy" in the README of
github.com/CSAILVision/places365), which states no licence and is therefore not part of the suite:
the user exports it as CSV. It marks 3 and 16 groups of classes, as in the SUN database (Xiao et al.
2014, "SUN Database: Exploring a Large Collection of Scene Categories"). A class with several marks
on a level is in the first of them.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.datasets.files.characters import trouble
from benchmarks.datasets.files.fetch import Source
from benchmarks.datasets.files.listed import Listed
from benchmarks.datasets.files.release import Release
from benchmarks.datasets.registry import register
from benchmarks.errors import DataError, NotApplicable, first_few
from benchmarks.hierarchy import ROOT, Hierarchy
from benchmarks.input_files import MB, read_bytes
from benchmarks.text import Package

# facebookresearch/classifier-balancing is the code of Kang et al. 2020, which evaluates on these
# lists. The checksums were computed from copies with the same lengths and last lines.
_HOME = (
    "https://raw.githubusercontent.com/facebookresearch/classifier-balancing/"
    "22370c64141cc662f62ead89447c838c4a7977b5/data/Places_LT"
)


SCENES = "scene_hierarchy_places365.csv"
"""Name of the exported spreadsheet, as in the code of several papers."""
_LEVELS = (slice(1, 4), slice(4, 20))
"""Columns of the 3 and of the 16 groups."""


def _list(file: str, checksum: str) -> Source:
    return Source(file, f"{_HOME}/{file}", f"sha256:{checksum}")


@register("places_lt", task="single")
@dataclass(frozen=True)
class PlacesLT(Listed):
    """Places365 with a long tail: 365 classes of 5 to 4,980 images (Liu et al. 2019)."""

    release = Release(
        title="Places-LT",
        package="places",
        classes=365,
        recipe="liu2019",
        lists={
            "train": _list(
                "Places_LT_train.txt",
                "726c4871dcbf07ce2f857703bfe32e9a83ffbf52d704239f6d95c4f4f4c247f7",
            ),
            "validation": _list(
                "Places_LT_val.txt",
                "719e3cf3766c09134ea28f56f1036c78def511ac1ed2c2532a6beef78f2439ba",
            ),
            "test": _list(
                "Places_LT_test.txt",
                "44eee8441c8098c59195465abede425721bc35525d75209f9433b161a6eb37bc",
            ),
        },
        official={"train": 62_500, "validation": 7_300, "test": 36_500},
        folders=("places", "places365", "places365_standard", "places/places365_standard"),
        layout=(
            "DATA_ROOT/places/{train,val}/CLASS/*.jpg (or the same in places_lt/, places365/, "
            "places365_standard/ or DATA_ROOT itself), with the lists in DATA_ROOT/places_lt/"
        ),
        # File name and folders: public download scripts. No source says that the archives with
        # folders a/ to z/ number the images in the same way, so they are not accepted here.
        images_from=(
            "places365standard_easyformat.tar from http://places2.csail.mit.edu/download.html "
            "(size unverified; too large to download automatically)"
        ),
        source="Places365 (Zhou et al. 2017), http://places2.csail.mit.edu; long tail: Liu et "
        "al. 2019, https://github.com/zhmiao/OpenLongTailRecognition-OLTR",
        groups="many / medium / few 131 / 163 / 71 (rule lift), 132 / 156 / 77 (oltr), "
        "132 / 162 / 71 (lmpt)",
        validation="the official list: 20 training images of Places365 per class that are in "
        "neither train nor test",
        notes={
            "class names": "from the lists' folders; LIFT's code, which uses the line order of its "
            "classnames.txt, gives 5 of the 365 classes the name of another class",
            "class hierarchy": f"Places365's 3 and 16 groups of scenes, if {SCENES} is beside the "
            "lists: the spreadsheet that github.com/CSAILVision/places365 links, exported as CSV",
        },
    )

    def _tree(self, root: Path, package: Package) -> Callable[[], Hierarchy]:
        return partial(scene_hierarchy, self._find(root, SCENES), package.keys)


def scene_hierarchy(file: Path | None, keys: Sequence[str]) -> Hierarchy:
    """Read the publishers' groups of scenes.

    Args:
        file: a line of explanations, a line with the names of the groups, and a line for each class
            with a 1 in the columns of its groups; None if there is none.
        keys: (C,) folders of the classes.

    Raises:
        NotApplicable: there is no file.
        DataError: the file has another format, or lacks a class or the groups of one.
    """
    if file is None:
        raise NotApplicable(
            f"no class hierarchy: put {SCENES} beside the lists, the spreadsheet that the README "
            "of github.com/CSAILVision/places365 links as scene hierarchy, exported as CSV"
        )
    content = _content(file)
    try:
        _, heads, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig")), strict=True)
    except (ValueError, csv.Error) as error:  # UnicodeDecodeError is a ValueError
        raise DataError(f"{file}: no scene hierarchy in CSV ({error}).") from error
    heads = [" ".join(head.split()) for head in heads]
    if len(heads) < _LEVELS[-1].stop or not all(heads[1 : _LEVELS[-1].stop]):
        raise DataError(
            f"{file}: the second line names {sum(map(bool, heads[1:]))} groups of scenes, not 19."
        )
    if wrong := next((found for head in heads if (found := trouble(head))), None):
        raise DataError(f"{file}: the name of a group {wrong}.")
    above = {_key(row[0]): _groups(row, heads) for row in rows if row}
    lacking = [key for key in keys if not all(above.get(key, ("",)))]
    if lacking:
        raise DataError(
            f"{file}: {len(lacking)} of {len(keys)} classes have no group: {first_few(lacking)}."
        )
    digest = hashlib.sha256(content).hexdigest()[:8]
    paths = tuple((ROOT, *above[key], key) for key in keys)
    return Hierarchy(paths, f"Places365's scene hierarchy ({file.name}@{digest})")


def _content(file: Path) -> bytes:
    try:
        return read_bytes(file, MB)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}).") from error


def _key(category: str) -> str:
    """The folder of a category such as '/d/desert/sand', in quotes or not: desert-sand."""
    _, _, path = category.strip().strip("'").removeprefix("/").partition("/")
    return path.replace("/", "-")


def _groups(row: Sequence[str], heads: Sequence[str]) -> tuple[str, ...]:
    """The first group with a mark on each level; "" on a level without one."""
    marks = zip(heads, row, strict=False)
    marked = [head if mark.strip() not in ("", "0", "0.0") else "" for head, mark in marks]
    return tuple(next(filter(None, marked[level]), "") for level in _LEVELS)
