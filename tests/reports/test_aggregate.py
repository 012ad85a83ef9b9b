from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.aggregate import build_tables, summarise
from reports.table import Summary, Table
from results.schema import Record, Tuning
from tests.results.factory import failed_record, fake_study, make_record


def one_table(records: Sequence[Record], **options: Any) -> Table:
    (table,) = build_tables(records, **options)
    return table


def notes_about(table: Table, start: str) -> list[str]:
    return [line for line in table.footnotes if line.startswith(start)]


# ---- values ------------------------------------------------------------------------------------


def test_mean_and_sample_deviation_over_seeds() -> None:
    table = one_table([make_record(seed=s, overall=v) for s, v in enumerate((50.0, 52.0, 57.0))])
    # Mean 53; squared deviations 9 + 1 + 16 = 26, over n - 1 = 2.
    summary = table.rows[0].values["overall"]
    assert summary.mean == pytest.approx(53.0)
    assert summary.std == pytest.approx(math.sqrt(13.0))
    assert summary.n == 3


def test_groups_and_costs_are_averaged_too() -> None:
    counts, first, second = (300, 200, 50, 5), (80.0, 60.0, 40.0, 20.0), (90.0, 70.0, 50.0, 0.0)
    table = one_table(
        [
            make_record(seed=0, per_class=first, counts=counts, cost_fit_s=10.0),
            make_record(seed=1, per_class=second, counts=counts, cost_fit_s=14.0),
        ]
    )
    means = {name: summary.mean for name, summary in table.rows[0].values.items()}
    assert (means["many"], means["medium"], means["few"]) == (75.0, 45.0, 10.0)
    assert means["balanced"] == 51.25
    assert means["worst_class"] == 10.0
    assert means["fit_s"] == 12.0
    assert table.rows[0].values["few"].std == pytest.approx(math.sqrt(200.0))
    assert table.sizes == {"many": "2", "medium": "1", "few": "1"}


def test_an_empty_group_has_no_value() -> None:
    table = one_table([make_record(seed=s, counts=(300, 200, 50)) for s in range(2)])
    assert table.rows[0].values["few"] == Summary(None, None, 0)
    assert table.sizes["few"] == "0"


def test_summarise_ignores_what_does_not_exist() -> None:
    assert summarise([]) == Summary(None, None, 0)
    assert summarise([None, 4.0]) == Summary(4.0, None, 1)
    assert summarise([None, 4.0, 6.0]) == Summary(5.0, math.sqrt(2.0), 2)


# ---- what varies -------------------------------------------------------------------------------


def test_a_deterministic_method_has_no_deviation_and_the_caption_says_why() -> None:
    records = [make_record("zero_shot", deterministic=True)]
    records += [make_record("lift", seed) for seed in range(3)]
    table = one_table(records)
    rows = {row.label: row for row in table.rows}
    assert rows["zero_shot"].values["overall"].std is None
    assert rows["zero_shot"].spread is None
    assert rows["lift"].spread == "3 run seeds"
    assert "standard deviation (ddof=1) over 3 run seeds;" in table.caption
    assert "no ± where nothing is random (zero_shot)" in table.caption


def test_the_caption_names_methods_with_a_single_run() -> None:
    table = one_table([make_record("lift")])
    assert table.rows[0].values["overall"].std is None
    assert table.caption.endswith("No ± for a single run (lift).")


@pytest.mark.parametrize(
    ("seeds", "deterministic", "spread"),
    [
        ([(0, 0), (1, 0)], False, "2 run seeds"),
        ([(0, 0), (0, 1), (0, 2)], False, "3 split seeds"),
        ([(0, 0), (0, 1), (1, 0), (1, 1)], False, "2 run seeds × 2 split seeds"),
        ([(0, 0), (1, 1), (2, 2)], False, "3 pairs of a run seed and a split seed"),
        ([(0, 0), (0, 1)], True, "2 split seeds"),
        # A deterministic method may carry any run seed: only the split varies.
        ([(0, 0), (7, 1)], True, "2 split seeds"),
    ],
)
def test_what_varies_is_told_apart(
    seeds: list[tuple[int, int]], deterministic: bool, spread: str
) -> None:
    table = one_table(
        [make_record(seed=s, split_seed=p, deterministic=deterministic) for s, p in seeds]
    )
    assert table.rows[0].spread == spread
    assert f"over {spread}" in table.caption
    assert table.rows[0].values["overall"].n == len(seeds)


