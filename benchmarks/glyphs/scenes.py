"""Composition of scenes: glyphs drawn from an urn, so that the class counts are exact.

The urn contains each class as often as its count. A scene draws one to four different classes from
it, in proportion to the remaining numbers, until the urn is empty. Companions are therefore
frequent in proportion to their count, for every class: images of a tail class mostly show head
classes too, but not the reverse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.glyphs.stream import Source

SIZES = (8, 7, 4, 1)
"""Numbers of scenes with one, two, three and four glyphs, out of 20."""
MEAN_SIZE = sum((i + 1) * n for i, n in enumerate(SIZES)) / sum(SIZES)
MOST = len(SIZES)


def compose(
    source: Source, counts: NDArray[np.int64], partners: NDArray[np.int64], cooccurrence: float
) -> NDArray[np.int64]:
    """(N, 4) classes in each scene, filled from the left with −1 after the last; N results.

    Args:
        source: source of randomness.
        counts: (C,) number of scenes with each class.
        partners: (C,) the class that each class brings along, −1 for none.
        cooccurrence: probability, 0 to 1, that it does so if the scene has room and the urn still
            contains the partner.
    """
    remaining = counts.copy()
    often = round(cooccurrence * 1_000_000)
    scenes = []
    while remaining.any():
        size = int(np.searchsorted(np.cumsum(SIZES), source.below(sum(SIZES)), "right")) + 1
        free = remaining.copy()
        scene: list[int] = []
        while len(scene) < size and free.any():
            partner = int(partners[scene[-1]]) if scene else -1
            if partner < 0 or not free[partner] or source.below(1_000_000) >= often:
                partner = int(np.searchsorted(np.cumsum(free), source.below(free.sum()), "right"))
            scene.append(partner)
            free[partner] = 0
        remaining[scene] -= 1
        scenes.append(scene + [-1] * (MOST - len(scene)))
    return np.array(scenes, dtype=np.int64)
