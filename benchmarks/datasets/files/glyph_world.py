"""What the drawn data sets share: the knobs of a long tail of glyph classes, and its texts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import long_tail
from benchmarks.datasets.base import ArrayImages, Family, Texts
from benchmarks.errors import UserError
from benchmarks.glyphs import draw, ranks, world
from benchmarks.glyphs.counts import tail_counts
from benchmarks.plugins import sources


@dataclass(frozen=True)
class TailClasses:
    """The classes of a world, in class-index order."""

    chosen: ranks.WorldClasses
    counts: NDArray[np.int64]
    """(C,) training images with the class."""
    rank: NDArray[np.int64]
    """(C,) place in the tail, 0 for the commonest class."""

    @property
    def names(self) -> tuple[str, ...]:
        """C invented names."""
        return tuple(world.names()[int(n)] for n in self.chosen.numbers)

    @property
    def texts(self) -> Texts:
        """Names, templates and descriptions."""
        descriptions = tuple(world.description(int(n)) for n in self.chosen.numbers)
        return Texts(self.names, world.TEMPLATES, descriptions, invented=True)

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of each class, by name, each (C,)."""
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
    """A long tail of glyph classes, drawn from a seed, with every confounder a knob."""

    imbalance: float = 100.0
    """Largest over smallest class count, 1 or more."""
    profile: str = "exp"
    """`exp`: counts fall exponentially with rank; `step`: head classes n_max, the rest n_max/r."""
    head_share: float = 0.5
    """Share of the classes that are head; for the step profile alone."""
    n_max: int = 500
    """Training images of the largest class (with total=fixed: what sets the total)."""
    total: str = "free"
    """`free`: n_max holds; `fixed`: as many images in all as ratio 100, exp, with this n_max."""
    style_shift: float = 0.6
    """How far the images are from the pre-training style, 0 to 1. The default was chosen on
    validation draws: zero-shot halfway, and far below what training on the images reaches."""
    coverage: float = 0.6
    """Share of the classes whose names the backbone was taught well in pre-training."""
    rank_coverage: float = 0.0
    """Pull of coverage on the tail rank, −1 (covered classes in the head) to 1 (in the tail)."""
    rank_difficulty: float = 0.0
    """Pull of visual difficulty on the tail rank, −1 (hard classes in the head) to 1."""
    classes: int = 100
    """How many classes, 2 to 100."""
    test_per_class: int = 50
    """Test images with each class."""
    world_seed: int = 0
    """Which classes, ranks and images."""

    default_backbone: ClassVar[str] = "glyph"
    on_disk: ClassVar[bool] = False
    even_draw: ClassVar[int]
    """Which of the even orders of ranks, see `ranks.tail_order`."""

    def _bounds(self) -> dict[str, tuple[float, float]]:
        """Least and largest value of the fields that are numbers."""
        return {
            "imbalance": (1, 1e6),
            "head_share": (0, 1),
            "n_max": (1, 1_000_000),
            "style_shift": (0, 1),
            "coverage": (0, 1),
            "rank_coverage": (-1, 1),
            "rank_difficulty": (-1, 1),
            "classes": (2, 100),
            "test_per_class": (1, 1_000_000),
            "world_seed": (0, 2**32 - 1),  # as every seed
        }

    def _check(self) -> None:
        for field, (low, high) in self._bounds().items():
            value = getattr(self, field)
            if not low <= value <= high:
                raise UserError(
                    f"{self.name}.{field} must be {low:.10g} to {high:.10g}, not {value!r}."
                )
        for field, choices in {"profile": ("exp", "step"), "total": ("free", "fixed")}.items():
            if getattr(self, field) not in choices:
                raise UserError(
                    f"{self.name}.{field} must be {' or '.join(choices)}, "
                    f"not {getattr(self, field)!r}."
                )
        long_tail.refuse_idle_head_share(
            self.name, self.profile, self.head_share, type(self).head_share
        )
        if self.rank_coverage**2 + self.rank_difficulty**2 > 1:
            raise UserError(
                f"{self.name}: rank_coverage² + rank_difficulty² must be 1 or less: "
                "a rank cannot follow both that closely."
            )

    def class_count(self) -> int:
        """Classes of the world."""
        return self.classes

    def resolve(self, root: Path) -> Self:
        """This configuration: nothing depends on `root`.

        Raises:
            UserError: a field is out of its range.
        """
        self._check()
        return self

    def notes(self) -> tuple[str, ...]:
        """The imbalance ratio that there is, where the one asked for is out of reach."""
        counts = self._counts()
        reached = counts.max() / counts.min()
        if counts.min() > 1 or reached >= self.imbalance:
            return ()
        return (
            f"the imbalance ratio is {reached:g}, not {self.imbalance:g}: no class has less than "
            "one training image",
        )

    def _counts(self) -> NDArray[np.int64]:
        """(C,) training images by rank, the head first."""
        return tail_counts(
            self.classes, self.n_max, self.imbalance, self.profile, self.head_share, self.total
        )

    def _classes(self) -> TailClasses:
        """Which classes there are, how many images each has and in which order of ranks."""
        self._check()
        chosen = ranks.choose_classes(self.world_seed, self.classes, self.coverage)
        order = ranks.tail_order(
            self.world_seed, chosen, self.rank_coverage, self.rank_difficulty, self.even_draw
        )
        counts, rank = np.empty((2, self.classes), dtype=np.int64)
        counts[order] = self._counts()
        rank[order] = np.arange(self.classes)
        return TailClasses(chosen, counts, rank)


def promised(scenes: draw.Scenes) -> ArrayImages:
    """The images of `scenes`, which are drawn when one of them is first read.

    What stands for their content is what they are drawn from: the scenes and the drawing code.
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
