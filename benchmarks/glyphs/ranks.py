"""Classes of a world, their visual difficulty and their order in the long tail.

By default, the tail rank is uninformative: it is stratified by coverage and difficulty, and shapes,
colours, textures and look-alikes are spread evenly over head, middle and tail.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.glyphs import world
from benchmarks.glyphs.stream import Source


@dataclass(frozen=True)
class WorldClasses:
    """The classes of a world in class-index order (by name, which is uninformative)."""

    numbers: NDArray[np.int64]
    """(C,) combinations."""
    covered: NDArray[np.bool_]
    """(C,) True if the name is frequent in pre-training."""
    difficulty: NDArray[np.float64]
    """(C,) 0 to 1, evenly spread among the covered and among the other classes."""


def choose_classes(world_seed: int, classes: int, coverage: float) -> WorldClasses:
    """Draw `classes` of the 300 named combinations; a share `coverage` of them is covered."""
    source = Source("glyphs", "classes", world_seed)
    pools = [
        pool[source.permutation(len(pool))] for pool in (world.covered(), world.hardly_trained())
    ]
    known = round(coverage * classes)
    sizes = (known, classes - known)
    numbers, difficulty = [], []
    for pool, size in zip(pools, sizes, strict=True):
        numbers += [int(n) for n in pool[:size]]
        difficulty += [(float(d) + 0.5) / size for d in source.permutation(size)]
    order = sorted(range(classes), key=lambda c: world.names()[numbers[c]])
    return WorldClasses(
        np.array(numbers, dtype=np.int64)[order],
        np.array([c < known for c in order]),
        np.array(difficulty)[order],
    )


def tail_order(
    world_seed: int,
    chosen: WorldClasses,
    rank_coverage: float,
    rank_difficulty: float,
    even_draw: int,
) -> NDArray[np.int64]:
    """(C,) class indices from head to tail.

    `even_draw` selects one of the even orders. Classes still differ in how easily they are
    recognised (the accuracy of a linear probe has a standard deviation of 15 points over those of
    glyphs100_lt), so groups of 35, 35 and 30 classes in a random even order are about 7 points
    apart. A data set therefore uses an order that was chosen by measuring on validation images.

    If both correlations are 0, the result is the even order. At ±1 the rank is determined by
    coverage (or difficulty), with ties in the even order. In between, the three are weighted so
    that the ranked score has exactly these correlations; those of the rank itself are close.
    """
    even = _even_order(world_seed, chosen, even_draw)
    place = np.empty(len(even))
    place[even] = np.arange(len(even))
    rest = math.sqrt(max(0.0, 1.0 - rank_coverage**2 - rank_difficulty**2))
    score = (
        rank_coverage * _standard(chosen.covered.astype(np.float64))
        + rank_difficulty * _standard(chosen.difficulty)
        + rest * _standard(place)
    )
    return np.lexsort((place, np.round(score, 9))).astype(np.int64)


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = float(values.std())
    standard: NDArray[np.float64] = (values - values.mean()) / (spread or 1.0)
    return standard


def _even_order(world_seed: int, chosen: WorldClasses, even_draw: int) -> NDArray[np.int64]:
    """An order in which all known properties of classes are spread evenly along the ranks.

    Covered and hardly trained classes are separately sorted by difficulty and cut into bins of
    three neighbours; each bin sends one class to each third of the ranks. The assignment starts at
    random and is then changed bin by bin as long as that makes the attributes more even.
    """
    source = Source("glyphs", "ranks", world_seed, even_draw)
    third = np.empty(len(chosen.numbers), dtype=np.int64)
    bins = []
    for kind in (True, False):
        members = np.flatnonzero(chosen.covered == kind)
        members = members[np.argsort(chosen.difficulty[members], kind="stable")]
        bins += [members[start : start + 3] for start in range(0, len(members), 3)]
    for members in bins:
        third[members] = source.permutation(3)[: len(members)]
    traits = _traits(chosen.numbers)
    least = _unevenness(third, traits)
    improved = True
    while improved:
        improved = False
        for members, thirds in itertools.product(bins, itertools.permutations(range(3))):
            before = third[members]
            third[members] = thirds[: len(members)]
            cost = _unevenness(third, traits)
            if cost < least:
                least, improved = cost, True
            else:
                third[members] = before
    return np.argsort(third + source.uniform(len(third)), kind="stable").astype(np.int64)


def _traits(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """(C, 28) indicators of the attribute values of each class, then its number of look-alikes.

    A look-alike differs in only one attribute; classes with many of them are confused the most.
    """
    parts = np.array([world.attributes(int(n)) for n in numbers])
    values = [parts[:, column, None] == np.arange(size) for column, size in enumerate((12, 10, 5))]
    alike = (parts[:, None] != parts[None]).sum(2) == 1
    return np.column_stack([*values, alike.sum(1)]).astype(np.int64)


def _unevenness(third: NDArray[np.int64], traits: NDArray[np.int64]) -> int:
    """Squared distance (in ninths) of the thirds' trait sums from an even share."""
    sums = (third == np.arange(3)[:, None]).astype(np.int64) @ traits
    return int(((3 * sums - sums.sum(0)) ** 2).sum())
