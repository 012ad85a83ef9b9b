from __future__ import annotations

from typing import Any

import pytest

from benchmarks.errors import UserError
from benchmarks.sweep.rows.comparability import MixedRecords
from reports.aggregate import build_tables
from tests.results.factory import failed_record, make_record

MUST_AGREE = {
    "data-set version": {"dataset_version": "2"},
    "long-tail draw": {"recipe": "cao2019/name-order"},
    "protocol": {"protocol": "paper"},
    "precision": {"precision": "bf16"},
    "transform": {"transform": "lift"},
    "image size": {"image_size": 336},
    "glyphs100_lt.imbalance": {"dataset_config": {"imbalance": 50}},
    "selection rule": {"selection_rule": "val"},
    "group rule": {"groups_rule": "oltr"},
    "class groups": {"groups_membership": ("many", "many", "many", "medium", "few", "few")},
    "weights": {"provenance_weights_id": "glyph-2"},
    "evaluation transform": {"provenance_preprocess_hash": "sha256:" + "q" * 64},
    "texts": {"provenance_text_hash": "u" * 64},
    "split": {"provenance_split_hash": "v" * 64},
}


@pytest.mark.parametrize("name", MUST_AGREE)
def test_what_must_agree_is_refused_and_named(name: str) -> None:
    records = [make_record("ncm"), make_record("lift", 1), make_record("sage", **MUST_AGREE[name])]
    with pytest.raises(MixedRecords) as caught:
        build_tables(records)
    message = str(caught.value)
    assert isinstance(caught.value, UserError)
    assert f"Different: {name} " in message
    assert "(sage)" in message
    assert "(lift, ncm)" in message
    assert "--allow-mixed" in message
    assert "glyphs100_lt / glyph" in message
    assert "\n" not in message


def test_values_are_shown() -> None:
    records = [make_record("ncm"), make_record("sage", precision="bf16")]
    with pytest.raises(MixedRecords, match=r"precision bf16 \(sage\), fp32 \(ncm\)"):
        build_tables(records)


def test_hashes_are_compared_behind_the_name_of_their_kind() -> None:
    kind = "sha256:"
    records = [
        make_record("ncm", provenance_text_hash=kind + "abcdef0" + "1" * 57),
        make_record("lift", provenance_text_hash=kind + "abcdef0" + "2" * 57),
    ]
    with pytest.raises(MixedRecords, match=r"texts abcdef011111 \(ncm\), abcdef022222 \(lift\)"):
        build_tables(records)


def test_a_knob_that_one_record_lacks_is_a_difference() -> None:
    records = [make_record("ncm"), make_record("sage", dataset_config={})]
    with pytest.raises(MixedRecords, match=r"glyphs100_lt\.imbalance 100 \(ncm\), unset \(sage\)"):
        build_tables(records)


@pytest.mark.parametrize(
    "changes",
    [
        {"cost_epochs": 99},
        {"cost_images_seen": 99},
        {"cost_tuning_trials": 99},
        {"cost_trainable_params": 99},
        {"config": {"prompt": "descriptions"}},
        {"provenance_git": "1" * 40},
        {"provenance_hardware": "a GPU"},
        {"provenance_fingerprint": "g" * 64},
        {"selection_source": "other words"},
        {"deterministic": True},
    ],
)
def test_what_may_differ_is_not_refused(changes: dict[str, Any]) -> None:
    (table,) = build_tables([make_record("ncm"), make_record("sage", **changes)])
    assert [row.label for row in table.rows] == ["ncm", "sage"]


def test_another_split_seed_is_another_split_but_one_seed_has_one_split() -> None:
    other = {"split_seed": 1, "provenance_split_hash": "w" * 64}
    assert len(build_tables([make_record("ncm"), make_record("ncm", **other)])) == 1
    records = [make_record("ncm", **other), make_record("lift", split_seed=1), make_record("lift")]
    with pytest.raises(MixedRecords, match=r"split \(split seed 1\)"):
        build_tables(records)


def test_other_data_sets_and_backbones_go_to_other_tables() -> None:
    records = [
        make_record(dataset="b", precision="bf16"),
        make_record(dataset="a", backbone="x"),
        make_record(dataset="a", backbone="glyph", precision="bf16"),
    ]
    names = [(t.dataset, t.backbone) for t in build_tables(records)]
    assert names == [("a", "glyph"), ("a", "x"), ("b", "glyph")]


def test_a_failed_cell_has_no_numbers_to_mix() -> None:
    (table,) = build_tables([make_record("ncm"), failed_record("sage", precision="bf16")])
    assert [row.label for row in table.rows] == ["ncm", "sage"]


@pytest.mark.parametrize("name", MUST_AGREE)
def test_mixed_on_request_is_marked_and_never_averaged(name: str) -> None:
    records = [
        make_record("lift", 0, overall=40.0),
        make_record("lift", 0, overall=60.0, **MUST_AGREE[name]),
    ]
    (table,) = build_tables(records, allow_mixed=True)
    assert sorted(row.values["overall"].mean for row in table.rows) == [40.0, 60.0]
    assert len({row.label for row in table.rows}) == 2
    assert all(name in row.label for row in table.rows)
    assert any(f"may not be comparable: {name} " in line for line in table.footnotes)
    assert table.warnings == ()


def test_without_a_difference_allow_mixed_changes_nothing() -> None:
    records = [make_record("lift", seed) for seed in range(2)]
    assert build_tables(records) == build_tables(records, allow_mixed=True)