def test_one_run_of_a_deterministic_method_serves_all_seeds() -> None:
    records = [make_record(seed=s, overall=50.0 + s, deterministic=True) for s in range(3)]
    table = one_table(records)
    assert table.rows[0].values["overall"].n == 1
    assert len(table.warnings) == 1


def test_rows_with_other_numbers_of_runs_are_named() -> None:
    records = [make_record(m, s) for m in ("ncm", "lift") for s in range(3)]
    records += [make_record("sage", s) for s in range(2)]
    assert "over 3 run seeds (sage: 2 run seeds)" in one_table(records).caption


# ---- what did not work -------------------------------------------------------------------------


def test_failed_seeds_are_counted_and_their_reasons_given() -> None:
    records = [make_record(seed=0, overall=40.0)]
    records += [failed_record("lift", s, "CUDA error:\n  out of memory") for s in (1, 2)]
    table = one_table(records)
    (row,) = table.rows
    assert (row.values["overall"].mean, row.cells, len(row.failed)) == (40.0, 3, 2)
    assert notes_about(table, "lift ‡") == [
        "lift ‡: 2 of 3 runs failed (seeds 1, 2): CUDA error: out of memory"
    ]


def test_a_row_of_failures_stays_in_the_table_behind_the_others() -> None:
    records = [failed_record("aaa", error="a"), make_record("zzz")]
    table = one_table(records)
    assert [row.label for row in table.rows] == ["zzz", "aaa"]
    assert table.rows[1].values["overall"] == Summary(None, None, 0)
    assert notes_about(table, "aaa ‡") == ["aaa ‡: 1 of 1 runs failed (seed 0): a"]


def test_a_table_of_failures_alone_can_be_built() -> None:
    table = one_table([failed_record("lift", error="a", provenance=None)])
    assert table.sizes == {"many": "", "medium": "", "few": ""}


def test_with_several_splits_a_failure_names_both_seeds() -> None:
    records = [make_record(seed=3, split_seed=0), failed_record("lift", 3, split_seed=1)]
    assert notes_about(one_table(records), "lift ‡") == [
        "lift ‡: 1 of 2 runs failed (run/split seed 3/1): boom"
    ]


def test_a_cell_that_does_not_apply_is_not_a_failure() -> None:
    reason = "serves multi-label data only"
    table = one_table(
        [make_record("ncm"), failed_record("lmpt", error=reason, status="not_applicable")]
    )
    assert notes_about(table, "lmpt ‡") == [f"lmpt ‡: not applicable: {reason}"]


def test_a_long_error_is_cut() -> None:
    table = one_table([failed_record("lift", error="x" * 5000)])
    assert len(notes_about(table, "lift ‡")[0]) < 250


# ---- duplicates and stale records --------------------------------------------------------------


def at(time_of_day: str, key: str, **changes: Any) -> Record:
    return make_record(key=key, provenance_finished=f"2026-01-01T{time_of_day}", **changes)


@pytest.mark.parametrize(
    ("early", "late"),
    [
        ("10:00:00+00:00", "11:00:00+00:00"),
        ("10:00:00+00:00", "09:00:00-05:00"),  # later, though the text sorts before
        ("10:00:00", "10:00:01Z"),
        ("unknown", "00:00:00+00:00"),
    ],
)
def test_the_last_to_finish_counts_and_the_others_are_named(early: str, late: str) -> None:
    table = one_table([at(late, "aa", overall=2.0), at(early, "zz", overall=1.0)])
    assert table.rows[0].values["overall"] == Summary(2.0, None, 1)
    assert len(table.warnings) == 1
    assert "lift: 1 other record" in table.warnings[0]
    assert "zz" in table.warnings[0]


def test_a_finished_run_is_used_rather_than_a_later_failure() -> None:
    done = at("10:00:00+00:00", "a")
    failed = at("11:00:00+00:00", "b", status="failed", error="no", metrics=None)
    table = one_table([done, failed])
    assert table.rows[0].values["overall"].n == 1
    assert table.rows[0].failed == ()
    assert len(table.warnings) == 1


def test_the_same_record_from_two_folders_is_not_a_duplicate() -> None:
    record = make_record()
    table = one_table([record, record])
    assert table.rows[0].values["overall"].n == 1
    assert table.warnings == ()


