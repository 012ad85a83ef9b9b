"""glyphs100_lt: counts as in CIFAR-100-LT, effects of the fields, disjoint draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.datasets import registry
from benchmarks.datasets.base import DataSet, Split
from benchmarks.datasets.families.glyphs import Glyphs
from benchmarks.errors import UserError
from benchmarks.glyphs import counts, ranks, world

NOWHERE = Path("nowhere")


def load(split_seed: int = 0, **knobs: Any) -> DataSet:
    """Load a data set that is small by default."""
    return Glyphs(**({"n_max": 20, "test_per_class": 3} | knobs)).load(NOWHERE, split_seed)


def images(split: Split) -> set[bytes]:
    return {image.tobytes() for image in split.images.array}


@pytest.fixture(scope="module")
def default() -> DataSet:
    return Glyphs(test_per_class=2).load(NOWHERE, 0)


def test_it_is_registered() -> None:
    assert registry.resolve("glyphs100_lt") == (Glyphs, {})
    assert registry.resolve("glyphs100_lt_ir50") == (Glyphs, {"imbalance": 50.0})
    assert Glyphs.task == "single"


def test_default_counts_are_those_of_cifar100_lt(default: DataSet) -> None:
    n = default.counts
    assert n.sum() == len(default.train) == 10_847
    assert (n.max(), n.min()) == (500, 5)
    assert [(n > 100).sum(), ((n >= 20) & (n <= 100)).sum(), (n < 20).sum()] == [35, 35, 30]
    by_rank = n[np.argsort(default.facts["rank"])]
    assert by_rank.tolist() == [int(500 * 0.01 ** (i / 99)) for i in range(100)]


def test_shapes_labels_and_texts(default: DataSet) -> None:
    assert default.num_classes == 100 == len(set(default.texts.class_names))
    assert default.test.images.array.shape == (200, 32, 32, 3)
    assert np.bincount(default.test.labels).tolist() == [2] * 100
    assert np.bincount(default.validation().labels).tolist() == [20] * 100
    assert len(set(default.train.ids)) == len(default.train)
    facts = default.facts
    for i, (name, text) in enumerate(
        zip(default.texts.class_names, default.texts.descriptions, strict=True)
    ):
        assert facts["shape"][i] in text and facts["colour"][i] in text and name not in text
    known = {world.names()[int(n)] for n in world.covered()}
    assert [name in known for name in default.texts.class_names] == facts["covered"].tolist()


def test_draws_are_disjoint() -> None:
    one, two = load(0), load(1)
    parts = [one.train, two.train, one.test, one.validation()]
    sets = [images(part) for part in parts]
    assert [len(s) for s in sets] == [len(p) for p in parts]
    assert len(set().union(*sets)) == sum(map(len, sets))
    assert len({sid for part in parts for sid in part.ids}) == sum(map(len, parts))
    assert images(two.test) == sets[2] and images(two.validation()) == sets[3]


def test_images_depend_on_the_seed_and_the_world() -> None:
    assert load().train.images.digest() == load().train.images.digest()
    assert load().split_hash == load().split_hash != load(1).split_hash
    other = load(world_seed=1)
    assert set(other.texts.class_names) != set(load().texts.class_names)
    assert not images(other.test) & images(load().test)


def test_a_smaller_tail_draws_the_same_images() -> None:
    few, many = load(classes=10, n_max=10), load(classes=10, n_max=20)
    assert images(few.train) < images(many.train)


def test_class_order_is_independent_of_rank(default: DataSet) -> None:
    rank = default.facts["rank"]
    assert sorted(rank) == list(range(100))
    assert abs(np.corrcoef(rank, np.arange(100))[0, 1]) < 0.3
    assert list(default.texts.class_names) == sorted(default.texts.class_names)
    assert load(imbalance=1).texts.class_names == default.texts.class_names


# ---- rank, coverage and difficulty ---------------------------------------------------------------


@pytest.mark.parametrize("world_seed", range(4))
def test_rank_coverage_and_difficulty_are_independent(world_seed: int) -> None:
    facts = load(world_seed=world_seed).facts
    third = facts["rank"] * 3 // 100
    covered = [facts["covered"][third == t].mean() for t in range(3)]
    difficulty = [facts["difficulty"][third == t].mean() for t in range(3)]
    assert np.ptp(covered) < 0.07 and np.ptp(difficulty) < 0.06
    assert abs(np.corrcoef(facts["covered"], facts["difficulty"])[0, 1]) < 0.02
    for column in ("shape", "colour", "texture"):
        values = np.unique(facts[column])
        counts = np.array(
            [[(facts[column][third == t] == v).sum() for t in range(3)] for v in values]
        )
        assert np.ptp(counts, axis=1).max() <= 4


@pytest.mark.parametrize("pull", [-0.7, 0.4, 0.8])
def test_fields_set_the_correlations(pull: float) -> None:
    by_coverage = load(rank_coverage=pull).facts
    assert np.corrcoef(by_coverage["rank"], by_coverage["covered"])[0, 1] == pytest.approx(
        pull, abs=0.12
    )
    by_difficulty = load(rank_difficulty=pull).facts
    assert np.corrcoef(by_difficulty["rank"], by_difficulty["difficulty"])[0, 1] == pytest.approx(
        pull, abs=0.12
    )
    assert abs(np.corrcoef(by_difficulty["rank"], by_difficulty["covered"])[0, 1]) < 0.15


def test_a_correlation_of_one_sorts_the_classes() -> None:
    facts = load(rank_coverage=1.0).facts
    assert facts["covered"][np.argsort(facts["rank"])].tolist() == [False] * 40 + [True] * 60
    facts = load(rank_difficulty=-1.0).facts
    assert (np.diff(facts["difficulty"][np.argsort(facts["rank"])]) <= 0).all()


@pytest.mark.parametrize("coverage", [0.0, 0.25, 1.0])
def test_coverage_is_the_share_of_covered_classes(coverage: float) -> None:
    facts = load(coverage=coverage).facts
    assert facts["covered"].mean() == coverage
    assert facts["difficulty"].mean() == pytest.approx(0.5)


# ---- counts --------------------------------------------------------------------------------------


def test_step_profile() -> None:
    n = counts.tail_counts(10, 50, 10.0, "step", 0.3, "free")
    assert n.tolist() == [50] * 3 + [5] * 7


@pytest.mark.parametrize("imbalance", [1.0, 3.7, 50.0, 100.0, 1000.0])
@pytest.mark.parametrize("profile", ["exp", "step"])
@pytest.mark.parametrize(("classes", "n_max"), [(100, 500), (7, 3), (100, 20)])
def test_a_fixed_total_is_exact(imbalance: float, profile: str, classes: int, n_max: int) -> None:
    reference = counts.tail_counts(classes, n_max, 100.0, "exp", 0.5, "free")
    n = counts.tail_counts(classes, n_max, imbalance, profile, 0.5, "fixed")
    assert n.sum() == reference.sum()
    assert n.min() >= 1 and (np.diff(n) <= 0).all()
    if imbalance == 1:
        assert np.ptp(n) <= 1
    if (imbalance, profile) == (100.0, "exp"):
        assert n.tolist() == reference.tolist()


def test_fixed_total_keeps_the_ratio() -> None:
    n = counts.tail_counts(100, 500, 10.0, "exp", 0.5, "fixed")
    assert n[0] / n[-1] == pytest.approx(10, rel=0.05)


def test_ratio_one_is_balanced() -> None:
    assert set(load(imbalance=1.0).counts) == {20}


# ---- small worlds and invalid fields -------------------------------------------------------------


def test_a_tiny_world() -> None:
    tiny = load(classes=4, n_max=20, imbalance=2.0, test_per_class=4)
    assert tiny.counts.sum() == 57 and tiny.counts.min() == 10
    assert sorted(tiny.facts["rank"]) == [0, 1, 2, 3]


def test_style_shift_changes_images_but_not_ids() -> None:
    plain, shifted = load(style_shift=0.0), load(style_shift=1.0)
    assert plain.test.ids == shifted.test.ids
    assert not images(plain.test) & images(shifted.test)


@pytest.mark.parametrize(
    ("knobs", "word"),
    [
        ({"imbalance": 0.5}, "imbalance"),
        ({"profile": "linear"}, "not one of exp, step, head_tail"),
        ({"total": "most"}, "not one of free, fixed"),
        ({"head_share": 2}, "head_share"),
        ({"head_share": 0.1}, "head_share=0.1 needs profile=step"),
        ({"world_seed": -1}, "field world_seed: -1 is less than 0"),
        ({"style_shift": -0.1}, "style_shift"),
        ({"style_shift": float("nan")}, "style_shift"),
        ({"coverage": 1.1}, "coverage"),
        ({"classes": 1}, "classes"),
        ({"classes": 101}, "classes"),
        ({"n_max": 0}, "n_max"),
        ({"test_per_class": 0}, "test_per_class"),
        ({"rank_coverage": 0.9, "rank_difficulty": 0.9}, "rank_coverage"),
    ],
)
def test_invalid_fields_are_reported_in_one_line(knobs: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=word) as error:
        Glyphs(**knobs).resolve(NOWHERE)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=word):
        Glyphs(**knobs).load(NOWHERE, 0)


@pytest.mark.parametrize(
    ("knobs", "asked"),
    [
        ({}, None),
        ({"n_max": 100}, None),  # 100 to 1
        ({"n_max": 150}, None),  # 150 to 1: rounded down, not raised
        ({"imbalance": 300, "total": "fixed"}, None),
        ({"n_max": 40}, 100),
        ({"n_max": 40, "profile": "step", "head_share": 0.1}, 100),
        ({"imbalance": 1000}, 1000),
        ({"imbalance": 1000, "total": "fixed"}, 1000),
    ],
)
def test_an_unreachable_ratio_is_noted(knobs: dict[str, Any], asked: int | None) -> None:
    data = Glyphs(**knobs)
    counts = data.load(NOWHERE, 0).counts
    there = f"the imbalance ratio is {counts.max()}, not {asked}: every class has at least one"
    assert [note.removesuffix(" training image") for note in data.notes()] == (
        [there] if asked else []
    )
    assert asked is None or counts.min() == 1


def test_card_and_download_need_no_files() -> None:
    assert "10,847" in Glyphs().card()["counts"]
    assert "no download" in Glyphs().download(NOWHERE)


def test_choose_takes_classes_from_both_pools_evenly() -> None:
    chosen = ranks.choose_classes(0, 10, 0.5)
    assert chosen.covered.sum() == 5
    assert sorted(chosen.difficulty[chosen.covered]) == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
