"""Labels of rows whose hyper-parameters a recipe set."""

from __future__ import annotations

from typing import Any

from reports.aggregate import build_tables
from results.schema import Record, Tuning
from tests.results.factory import failed_record, make_record

TUNED = Tuning("tuned-on-glyphs100_lt, 16 trials", 16, ("lr", "tau"))


def _record(tuning: Tuning | None = None, seed: int = 0, **config: Any) -> Record:
    trials = 0 if tuning is None else tuning.trials
    return make_record(
        "lift", seed, config={"lr": 0.01, "tau": 1.0, "width": 4} | config, tuning=tuning,
        cost_tuning_trials=trials,
    )  # fmt: skip


def _labels(*records: Record) -> set[str]:
    (table,) = build_tables(records)
    return {row.label for row in table.rows}


def test_a_tuned_row_stands_beside_the_untuned() -> None:
    rows = _labels(_record(), _record(TUNED, lr=0.02, tau=1.3))
    assert rows == {"lift", "lift (tuned, 16 trials)"}


def test_one_trial_is_one_trial() -> None:
    one = Tuning("tuned-on-glyphs100_lt, 1 trial", 1, ("lr",))
    assert _labels(_record(), _record(one, lr=0.02)) == {"lift", "lift (tuned, 1 trial)"}


def test_so_it_does_where_the_default_was_best() -> None:
    assert _labels(_record(), _record(TUNED)) == {"lift", "lift (tuned, 16 trials)"}


def test_a_recipe_that_nobody_tuned_is_named_by_its_origin() -> None:
    paper = Tuning("paper, table 5", 0, ("lr",))
    assert _labels(_record(), _record(paper, lr=0.02)) == {"lift", "lift (recipe: paper, table 5)"}


def test_what_the_recipe_did_not_set_is_named_as_ever() -> None:
    rows = _labels(
        _record(), _record(width=8), _record(TUNED, lr=0.02), _record(TUNED, lr=0.02, width=8)
    )
    assert rows == {
        "lift (width=4)",
        "lift (width=8)",
        "lift (width=4, tuned, 16 trials)",
        "lift (width=8, tuned, 16 trials)",
    }


def test_where_all_rows_are_tuned_nothing_is_named() -> None:
    assert _labels(_record(TUNED, lr=0.02), _record(TUNED, 1, lr=0.02)) == {"lift"}


def test_two_recipes_of_as_many_trials_are_told_apart_by_what_they_set() -> None:
    rows = _labels(_record(TUNED, lr=0.02), _record(TUNED, lr=0.03))
    assert rows == {"lift (lr=0.02)", "lift (lr=0.03)"}


def test_a_failed_run_belongs_to_its_row() -> None:
    failed = failed_record("lift", 1, config={"lr": 0.02, "tau": 1.0, "width": 4}, tuning=TUNED)
    (table,) = build_tables([_record(), _record(TUNED, lr=0.02), failed])
    (row,) = (row for row in table.rows if "tuned" in row.label)
    assert (len(row.done), len(row.failed)) == (1, 1)


def test_a_table_says_what_tuning_cost() -> None:
    (table,) = build_tables([_record(), _record(TUNED, lr=0.02)])
    assert "Unequal tuning trials: 0 (lift); 16 (lift (tuned, 16 trials))." in table.footnotes
