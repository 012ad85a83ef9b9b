from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from benchmarks.cli.parts.tuning.expected import expected_best

SCORES = (41.0, 53.0, 53.0, 47.5, 12.0)


def test_it_is_the_mean_of_the_best_of_all_draws() -> None:
    found = expected_best(SCORES)
    for n in (1, 2, 4, 5):
        every = [max(draws) for draws in product(SCORES, repeat=n)]
        assert found[n] == pytest.approx(np.mean(every))


def test_sizes_double_up_to_the_trials_there_are() -> None:
    assert list(expected_best(range(13))) == [1, 2, 4, 8, 13]
    assert list(expected_best(range(8))) == [1, 2, 4, 8]
    assert expected_best([50.0]) == {1: 50.0}
    assert expected_best([]) == {}