def test_stale_rows_are_marked_and_explained() -> None:
    records = [make_record("ncm", key="a"), make_record("lift", key="b")]
    table = one_table(records, stale={"b"})
    assert {row.label: row.stale for row in table.rows} == {"ncm": False, "lift": True}
    assert notes_about(table, "†") == ["† made with another version of the method's source."]
    assert notes_about(one_table(records), "†") == []


def test_rows_with_a_stale_recipe_are_noted() -> None:
    tuned = Tuning("tuned-on-glyphs100_lt, 8 trials", 8, ("lr",))
    stale = dataclasses.replace(tuned, stale=True)
    records = [
        make_record("ncm"),
        make_record("lift", tuning=stale),
        make_record("sage", tuning=tuned),
    ]
    line = "tuned with another version of the method's source."
    found = [text for text in one_table(records).footnotes if line in text]
    assert found == [f"lift: {line}"]
    every = [make_record("lift", tuning=stale), make_record("sage", tuning=stale)]
    assert notes_about(one_table(every), f"All rows: {line}") != []
    assert not [text for text in one_table(records[::2]).footnotes if line in text]


def test_runs_of_a_row_made_with_several_sources_are_noted() -> None:
    records = [make_record(seed=0), make_record(seed=1, provenance_fingerprint="g" * 64)]
    assert notes_about(one_table(records), "lift: its runs were made with 2 versions")


# ---- variants ----------------------------------------------------------------------------------


def labels(*configs: dict[str, Any], method: str = "m") -> tuple[list[str], Table]:
    table = one_table([make_record(method, config=config) for config in configs])
    return sorted(row.label for row in table.rows), table


def test_equal_configurations_need_no_brackets() -> None:
    found, table = labels({"lr": 0.1, "loss": "ce"})
    assert found == ["m"]
    assert not notes_about(table, "m:")


def test_where_most_agree_only_deviations_are_named_and_a_note_gives_the_rest() -> None:
    found, table = labels(
        {"lr": 0.1, "loss": "ce"}, {"lr": 0.1, "loss": "focal"}, {"lr": 1.0, "loss": "ce"}
    )
    assert found == ["m", "m (loss=focal)", "m (lr=1.0)"]
    assert notes_about(table, "m:") == ["m: loss=ce, lr=0.1 unless the row says otherwise."]


def test_where_none_has_a_majority_every_row_says_what_it_is() -> None:
    assert labels({"loss": "ce"}, {"loss": "focal"})[0] == ["m (loss=ce)", "m (loss=focal)"]


def test_a_field_only_some_have_is_a_difference() -> None:
    assert labels({"a": 1}, {"a": 1, "b": 2})[0] == ["m (b=2)", "m (b=unset)"]


def test_the_number_of_seeds_does_not_change_labels() -> None:
    records = [make_record(seed=s, config={"loss": "ce"}) for s in range(5)]
    records += [make_record(config={"loss": "focal"})]
    found = sorted(row.label for row in one_table(records).rows)
    assert found == ["lift (loss=ce)", "lift (loss=focal)"]


def test_tuples_and_lists_are_the_same_configuration() -> None:
    records = [make_record(seed=0, config={"b": (1, 2)}), make_record(seed=1, config={"b": [1, 2]})]
    assert [row.label for row in one_table(records).rows] == ["lift"]


def test_methods_do_not_share_variants() -> None:
    records = [make_record("a", config={"lr": 1}), make_record("b", config={"lr": 2})]
    assert sorted(row.label for row in one_table(records).rows) == ["a", "b"]


# ---- footnotes and order -----------------------------------------------------------------------


def test_unequal_budgets_are_listed() -> None:
    records = [
        make_record("zero_shot", cost_epochs=0, cost_images_seen=0, cost_trainable_params=0),
        make_record("ncm"),
        make_record("lift"),
    ]
    table = one_table(records)
    assert notes_about(table, "Unequal") == [
        "Unequal epochs: 0 (zero_shot); 10 (lift, ncm).",
        "Unequal training images seen: 0 (zero_shot); 1,000 (lift, ncm).",
    ]
    assert notes_about(table, "Trainable parameters differ")
    assert not notes_about(one_table(records[1:]), "Unequal")
    assert not notes_about(one_table(records[1:]), "Trainable")


