"""The best score that a search of a given size would find, expected from its trials."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def expected_best(scores: Sequence[float]) -> dict[int, float]:
    """The expected highest score of n random trials, for n = 1, 2, 4, … up to the trials there are.

    It is the mean of the maximum of n draws, with replacement, from the scores: with B of them in
    ascending order, the sum over i of v_i ((i/B)^n - ((i-1)/B)^n) (Dodge et al. 2019, "Show Your
    Work", EMNLP, section 3.1). It is too low for n near B, but has a smaller error than the
    unbiased estimate without replacement (Dodge et al. 2021, Findings of EMNLP).

    Args:
        scores: of the random trials that finished, in percent. The default configuration is not
            one of them.

    Returns:
        n -> expected score in percent; empty without scores.
    """
    values = np.sort(np.asarray(scores, dtype=np.float64))
    number = len(values)
    below = np.arange(number + 1) / max(number, 1)
    powers = [2**k for k in range(number.bit_length())]
    sizes = sorted({n for n in [*powers, number] if 1 <= n <= number})
    return {n: float((values * np.diff(below**n)).sum()) for n in sizes}
