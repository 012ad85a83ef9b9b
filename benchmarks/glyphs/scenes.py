"""Which glyphs meet in an image: scenes drawn from an urn, so that class counts come out exactly.

The urn holds every class as often as it is to be counted. A scene takes one to four different
classes from it, each in proportion to how many of it are left, until the urn is empty. A companion
is thus common in proportion to its count, whatever it accompanies: images of a tail class mostly
show head classes too, and not the other way round.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.glyphs.stream import Source

SIZES = (8, 7, 4, 1)
"""In 20 scenes, how many have one, two, three and four glyphs."""
MEAN_SIZE = sum((i + 1) * n for i, n in enumerate(SIZES)) / sum(SIZES)
MOST = len(SIZES)


def compose(
    source: Source, counts: NDArray[np.int64], partners: NDArray[np.int64], cooccurrence: float
) -> NDArray[np.int64]:
    """(N, 4) classes in each scene from the left, −1 where there is none; N follows.

    Args:
        source: where the randomness comes from.
        counts: (C,) scenes with the class.
        partners: (C,) the class that a class likes to bring along, −1 for none.
        cooccurrence: how often it does, 0 to 1, where there is room and the partner is left.
    """
    left = counts.copy()
    often = round(cooccurrence * 1_000_000)
    scenes = []
    while left.any():
        size = int(np.searchsorted(np.cumsum(SIZES), source.below(sum(SIZES)), "right")) + 1
        free = left.copy()
        scene: list[int] = []
        while len(scene) < size and free.any():
            partner = int(partners[scene[-1]]) if scene else -1
            if partner < 0 or not free[partner] or source.below(1_000_000) >= often:
                partner = int(np.searchsorted(np.cumsum(free), source.below(free.sum()), "right"))
            scene.append(partner)
            free[partner] = 0
        left[scene] -= 1
        scenes.append(scene + [-1] * (MOST - len(scene)))
    return np.array(scenes, dtype=np.int64)