def test_rows_are_told_apart_by_all_texts_that_they_use() -> None:
    # As on the front page: lift starts from names; sage starts from both and has descriptions
    # as guides, so it sees what lift (text=both) sees.
    records = [
        make_record("lift", config={"text": "names", "lr": 1}),
        make_record("lift", config={"text": "both", "lr": 1}),
        make_record("sage", config={"text": "descriptions", "head_text": "both"}),
        make_record("described", config={"text": "descriptions", "context": "names"}),
        make_record("halves", config={"first_text": "names", "second_text": "descriptions"}),
        make_record("ncm", config={"lr": 1}),
        failed_record("zero_shot", config={"text": "names"}),
    ]
    table = one_table(records)
    assert notes_about(table, "Class texts used") == [
        "Class texts used: descriptions (described); names (lift (text=names)); names and "
        "descriptions (halves, lift (text=both), sage)."
    ]
    assert "Rows use different class texts" in table.caption
    same = one_table(records[1:3] + records[5:])
    assert not notes_about(same, "Class texts")
    assert "class texts" not in same.caption


def test_times_of_fits_made_together_are_noted() -> None:
    records = [make_record("a", s, cost_fitted_together=n) for s, n in enumerate((3, 16))] + [
        make_record("b", cost_fitted_together=3),
        make_record("c"),
    ]
    table = one_table(records)
    assert notes_about(table, "Fit times") == [
        "Fit times are shares of the time of fits made together: up to 3 (b); up to 16 (a)."
    ]
    assert table.rows[0].values["fitted_together"].mean == 9.5
    assert not notes_about(one_table(records[-1:]), "Fit times")


def test_validation_sources_that_differ_are_listed() -> None:
    val = {"selection_rule": "val"}
    records = [
        make_record("a", selection_source="official list", **val),
        make_record("b", selection_source="carved", **val),
    ]
    assert notes_about(one_table(records), "Epoch selected on different images") == [
        "Epoch selected on different images: carved (b); official list (a)."
    ]
    last = [make_record("a", selection_source="last"), make_record("b", selection_source="none")]
    assert not notes_about(one_table(last), "Epoch selected")


def test_notes_of_records_say_whom_they_concern() -> None:
    records = [make_record("a", s, notes=("our reconstruction",)) for s in range(2)]
    records += [make_record("b", notes=("our reconstruction",)), make_record("c")]
    assert "a, b: our reconstruction" in one_table(records).footnotes
    records[-1] = make_record("c", notes=("our reconstruction",))
    assert "All rows: our reconstruction" in one_table(records).footnotes


def test_rows_are_sorted_from_the_lowest_to_the_highest() -> None:
    records = [make_record(m, overall=v) for m, v in (("a", 70.0), ("b", 30.0), ("c", 50.0))]
    assert [row.label for row in one_table(records).rows] == ["b", "c", "a"]


def test_multi_label_captions_speak_of_precision() -> None:
    table = one_table([make_record(task="multi", metrics_balanced=None)])
    assert table.task == "multi"
    assert table.caption.startswith("Average precision (%)")
    assert "mAP" in table.caption


STUDY = [
    *fake_study(4, 12, 3),
    failed_record("sage", 1),
    failed_record("lift", 0, status="not_applicable"),
    make_record(
        "ncm", 0, counts=(500,) * 12, config={"lr": 0.5}, groups=fake_study(1, 12)[0].groups
    ),
    at("12:00:00+00:00", "new", method="ncm", seed=1, groups=fake_study(1, 12)[0].groups),
    make_record(backbone="other"),
]


@settings(max_examples=25, deadline=None)
@given(st.permutations(STUDY))
def test_the_order_of_records_does_not_matter(records: Sequence[Record]) -> None:
    assert build_tables(records) == build_tables(STUDY)


MIXED = [
    make_record("a", dataset_config={"shift": 1}),
    make_record("b", dataset_config={"imbalance": 50}, precision="bf16"),
    make_record("a", dataset_config={"imbalance": 50}, task="multi"),
    make_record("c", dataset_config={"coverage": 0.5}, provenance_text_hash="u"),
]


@given(st.permutations(MIXED))
def test_the_order_of_mixed_records_does_not_matter(records: Sequence[Record]) -> None:
    assert build_tables(records, allow_mixed=True) == build_tables(MIXED, allow_mixed=True)


def test_thousands_of_records_are_fast() -> None:
    records = fake_study(9, 100, 230)
    assert len(records) > 1800
    start = time.perf_counter()
    build_tables(records)
    assert time.perf_counter() - start < 3.0
