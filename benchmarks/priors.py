"""Class priors of shifted test distributions, by which stored predictions are re-weighted.

SADE (Zhang et al. 2022, "Self-Supervised Aggregation of Diverse Experts for Test-Agnostic
Long-Tailed Recognition", arXiv 2107.09249; code: Vanint/SADE-AgnosticLT) draws test sets whose
class sizes fall exponentially from the most frequent training class to the rarest (`forward`), rise
(`backward`) or are equal (`uniform`), with ratios of 2 to 50. Accuracy on such a draw has the
expectation sum_c prior_c · accuracy_c, which needs no draw.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import UserError

Array = NDArray[np.float64]
KNOB = "test_prior"
"""Name of a prior among the knobs of a record's data set."""
UNIFORM = "uniform"
_FORM = re.compile(r"(forward|backward)-?(\d+(?:\.\d+)?)")


def read_prior(text: str, where: str) -> str:
    """The name of a prior in its usual form, such as `forward50`, `uniform` or `backward2.5`.

    Raises:
        UserError: it is no prior, or the ratio is below 1.
    """
    typed = text.strip().lower()
    if typed == UNIFORM:
        return UNIFORM
    match = _FORM.fullmatch(typed)
    if match is None or not 1 <= float(match[2]) < math.inf:
        raise UserError(
            f"{where}: '{text}' is no test distribution; write forward50, uniform or backward50, "
            "with a ratio of 1 or more."
        )
    return f"{match[1]}{float(match[2]):g}"


def class_prior(name: str, counts: NDArray[np.int64]) -> Array:
    """(C,) probability of each class in a test distribution, with the sum 1.

    The prior of the class at place k of falling training frequency is proportional to
    r^(-k / (C - 1)) (forward), or r^(-(C - 1 - k) / (C - 1)) (backward), as SADE's test sets before
    counts are rounded. Classes of equal frequency share the mean of their priors, so that the order
    of the classes does not count.

    Args:
        name: as from `read_prior`.
        counts: (C,) training images of each class.
    """
    classes = len(counts)
    if name == UNIFORM:
        return np.full(classes, 1.0 / classes)
    backward = name.startswith("backward")
    ratio = float(name.removeprefix("backward" if backward else "forward"))
    place = np.empty(classes)
    place[np.argsort(-counts, kind="stable")] = np.arange(classes)
    fall = place / max(classes - 1, 1)
    weights = ratio ** -(1.0 - fall if backward else fall)
    _, level, same = np.unique(counts, return_inverse=True, return_counts=True)
    shared = (np.bincount(level, weights) / same)[level]
    return np.asarray(shared / shared.sum())


def prior_in(knobs: Mapping[str, Any], counts: tuple[int, ...]) -> Array | None:
    """(C,) prior that the knobs of a record's data set name; None for the test images as they are.

    Args:
        knobs: of the data set.
        counts: C training images of each class.
    """
    name = knobs.get(KNOB)
    return None if name is None else class_prior(name, np.array(counts, dtype=np.int64))
