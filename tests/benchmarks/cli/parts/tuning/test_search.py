"""Trials of `tune`, and the images that score them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.metrics import average_precision_score, balanced_accuracy_score

import run_benchmarks
from benchmarks.cli.parts.tuning.on_validation import OnValidation
from benchmarks.cli.parts.tuning.trials import draw, tuned_fields
from benchmarks.conformance.reach import holds_test
from benchmarks.datasets.registry import resolve
from methods.space import LogUniform, OneOf, Uniform
from tests.benchmarks.cli.parts.tuning.searches import Tune

# ---- what is tried -------------------------------------------------------------------------------


def test_trial_0_is_the_default_and_the_others_are_draws_from_the_space(search: Tune) -> None:
    trials = search(trials=9, protocol="paper").trials
    assert [t["trial"] for t in trials] == list(range(9))
    first = trials[0]
    assert (first["lr"], first["width"], first["mode"], first["epochs"]) == (0.01, 3, "a", 7)
    for t in trials[1:]:
        assert 1e-4 <= t["lr"] <= 1
        assert isinstance(t["width"], int)
        assert 1 <= t["width"] <= 9
        assert t["mode"] in ("a", "b")
    assert len({t["lr"] for t in trials}) == 9
    assert len({(t["width"], t["mode"]) for t in trials}) > 4  # fields vary independently


def test_draws_follow_the_ranges(search: Tune) -> None:
    ranges = {"lr": LogUniform(1e-4, 1.0), "limit": Uniform(-2, 3), "mode": OneOf(("a", "b"))}
    found = draw(ranges, "mine", {"lr": 0.5, "limit": 1.0, "mode": "a"}, 2000)[1:]
    logs = [(np.log10(v["lr"]) + 4) / 4 for v in found]
    shares = [(v["limit"] + 2) / 5 for v in found]
    assert kstest(logs, "uniform").statistic < 0.05
    assert kstest(shares, "uniform").statistic < 0.05
    assert abs(np.corrcoef(logs, shares)[0, 1]) < 0.1
    assert 900 < sum(v["mode"] == "a" for v in found) < 1100


def test_draws_depend_on_trial_and_field_alone(search: Tune) -> None:
    lr, mode = {"lr": LogUniform(1e-4, 1.0)}, {"mode": OneOf(("a", "b"))}
    config = {"lr": 0.5, "mode": "a"}
    both = draw(lr | mode, "mine", config, 8)
    alone = draw(lr, "mine", config, 20)
    assert [v["lr"] for v in both] == [v["lr"] for v in alone[:8]]
    assert draw(lr, "linear_probe", {"lr": 0.5}, 20) == alone  # methods share the draws


def test_fixed_fields_are_not_tuned(search: Tune) -> None:
    ended = search("mine", "mine.width=5")
    assert ended.recipe["protocol"] == "paper"
    assert ended.recipe["tuning"]["fixed"] == {"width": 5}
    assert set(ended.recipe["fields"]) == {"lr", "mode", "epochs"}
    records, _ = ended.store.all()
    assert {r.config["width"] for r in records} == {5}


def test_protocol_equal_fixes_the_budget(search: Tune) -> None:
    ended = search(protocol="equal")
    assert ended.recipe["protocol"] == "equal"
    assert set(ended.recipe["fields"]) == {"lr", "mode", "width"}
    assert {r.config["epochs"] for r in ended.store.all()[0]} == {5}


def test_tuning_can_be_limited_to_some_fields(search: Tune) -> None:
    assert set(search(fields=("mode",)).recipe["fields"]) == {"mode"}
    assert set(tuned_fields("mine", (), {"lr": "x"})) == {"width", "mode", "epochs"}


# ---- what is looked at ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["glyphs100_lt", "glyphscenes_lt"])
def test_the_test_split_is_out_of_reach(search: Tune, name: str) -> None:
    family, _ = resolve(name)
    inner = family(n_max=12, test_per_class=2) if name == "glyphs100_lt" else family(n_max=12)
    data = inner.load(Path(), 0)
    seen = OnValidation(inner).load(Path(), 0)
    assert holds_test(data, data)
    assert not holds_test(data, seen)
    assert data.validation is not None
    assert seen.test.ids == data.validation().ids
    assert seen.train.ids == data.train.ids
    assert seen.validation is None


def test_no_test_image_is_read(search: Tune, tmp_path: Path) -> None:
    ended = search(datasets="trap_lt")
    assert ended.status == 0
    assert "failed" not in ended.shown
    flags = ["--methods", "mine", "--datasets", "trap_lt", "--device", "cpu", "--out", "r"]
    assert run_benchmarks.main(flags) == 1  # reading them fails


def test_without_validation_images_some_training_images_are_held_out(search: Tune) -> None:
    ended = search("mine", "plain_lt.largest=40", datasets="plain_lt")
    assert ended.status == 0
    for record in ended.store.all()[0]:
        assert record.groups is not None
        left = sorted(record.groups.train_counts)
        assert left == [4, 8, 17 - 2, 35 - 4]  # a tenth of classes with 10 or more
        arrays = ended.store.predictions(record.key)
        assert sorted(np.unique(arrays["labels"], return_counts=True)[1]) == [2, 4]
        assert all("/train/" in sid for sid in arrays["ids"])


@pytest.mark.parametrize("data", ["glyphs100_lt", "trap_lt"])
def test_a_score_is_the_balanced_accuracy_on_validation_images(search: Tune, data: str) -> None:
    ended = search(datasets=data)
    records, _ = ended.store.all()
    assert len(records) == 6
    by_lr = {t["lr"]: t["score"] for t in ended.trials}
    for record in records:
        arrays = ended.store.predictions(record.key)
        assert all("/validation/" in sid for sid in arrays["ids"])
        expected = 100 * balanced_accuracy_score(arrays["labels"], arrays["top5"][:, 0])
        assert by_lr[record.config["lr"]] == pytest.approx(expected, abs=1e-3)
        assert record.selection is not None
        assert record.selection.rule == "last"
        assert "validation images" in record.dataset


def test_the_score_on_multi_label_data_is_map(search: Tune) -> None:
    ended = search("mine", "glyphscenes_lt.n_max=12", datasets="glyphscenes_lt", trials=3)
    assert ended.recipe["tuning"]["objective"].startswith("mAP")
    for record in ended.store.all()[0]:
        arrays = ended.store.predictions(record.key)
        there = arrays["labels"].any(0)
        expected = 100 * average_precision_score(
            arrays["labels"][:, there], arrays["scores"][:, there], average="macro"
        )
        scores = [t["score"] for t in ended.trials if t["lr"] == record.config["lr"]]
        assert scores == [pytest.approx(expected, abs=1e-2)]


def test_seeds_are_averaged(search: Tune) -> None:
    ended = search("linear_probe", "linear_probe.epochs=1", seeds="0,1", trials=2)
    records, _ = ended.store.all()
    assert len(records) == 4
    for trial in ended.trials:
        values = [
            r.metrics.balanced
            for r in records
            if r.metrics is not None and r.config["lr"] == trial["lr"]
        ]
        assert trial["score"] == pytest.approx(np.mean(values), abs=1e-3)
