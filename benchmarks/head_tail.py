"""Counts of a long tail of two parts: LT-Soups' head-tail profile.

Source: Aminbeidokhti et al. 2025, "LT-Soups: Bridging Head and Tail Classes via Subsampled Model
Soups" (arXiv 2511.10683). The share of head classes is a knob of its own, beside the ratio: head
classes have more than 100 training images, tail classes at most 100.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import UserError

LARGEST_TAIL = 100
"""Images of the largest tail class; a head class has one more or above (rule `lift`)."""
STEEPNESS = 5.0
"""Steepness of the fall within a part, from the authors' code (`exp_interpolate`, k=5). The last
class of a part is exp(-5), 0.7 %, of the fall above its end: 103 and not 101 images in a head that
starts at 500."""


def head_tail_counts(largest: float, smallest: float, heads: int, tails: int) -> NDArray[np.int64]:
    """(C,) images of each class: exponential within the head, and within the tail.

    Class i of a part of m classes has int(end + (start - end) · exp(-5 i / (m - 1))) images. The
    head goes from `largest` to 101, the tail from 100 to `smallest`.

    Args:
        largest: images of the largest class.
        smallest: images that the tail falls towards; it may be a fraction.
        heads: number of head classes.
        tails: number of tail classes.

    Raises:
        UserError: a part has no classes, or `largest` and `smallest` are not on either side of 100.
    """
    if heads < 1 or tails < 1:
        raise UserError(
            f"profile=head_tail: {heads} of {heads + tails} classes would be in the head; it needs "
            "one or more in either part, by head_share."
        )
    if not smallest <= LARGEST_TAIL < largest:
        raise UserError(
            f"profile=head_tail: the largest class needs more than {LARGEST_TAIL} images and has "
            f"{largest:g}, the smallest at most {LARGEST_TAIL} and has {smallest:g}."
        )
    parts = ((largest, LARGEST_TAIL + 1.0, heads), (float(LARGEST_TAIL), smallest, tails))
    counts = [
        end + (start - end) * np.exp(-STEEPNESS * np.linspace(0.0, 1.0, classes))
        for start, end, classes in parts
    ]
    return np.concatenate(counts).astype(np.int64)
