from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.schema import Record, RecordError
from tests.results.factory import failed_record, make_record

finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]))
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | finite | texts
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple) | st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(
    config=st.dictionaries(texts, values, max_size=4),
    accuracies=st.lists(st.none() | st.floats(0, 100), min_size=1, max_size=6),
    error=st.none() | texts,
    seed=st.integers(0, 2**53),
)
def test_a_record_survives_json(
    config: dict[str, Any], accuracies: list[float | None], error: str | None, seed: int
) -> None:
    record = replace(
        make_record(
            "m", seed, per_class=accuracies, counts=[5] * len(accuracies),
            overall=None if set(accuracies) == {None} else 1.5,
        ),
        config=config,
        error=error,
    )  # fmt: skip
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_a_record_from_before_data_wait_was_measured_is_read() -> None:
    old = make_record().to_json()
    del old["cost"]["data_wait_s"]
    assert Record.from_json(old) == make_record()
    assert make_record(cost_data_wait_s=0.25).to_json()["cost"]["data_wait_s"] == 0.25


def test_curves_survive_json_and_records_from_before_them_are_read() -> None:
    record = make_record(curves={"loss": ((1.0, 0.5), (2.0, 0.25))})
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record
    old = make_record().to_json()
    del old["curves"]
    assert Record.from_json(old) == make_record()


@pytest.mark.parametrize("points", [1, [1, 2], [[1]], [[1, "x"]], [[1, True]], [[1, None]]])
def test_a_curve_of_anything_but_pairs_of_numbers_is_refused(points: Any) -> None:
    data = make_record().to_json() | {"curves": {"loss": points}}
    with pytest.raises(RecordError, match=r"curves\.loss"):
        Record.from_json(data)


def test_a_failed_record_survives_json() -> None:
    record = failed_record("m", error="out of memory")
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_nan_anywhere_is_refused_and_its_place_named(value: float) -> None:
    record = make_record(config={"lr": {"head": (1.0, value)}})
    with pytest.raises(RecordError, match=r"config\.lr\.head\[1\]"):
        record.to_json()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_nan_among_the_classes_is_refused(value: float) -> None:
    data = json.loads(json.dumps(make_record().to_json()))
    data["metrics"]["per_class"][2] = value
    with pytest.raises(RecordError, match=r"record\.metrics\.per_class"):
        Record.from_json(data)


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(RecordError, match=r"config\.path holds a set"):
        make_record(config={"path": {1, 2}}).to_json()
    with pytest.raises(RecordError, match="config holds a dict"):
        make_record(config={1: "a key that JSON would turn into text"}).to_json()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("seed",), "0"),
        (("seed",), True),
        (("deterministic",), 0),
        (("status",), "finished"),
        (("metrics", "overall"), "50"),
        (("metrics", "per_class"), [50.0, "x"]),
        (("metrics", "per_class"), 50.0),
        (("groups", "train_counts"), [1.5, 2.5]),
        (("provenance", "versions"), {"torch": 2.6}),
        (("config",), []),
    ],
)
def test_a_wrong_type_is_refused_and_its_place_named(place: tuple[str, ...], value: Any) -> None:
    data = json.loads(json.dumps(make_record().to_json()))
    inner = data
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    with pytest.raises(RecordError, match=r"record\." + r"\.".join(place)):
        Record.from_json(data)


def test_records_of_one_data_set_share_its_names_in_memory() -> None:
    one, two = (Record.from_json(make_record(seed=seed).to_json()) for seed in (0, 1))
    assert one.groups.membership is two.groups.membership
    assert one == make_record(seed=0)


def test_a_whole_number_will_do_for_a_percentage() -> None:
    data = json.loads(json.dumps(make_record().to_json()))
    data["metrics"]["overall"] = 50
    assert Record.from_json(data).metrics.overall == 50.0


def test_unknown_and_missing_fields_are_refused() -> None:
    data = make_record().to_json()
    with pytest.raises(RecordError, match=r"unknown fields \['colour'\]"):
        Record.from_json({**data, "colour": 1})
    del data["precision"]
    with pytest.raises(RecordError, match=r"missing fields \['precision'\]"):
        Record.from_json(data)


def test_the_metrics_of_the_first_records_are_required() -> None:
    for name in ("overall", "many", "medium", "few", "balanced", "worst_class", "ece"):
        data = make_record().to_json()
        del data["metrics"][name]
        with pytest.raises(RecordError, match=rf"record.metrics: .* missing fields \['{name}'\]"):
            Record.from_json(data)


def test_an_unknown_schema_says_what_to_do() -> None:
    data = make_record().to_json()
    with pytest.raises(RecordError, match=r"schema 2, .*update the suite"):
        Record.from_json({**data, "schema_version": 2})
    for version in (0, -1, 1.0, "1", None, True):
        with pytest.raises(RecordError, match="not the number of a schema"):
            Record.from_json({**data, "schema_version": version})
    with pytest.raises(RecordError, match="no schema_version"):
        Record.from_json([])


def test_a_done_record_is_complete() -> None:
    data = make_record().to_json()
    with pytest.raises(RecordError, match="part of the record is missing"):
        Record.from_json({**data, "cost": None})
    data["groups"]["train_counts"] = [1, 2]
    with pytest.raises(RecordError, match="different lengths"):
        Record.from_json(data)
