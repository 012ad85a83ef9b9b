"""Rows of several tables that are one variant, and data sets that are independent."""

from __future__ import annotations

import numpy as np
import pytest

from reports.across.matrix import Matrix, matrices
from reports.aggregate import build_tables
from results.schema import Record, Tuning
from tests.reports.across.worlds import records
from tests.results.factory import failed_record, make_record


def one(found: list[Record], metric: str = "overall") -> Matrix:
    (matrix,) = matrices(build_tables(found), metric)
    return matrix


def cells(matrix: Matrix) -> dict[str, list[str]]:
    """The mean of each line on each data set, or the reason why there is none."""
    return {line.label: [c.missing or f"{c.mean:.1f}" for c in line.cells] for line in matrix.lines}


def test_a_matrix_has_the_mean_over_seeds_of_each_variant_on_each_data_set() -> None:
    runs = [make_record("lift", s, overall=50.0 + s, dataset=d) for s in (0, 2) for d in "ab"]
    matrix = one([*runs, make_record("ncm", overall=40.0, dataset="b")])
    assert [data_set.name for data_set in matrix.data_sets] == ["a", "b"]
    assert cells(matrix) == {"lift": ["51.0", "51.0"], "ncm": ["not run", "40.0"]}
    assert matrix.lines[0].cells[0].runs == (50.0, 52.0)
    assert [line.complete for line in matrix.lines] == [True, False]


def test_a_missing_value_has_its_reason() -> None:
    found = [make_record("ncm", dataset=d) for d in ("a", "b")]
    found += [make_record(m, dataset="a") for m in ("lift", "lmpt")]
    found += [failed_record("lift", dataset="b")]
    found += [failed_record("lmpt", dataset="b", status="not_applicable", error="single only")]
    assert cells(one(found)) == {
        "lift": ["50.0", "failed"], "lmpt": ["50.0", "not applicable"], "ncm": ["50.0"] * 2,
    }  # fmt: skip


def test_backbones_and_tasks_are_apart_and_one_data_set_is_no_matrix() -> None:
    found = [make_record("ncm", dataset=d, backbone=b) for d in "ab" for b in ("x", "y")]
    found += [make_record("ncm", dataset=d, backbone="x", task="multi") for d in "cd"]
    found += [make_record("ncm", dataset="a", backbone="z")]
    made = matrices(build_tables(found), "overall")
    assert [(m.backbone, m.task) for m in made] == [
        ("x", "multi"),
        ("x", "single"),
        ("y", "single"),
    ]
    assert [(m.backbone, m.task) for m in matrices(build_tables(found), "ece")] == [
        ("x", "multi"), ("x", "single"), ("y", "single"),
    ]  # fmt: skip


def test_a_data_set_without_the_metric_is_no_column() -> None:
    heads = make_record("ncm", dataset="c", counts=(300, 200), per_class=[50.0, 50.0])
    found = [make_record("ncm", dataset=d) for d in "ab"]
    assert [d.name for d in one([*found, heads], "few").data_sets] == ["a", "b"]


def tuned(dataset: str, lr: float, trials: int = 16) -> Record:
    recipe = Tuning(f"tuned-on-{dataset}, {trials} trials", trials, ("lr",))
    return make_record("lift", dataset=dataset, config={"lr": lr, "text": "both"}, tuning=recipe)


def test_fields_that_a_recipe_tuned_do_not_part_a_variant() -> None:
    assert cells(one([tuned("a", 0.1), tuned("b", 0.3, trials=8)])) == {"lift": ["50.0", "50.0"]}


def test_other_fields_and_protocols_part_variants() -> None:
    plain = [make_record("lift", dataset=d, config={"lr": 0.1, "text": "both"}) for d in "ab"]
    names = [make_record("lift", dataset=d, config={"lr": 0.1, "text": "names"}) for d in "ab"]
    assert list(cells(one([*plain, *names]))) == ["lift (text=both)", "lift (text=names)"]
    assert len(one([*plain, tuned("a", 0.1), tuned("b", 0.1)]).lines) == 2
    paper = make_record("lift", dataset="b", config={"lr": 0.1, "text": "both"}, protocol="paper")
    assert cells(one([plain[0], paper])) == {
        "lift [equal]": ["50.0", "not run"], "lift [paper]": ["not run", "50.0"],
    }  # fmt: skip


def test_two_recipes_in_one_table_are_two_variants() -> None:
    found = [tuned(d, lr, trials) for d in "ab" for lr, trials in ((0.1, 16), (0.3, 8))]
    matrix = one(found)
    assert [line.label for line in matrix.lines] == [
        "lift (tuned, 16 trials)", "lift (tuned, 8 trials)",
    ]  # fmt: skip
    assert all(line.complete for line in matrix.lines)


def test_data_sets_with_the_same_images_count_as_one() -> None:
    worlds = [
        ("cifar100_lt", {"imbalance": 100}, 10.0),
        ("cifar100_lt_ir10", {"imbalance": 10}, 30.0),
        ("glyphs100_lt (world_seed=1)", {"world_seed": 1}, 40.0),
        ("glyphs100_lt (world_seed=2)", {"world_seed": 2}, 50.0),
        ("glyphs100_lt (world_seed=2, n_max=9)", {"world_seed": 2, "n_max": 9}, 70.0),
    ]
    matrix = one([
        make_record("ncm", dataset=name, dataset_config=knobs, overall=value)
        for name, knobs, value in worlds
    ])  # fmt: skip
    assert len(matrix.data_sets) == 5
    assert matrix.blocks == [
        "cifar100_lt", "glyphs100_lt, world_seed 1", "glyphs100_lt, world_seed 2",
    ]  # fmt: skip
    assert matrix.block_values(matrix.lines).tolist() == [[20.0, 40.0, 60.0]]
    np.testing.assert_allclose(matrix.weights(), [1 / 6, 1 / 6, 1 / 3, 1 / 6, 1 / 6])


def test_a_stale_row_has_its_sign() -> None:
    found = records({"lift": [50, 51]}, seeds=1)
    (matrix,) = matrices(build_tables(found, stale={found[0].key}), "overall")
    assert [(line.label, line.flags) for line in matrix.lines] == [("lift", "†")]


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_records_does_not_matter(order: int) -> None:
    found = records({"lift": [50, 60], "ncm": [40, 70]}, seeds=2)
    assert one(found[::order]) == one(found)
