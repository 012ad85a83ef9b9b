"""Facts about the skew of training counts, against sums over all pairs of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import run_benchmarks
from benchmarks.datasets.skew import gini, head_share
from benchmarks.protocol import group_of


def test_the_gini_coefficient_is_the_mean_difference_of_two_classes() -> None:
    counts = np.random.default_rng(0).integers(1, 500, 30)
    differences = [abs(int(a) - int(b)) for a in counts for b in counts]
    assert gini(counts) == pytest.approx(np.mean(differences) / (2 * counts.mean()))


def test_ends_of_the_gini_coefficient() -> None:
    assert gini(np.full(7, 30)) == pytest.approx(0.0)
    assert gini(np.array([0, 0, 0, 10])) == pytest.approx(3 / 4)  # 1 - 1/C
    assert gini(np.array([0, 0])) == 0.0


def test_the_head_is_the_group_many() -> None:
    counts = np.array([300, 101, 100, 20, 19])
    assert head_share(counts, group_of(counts, "lift")) == pytest.approx(401 / 540)


def test_the_card_has_both(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run_benchmarks.main(["show", "cifar100_lt", "--data-root", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    # 10,847 images at ratio 100, 9,036 of them in the 35 classes with more than 100.
    counts = [int(500 * 0.01 ** (i / 99)) for i in range(100)]
    share = round(100 * sum(n for n in counts if n > 100) / sum(counts))
    pairs = sum(abs(a - b) for a in counts for b in counts)
    expected = pairs / (2 * 100 * sum(counts))
    assert f"Gini coefficient {expected:.2f}" in said
    assert f"the 35 many-shot classes of 100 have {share} % of the training images" in said
