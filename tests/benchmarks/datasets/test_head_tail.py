"""Head-tail profile against the formula of LT-Soups' code in plain floats."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import run_benchmarks
from benchmarks.datasets import long_tail
from benchmarks.datasets.families.glyphs import Glyphs
from benchmarks.errors import UserError


def part(start: float, end: float, classes: int) -> list[int]:
    """Counts of one part, class by class."""
    found = []
    for i in range(classes):
        place = i / (classes - 1) if classes > 1 else 0.0
        found.append(int(end + (start - end) * math.exp(-5 * place)))
    return found


@pytest.mark.parametrize("imbalance", [50, 100, 200])
@pytest.mark.parametrize("percent", [5, 10, 29, 50, 80, 95])
def test_counts_are_exponential_within_each_part(imbalance: float, percent: int) -> None:
    heads = int(100 * (percent / 100))  # 28 for 29 %, as in the authors' code
    expected = part(500, 101, heads) + part(100, 500 / imbalance, 100 - heads)
    counts = long_tail.class_counts(500.0, 100, imbalance, "head_tail", percent / 100)
    assert counts.tolist() == expected
    assert (counts > 100).sum() == heads  # the head is the group many
    assert counts[0] == 500 and counts[heads - 1] == (103 if heads > 1 else 500)
    drawn = Glyphs(imbalance=imbalance, profile="head_tail", head_share=percent / 100)
    assert sorted(drawn._classes().counts.tolist(), reverse=True) == expected


def test_known_counts() -> None:
    """Counts that a run of the authors' code printed at ratio 100: shares 5 and 50 %."""
    counts = long_tail.class_counts(500.0, 100, 100, "head_tail", 0.05)
    assert counts[:8].tolist() == [500, 215, 133, 110, 103, 100, 95, 90]
    counts = long_tail.class_counts(500.0, 100, 100, "head_tail", 0.5)
    assert counts[:3].tolist() == [500, 461, 426]
    assert counts[49:53].tolist() == [103, 100, 90, 82]
    assert int(counts.sum()) == 10312


def test_no_class_is_empty_at_a_high_ratio() -> None:
    counts = Glyphs(imbalance=5000, profile="head_tail")._counts()
    assert counts.min() == 1


@pytest.mark.parametrize(
    ("n_max", "classes", "imbalance", "share", "said"),
    [
        (100, 10, 10, 0.5, "more than 100 images and has 100"),
        (500, 10, 4, 0.5, "at most 100 and has 125"),
        (500, 10, 100, 0.05, "0 of 10 classes would be in the head"),
        (500, 2, 100, 0.3, "0 of 2 classes"),
    ],
)
def test_parts_that_cannot_be_had(
    n_max: int, classes: int, imbalance: float, share: float, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        long_tail.class_counts(n_max, classes, imbalance, "head_tail", share)
    world = Glyphs(
        profile="head_tail", n_max=n_max, classes=classes, imbalance=imbalance, head_share=share
    )
    with pytest.raises(UserError, match=said):
        world._counts()


def test_a_fixed_total_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["plan", "--datasets", "glyphs100_lt", "--methods", "ncm", "--out", str(tmp_path)]
    words += ["--set", "glyphs100_lt.profile=head_tail", "--set", "glyphs100_lt.total=fixed"]
    assert run_benchmarks.main(words) == 2
    assert "needs total=free" in capsys.readouterr().err


def test_the_card_names_the_share(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run_benchmarks.main(["show", "cifar100_lt", "--data-root", str(tmp_path)]) == 0
    assert "exp, imbalance 100" in capsys.readouterr().out
    from benchmarks.datasets.families.cifar import Cifar100LT

    card = Cifar100LT(profile="head_tail", head_share=0.2).card()
    assert card["profile"] == "head_tail, imbalance 100, head share 0.2"
    assert "20 / " in card["groups"]
    assert np.asarray(Cifar100LT(profile="head_tail", head_share=0.2).counts()).max() == 500
