"""glyphs100_lt: 100 drawn classes in a long tail, nothing downloaded, every confounder a knob."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.base import ArrayImages, DataSet, Family, Split, Texts
from benchmarks.datasets.registry import register
from benchmarks.errors import UserError
from benchmarks.glyphs import draw, ranks, world
from benchmarks.glyphs.counts import tail_counts
from benchmarks.glyphs.stream import key_of

VERSION = "1"
VALIDATION_PER_CLASS = 20


@register("glyphs100_lt", task="single")
@dataclass(frozen=True)
class Glyphs(Family):
    """100 classes drawn from a seed (32×32 px), with known attributes, coverage and difficulty."""

    imbalance: float = 100.0
    """Largest over smallest class count, 1 or more."""
    profile: str = "exp"
    """`exp`: counts fall exponentially with rank; `step`: head classes n_max, the rest n_max/r."""
    head_share: float = 0.5
    """Share of the classes that are head in the step profile."""
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
    """Test images a class."""
    world_seed: int = 0
    """Which classes, ranks and images."""

    version: ClassVar[str] = VERSION
    default_backbone: ClassVar[str] = "glyph"

    def sizes(self) -> tuple[int, int]:
        """Training and test images."""
        return int(self._counts().sum()), self.classes * self.test_per_class

    def _counts(self) -> NDArray[np.int64]:
        """(C,) training images by rank, the head first."""
        return tail_counts(
            self.classes, self.n_max, self.imbalance, self.profile, self.head_share, self.total
        )

    def _check(self) -> None:
        bounds: dict[str, tuple[float, float]] = {
            "imbalance": (1, 1e6),
            "head_share": (0, 1),
            "n_max": (1, 1_000_000),
            "style_shift": (0, 1),
            "coverage": (0, 1),
            "rank_coverage": (-1, 1),
            "rank_difficulty": (-1, 1),
            "classes": (2, 100),
            "test_per_class": (1, 1_000_000),
        }
        for field, (low, high) in bounds.items():
            value = getattr(self, field)
            if not low <= value <= high:
                raise UserError(f"{self.name}.{field} must be {low:g} to {high:g}, not {value!r}.")
        for field, choices in {"profile": ("exp", "step"), "total": ("free", "fixed")}.items():
            if getattr(self, field) not in choices:
                raise UserError(
                    f"{self.name}.{field} must be {' or '.join(choices)}, "
                    f"not {getattr(self, field)!r}."
                )
        if self.rank_coverage**2 + self.rank_difficulty**2 > 1:
            raise UserError(
                f"{self.name}: rank_coverage² + rank_difficulty² must be 1 or less: "
                "a rank cannot follow both that closely."
            )

    def resolve(self, root: Path) -> Glyphs:
        """This configuration: nothing depends on `root`.

        Raises:
            UserError: a field is out of its range.
        """
        self._check()
        return self

    def load(self, root: Path, split_seed: int) -> DataSet:
        """Draw the data set; `root` is not read.

        Raises:
            UserError: a field is out of its range.
        """
        self._check()
        chosen = ranks.choose(self.world_seed, self.classes, self.coverage)
        order = ranks.tail_order(self.world_seed, chosen, self.rank_coverage, self.rank_difficulty)
        counts = np.empty(self.classes, dtype=np.int64)
        counts[order] = self._counts()
        rank = np.empty(self.classes, dtype=np.int64)
        rank[order] = np.arange(self.classes)
        numbers = chosen.numbers
        parts = np.array([world.attributes(int(n)) for n in numbers])
        return DataSet(
            name=self.name,
            task="single",
            version=VERSION,
            recipe=f"glyphs/{self.profile}",
            texts=Texts(
                class_names=tuple(world.names()[int(n)] for n in numbers),
                templates=world.TEMPLATES,
                descriptions=tuple(world.description(int(n)) for n in numbers),
                invented=True,
            ),
            train=self._split(chosen, f"train/{split_seed}", counts),
            test=self._split(chosen, "test", np.full(self.classes, self.test_per_class)),
            validation=lambda: self._split(
                chosen, "validation", np.full(self.classes, VALIDATION_PER_CLASS)
            ),
            validation_source="fresh draw",
            facts={
                "covered": chosen.covered,
                "difficulty": chosen.difficulty,
                "rank": rank,
                "shape": np.array(world.SHAPES)[parts[:, 0]],
                "colour": np.array(world.COLOURS)[parts[:, 1]],
                "texture": np.array(world.TEXTURES)[parts[:, 2]],
            },
        )

    def _split(self, chosen: ranks.Chosen, tag: str, counts: NDArray[np.int64]) -> Split:
        """`counts[c]` images of each class, in class order.

        An image's key knows its world, split, class and number and nothing else: the same images
        turn up whatever the counts, and a knob changes how they look, not which they are.
        """
        labels = np.repeat(np.arange(len(counts)), counts)
        ids = tuple(
            f"w{self.world_seed}/{tag}/{world.names()[int(n)]}/{i}"
            for n, count in zip(chosen.numbers, counts, strict=True)
            for i in range(count)
        )
        scenes = draw.Scenes(
            keys=np.array([key_of("glyphs", sid) for sid in ids], dtype=np.uint64),
            glyphs=chosen.numbers[labels][:, None],
            style=np.full(len(ids), float(self.style_shift)),
            difficulty=chosen.difficulty[labels][:, None],
        )
        return Split(ArrayImages(draw.draw(scenes)), labels.astype(np.int64), ids)

    def card(self) -> dict[str, str]:
        """What `show glyphs100_lt` prints."""
        return {
            "source": "drawn from a seed by benchmarks/glyphs; nothing is downloaded",
            "licence": "that of this repository",
            "images": "32×32 RGB; 12 shapes × 10 colours × 5 textures, 100 classes by default",
            "counts": "int(n_max · (1/r)^(rank/(C−1))): 10,847 training images by default, "
            f"{self.test_per_class} test images a class",
            "groups": "35 many (> 100), 35 medium (20–100), 30 few (< 20) by default",
            "texts": "an invented name and a one-sentence description a class, five templates",
            "validation": f"a fresh draw of {VALIDATION_PER_CLASS} images a class",
            "known truth": "covered, difficulty, rank, shape, colour, texture of every class",
        }
