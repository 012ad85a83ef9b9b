"""Records of made-up studies over several data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from results.schema import Record
from tests.results.factory import make_record


def records(
    values: Mapping[str, Sequence[float]], seeds: int = 3, noise: float = 0.2, **changes: Any
) -> list[Record]:
    """Runs of each method on data sets `set0`, `set1`, …, around the given values."""
    rng = np.random.default_rng(0)
    return [
        make_record(
            method, seed, overall=float(value + noise * rng.normal()),
            **{"dataset": f"set{d}", "dataset_config": {}, **changes},
        )
        for method, own in values.items()
        for d, value in enumerate(own)
        for seed in range(seeds)
    ]  # fmt: skip


def steps(methods: int, sets: int) -> dict[str, list[float]]:
    """Methods `m0`, `m1`, … of which each is two points better than the one before, everywhere."""
    return {f"m{m}": [40 + 3.0 * d + 2 * m for d in range(sets)] for m in range(methods)}
