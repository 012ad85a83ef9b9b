"""The data of the page: small, complete, and unpacked by nothing but the page's own script."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as np
import pytest

from benchmarks.metrics import single_label_metrics
from reports.aggregate import build_tables
from reports.compare.comparison import Comparer
from reports.page import predicted
from reports.page.document import Content, document, page_data
from reports.page.packing import bits, packed, script_json
from reports.page.predicted import Predicted
from reports.recast import under_priors
from tests.reports.page.made import Made, multi_label, study
from tests.results.factory import failed_record, make_record

MB = 10**6


def unpacked(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=kind)


# ---- size --------------------------------------------------------------------------------------


def size_of(seeds: int, **sizes: int) -> int:
    made = study(1, seeds, **sizes)
    tables = build_tables(made.records)  # without tests of rows, which take time and no room
    return len(document(page_data(Content(tables, records=made.records, read=made.read))).encode())


@pytest.mark.parametrize(("classes", "per_class", "most"), [(100, 100, 2 * MB), (1000, 50, 8 * MB)])
def test_fifteen_methods_with_five_seeds_are_small(  # 75 runs
    classes: int, per_class: int, most: float
) -> None:
    one, two = (size_of(n, classes=classes, per_class=per_class) for n in (1, 2))
    assert one + 74 * (two - one) < most


def test_predictions_that_are_too_large_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = study(2, 2)
    monkeypatch.setattr(predicted, "LARGEST", 1500)
    data = made.data()
    assert data["leftOut"] == 2
    assert sum("right" in record for record in data["records"]) == 2


# ---- predictions and values --------------------------------------------------------------------


@pytest.mark.parametrize("classes", [24, 300])
def test_predictions_are_those_of_the_runs(classes: int) -> None:
    made = Made()
    run = made.add("m", 0, 0.6, classes=classes, per_class=3)
    order = np.random.default_rng(0).permutation(classes * 3)
    made.predictions[run.key] = {k: v[order] for k, v in made.predictions[run.key].items()}
    gathered = Predicted(made.read)
    found = gathered.of(run)
    counts = unpacked(gathered.sets()[found["images"]], "<u4")
    labels = np.repeat(np.arange(classes), counts)
    right = np.unpackbits(unpacked(found["right"], "u1"), count=len(labels), bitorder="little")
    top = labels.copy()
    top[right == 0] = unpacked(found["wrong"], "u1" if classes <= 256 else "<u2")
    by_id = np.argsort(made.predictions[run.key]["ids"])  # ids are sorted by label here
    assert np.array_equal(top, made.predictions[run.key]["top5"][by_id, 0])


def test_bits_without_the_classes_are_kept(made: Made) -> None:
    run = made.records[0]
    full = made.read(run)
    kept = {"ids": full["ids"], "labels": full["labels"]}
    kept["right"] = full["top5"][:, 0] == full["labels"]
    found = Predicted(lambda _: kept).of(run)
    assert "wrong" not in found
    assert found["right"] == Predicted(made.read).of(run)["right"]


def test_bins_of_confidence_give_the_calibration_error(made: Made) -> None:
    record = made.records[0]
    arrays = made.read(record)
    groups = np.array(record.groups.membership)
    found = unpacked(Predicted(made.read).of(record)["bins"], "<f4").reshape(3, 15, 3)
    counts = [(groups[arrays["labels"]] == name).sum() for name in ("many", "medium", "few")]
    assert found[:, :, 0].sum(1).tolist() == counts
    images, confidence, right = found.sum(0).T
    expected = single_label_metrics(
        arrays["top5"][:, 0], arrays["top5_prob"][:, 0], arrays["labels"], groups
    )
    error = 100 * np.abs(confidence - right).sum() / images.sum()
    assert error == pytest.approx(expected.ece, abs=1e-3)  # sums are kept in float32


def test_bins_under_a_prior_give_its_calibration_error(made: Made) -> None:
    cast = under_priors(made.records[:1], (), made.read, ["backward50"])
    (record,) = cast.records
    found = unpacked(Predicted(cast.read).of(record)["bins"], "<f4").reshape(3, 15, 3)
    images, confidence, right = found.sum(0).T
    error = 100 * np.abs(confidence - right).sum() / images.sum()
    assert images.sum() == pytest.approx(len(made.read(made.records[0])["labels"]))
    assert error == pytest.approx(record.metrics.ece, abs=1e-3)
    assert abs(error - made.records[0].metrics.ece) > 0.1


def test_values_by_class_and_what_runs_share(made: Made) -> None:
    data = made.data()
    by_key = {record["key"]: record for record in data["records"]}
    for record in made.records:
        values = unpacked(by_key[record.key]["byClass"], "<f4")
        assert np.allclose(values, record.metrics.per_class)
    places = {record["classes"] for record in data["records"]}
    assert len(places) == 1
    assert data["pool"][places.pop()]["names"] == made.records[0].class_names


def test_a_class_without_test_images_has_no_value() -> None:
    record = make_record(per_class=[50.0, None, 50.0, 50.0, 50.0, 50.0])
    (found,) = page_data(Content((), records=[record]))["records"]
    assert np.isnan(unpacked(found["byClass"], "<f4")).tolist() == [False, True] + 4 * [False]


def test_rows_refer_to_their_records(made: Made) -> None:
    failed = failed_record("lift", 7, error="out of memory", dataset_config={"imbalance": 100})
    study = Made()
    study.records = [*made.records, failed]
    study.predictions = made.predictions
    data = study.data()
    (table,) = data["tables"]
    for row in table["rows"]:
        records = [data["records"][place] for place in (*row["done"], *row["failed"])]
        assert {record["method"] for record in records} == {row["method"]}
    (lift,) = [row for row in table["rows"] if row["method"] == "lift"]
    assert [data["records"][place]["error"] for place in lift["failed"]] == ["out of memory"]


def test_pairs_of_multi_label_rows_are_those_of_compare() -> None:
    made = multi_label(3)
    (table,) = made.tables()
    (data,) = made.data()["tables"]
    assert len(data["pairs"]) == 3
    comparer = Comparer(made.read)
    for pair in data["pairs"]:
        a, b = (table.rows[pair[side]] for side in "ab")
        comparison = comparer.compare(table, a, b)
        assert pair["oneRun"] == comparison.one_run
        for name, (mean_a, mean_b, difference, low, high, p, runs) in pair["metrics"].items():
            interval = comparison.intervals[name]
            expected = (interval.a, interval.b, interval.difference, interval.low, interval.high)
            assert np.allclose([mean_a, mean_b, difference, low, high], expected, atol=1e-4)
            assert p == pytest.approx(interval.p_value(), rel=1e-5)
            assert np.allclose(runs, comparison.differences[name], atol=1e-4)


def test_without_predictions_there_is_no_pair() -> None:
    records = [make_record("lift", seed) for seed in range(2)] + [make_record("sage")]
    study = Made()
    study.records = records
    data = study.data()
    assert data["images"] == []
    assert "pairs" not in data["tables"][0]


# ---- the file ----------------------------------------------------------------------------------


def test_a_script_cannot_be_ended_by_a_text() -> None:
    text = "</script><script>alert(1)</script><!-- \u2028\u2029 ]]> \x1b\u202e\ud800"
    written = script_json({text: [text, (text,)]})
    assert "<" not in written
    assert "\u2028" not in written
    ((key, (value, (inner,))),) = json.loads(written).items()
    assert key == value == inner
    assert value.startswith("</script><script>alert(1)")
    assert "\\x1b\\u202e\\ud800" in value


def test_the_page_allows_its_own_script_alone(made: Made) -> None:
    text = document(made.data())
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "connect-src 'none'" in policy
    assert not re.search(r"""(src|href)=(?!"#|"data:,")""", text.split("<script")[0])
    assert "connect-src 'self'" in document({**made.data(), "live": 3})


def test_equal_records_give_equal_pages(made: Made) -> None:
    turned = Made()
    turned.records, turned.predictions = made.records[::-1], made.predictions
    assert document(made.data()) == document(turned.data())


@pytest.mark.parametrize("array", [np.arange(5, dtype=np.uint16), np.array([0.5, np.nan])])
def test_arrays_are_packed_low_bytes_first(array: Any) -> None:
    kind = array.dtype.newbyteorder("<")
    assert np.array_equal(unpacked(packed(array.astype(">" + kind.str[1:])), kind.str), array, True)
    assert unpacked(bits(np.array([True, False, True])), "u1").tolist() == [5]
