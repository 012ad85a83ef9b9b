"""Base class of the drawn data sets: parameters, classes and texts of a long tail of glyphs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import long_tail
from benchmarks.datasets.base import ArrayImages, Family, Texts
from benchmarks.datasets.long_tail import Profile
from benchmarks.errors import UserError
from benchmarks.glyphs import draw, ranks, world
from benchmarks.glyphs.counts import tail_counts
from benchmarks.hierarchy import ROOT, Hierarchy
from benchmarks.plugins import sources
from benchmarks.plugins.ranges import Range, Share
from benchmarks.plugins.values import check_fields

ClassCount = Range(2, 100)
Correlation = Range(-1, 1)


@dataclass(frozen=True)
class TailClasses:
    """The classes of a world, in class-index order."""

    chosen: ranks.WorldClasses
    counts: NDArray[np.int64]
    """(C,) training images with the class."""
    rank: NDArray[np.int64]
    """(C,) rank in the tail, 0 for the most frequent class."""

    @property
    def names(self) -> tuple[str, ...]:
        """C invented class names."""
        return tuple(world.names()[int(n)] for n in self.chosen.numbers)

    @property
    def texts(self) -> Texts:
        """Names, templates and descriptions."""
        descriptions = tuple(world.description(int(n)) for n in self.chosen.numbers)
        return Texts(self.names, world.TEMPLATES, descriptions, invented=True)

    def hierarchy(self) -> Hierarchy:
        """Shapes, their colours, and the classes as leaves."""
        facts = self.facts
        shapes, colours = facts["shape"].tolist(), facts["colour"].tolist()
        parts = zip(shapes, colours, self.names, strict=True)
        return Hierarchy(tuple((ROOT, *path) for path in parts), "shape, then colour")

    @property
    def facts(self) -> dict[str, Any]:
        """Known attributes of the classes, by name, each (C,)."""
        parts = np.array([world.attributes(int(n)) for n in self.chosen.numbers])
        return {
            "covered": self.chosen.covered,
            "difficulty": self.chosen.difficulty,
            "rank": self.rank,
            "shape": np.array(world.SHAPES)[parts[:, 0]],
            "colour": np.array(world.COLOURS)[parts[:, 1]],
            "texture": np.array(world.TEXTURES)[parts[:, 2]],
        }


@dataclass(frozen=True)
class GlyphWorld(Family):
    """Long tail of glyph classes drawn from a seed, with every confounder a parameter."""

    imbalance: Annotated[float, Range(1, 1e6)] = 100.0
    """Ratio of the largest to the smallest class, 1 or more."""
    profile: Profile = "exp"
    """`exp`: counts fall exponentially with rank; `step`: head classes n_max, the rest n_max/r;
    `head_tail`: exponential within the head, n_max to 101, and within the tail, 100 to n_max/r
    (LT-Soups)."""
    head_share: Annotated[float, Share] = 0.5
    """Share of head classes, for the profiles step and head_tail."""
    n_max: Annotated[int, Range(1, 1_000_000)] = 500
    """Training images of the largest class (with total=fixed, it determines the total)."""
    total: Literal["free", "fixed"] = "free"
    """`free`: the largest class has n_max images; `fixed`: as many images in total as ratio 100
    with profile exp and this n_max."""
    style_shift: Annotated[float, Share] = 0.6
    """Distance of the images from the pre-training style, 0 to 1. The default was chosen on
    validation draws: zero-shot ends up halfway, far below what training on the images reaches."""
    coverage: Annotated[float, Share] = 0.6
    """Share of the classes whose names the backbone learned well in pre-training."""
    rank_coverage: Annotated[float, Correlation] = 0.0
    """Correlation of coverage with tail rank, −1 (covered classes in the head) to 1 (in the
    tail)."""
    rank_difficulty: Annotated[float, Correlation] = 0.0
    """Correlation of visual difficulty with tail rank, −1 (hard classes in the head) to 1."""
    classes: Annotated[int, ClassCount] = 100
    """Number of classes, 2 to 100."""
    test_per_class: Annotated[int, Range(1, 1_000_000)] = 50
    """Test images with each class."""
    world_seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    """Seed of the classes, ranks and images."""

    default_backbone: ClassVar[str] = "glyph"
    on_disk: ClassVar[bool] = False
    even_draw: ClassVar[int]
    """Index of the even order of ranks, see `ranks.tail_order`."""

    def _check(self) -> None:
        check_fields(f"data set {self.name}", self)
        long_tail.refuse_unused_head_share(
            self.name, self.profile, self.head_share, type(self).head_share
        )
        if self.rank_coverage**2 + self.rank_difficulty**2 > 1:
            raise UserError(
                f"{self.name}: rank_coverage² + rank_difficulty² must be 1 or less: "
                "the rank cannot correlate that strongly with both."
            )

    def train_counts(self, root: Path) -> NDArray[np.int64]:
        """Return (C,) training images per class, head first."""
        return self._counts()

    def class_count(self) -> int:
        """Return the number of classes."""
        return self.classes

    def class_facts(self) -> dict[str, Any]:
        """Return the known attributes of the classes, by name, each (C,)."""
        return self._classes().facts

    def class_texts(self) -> Texts:
        """Return the texts of the classes, which depend on no image."""
        return self._classes().texts

    def resolve(self, root: Path) -> Self:
        """Return this configuration, which does not depend on `root`, checked.

        Raises:
            UserError: a field is out of range.
        """
        self._check()
        return self

    def notes(self) -> tuple[str, ...]:
        """Return a footnote on the actual imbalance ratio if `imbalance` cannot be reached."""
        counts = self._counts()
        reached = counts.max() / counts.min()
        if counts.min() > 1 or reached >= self.imbalance:
            return ()
        return (
            f"the imbalance ratio is {reached:g}, not {self.imbalance:g}: every class has at least "
            "one training image",
        )

    def _counts(self) -> NDArray[np.int64]:
        """Return (C,) training images by rank, head first."""
        return tail_counts(
            self.classes, self.n_max, self.imbalance, self.profile, self.head_share, self.total
        )

    def _classes(self) -> TailClasses:
        """Choose the classes, their ranks and their training counts."""
        self._check()
        chosen = ranks.choose_classes(self.world_seed, self.classes, self.coverage)
        order = ranks.tail_order(
            self.world_seed, chosen, self.rank_coverage, self.rank_difficulty, self.even_draw
        )
        counts, rank = np.empty((2, self.classes), dtype=np.int64)
        counts[order] = self._counts()
        rank[order] = np.arange(self.classes)
        return TailClasses(chosen, counts, rank)


def deferred_images(scenes: draw.Scenes) -> ArrayImages:
    """Return the images of `scenes`, drawn when one of them is first read.

    Their digest is a hash of the scenes and of the drawing code, so it needs no drawing.
    """

    def digest() -> str:
        found = hashlib.sha256(_drawing_code())
        for array in (scenes.keys, scenes.glyphs, scenes.style, scenes.difficulty):
            found.update(f"{array.dtype} {array.shape} ".encode() + array.tobytes())
        return found.hexdigest()[:16]

    return ArrayImages(lambda: draw.draw(scenes), len(scenes), digest)


@cache
def _drawing_code() -> bytes:
    folder = Path(draw.__file__).parent
    names = ("draw", "shapes", "stream")
    return sources.code_hash(folder / f"{name}.py" for name in names).encode()
