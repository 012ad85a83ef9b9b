"""Conformal sets from stored probabilities, against sets made from all probabilities in a loop."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.errors import UserError
from benchmarks.metrics import single_label_metrics
from reports.conformal import prediction_sets, threshold
from reports.report import write_report
from reports.settings import Settings, read_settings
from results.schema import Record
from tests.results.factory import make_record

COUNTS = (300, 200, 50, 30, 10, 5, 5, 5)


def probabilities(classes: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(N, C) probabilities and (N,) labels; rare classes get too little."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), 30)
    logits = rng.normal(size=(len(labels), classes)) - 0.2 * np.arange(classes)
    logits[np.arange(len(labels)), labels] += spread
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return chances, labels


def stored(chances: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays that a record keeps of them."""
    top = np.argsort(-chances, axis=1, kind="stable")[:, :5]
    return {
        "ids": np.array([f"{i:04}" for i in range(len(labels))]), "labels": labels, "top5": top,
        "top5_prob": np.take_along_axis(chances, top, 1),
        "true_prob": chances[np.arange(len(labels)), labels],
    }  # fmt: skip


def test_the_threshold_is_the_conformal_quantile() -> None:
    true = np.array([0.9, 0.1, 0.5, 0.7, 0.3, 0.8, 0.2, 0.6, 0.4])
    # ceil(10 * 0.8) = 8 of 9 images must be covered, ceil(10 * 0.9) = 9.
    assert threshold(true, 80) == 0.2
    assert threshold(true, 90) == 0.1
    assert threshold(true, 95) == 0.0  # ten would be needed


@pytest.mark.parametrize(("classes", "spread"), [(4, 1.5), (8, 4.0), (8, 0.5)])
def test_sets_are_those_of_all_probabilities(classes: int, spread: float) -> None:
    chances, labels = probabilities(classes, spread)
    found = prediction_sets(stored(chances, labels), classes, 80.0, splits=7)
    seen, covered, size = np.zeros((3, classes))
    for number in range(7):
        order = np.random.default_rng([number, len(labels)]).permutation(len(labels))
        half, tested = order[: len(order) // 2], order[len(order) // 2 :]
        true = sorted(chances[i, labels[i]] for i in half)
        least = true[len(true) - math.ceil((len(true) + 1) * 0.8)]
        for i in tested:
            members = [c for c in range(classes) if chances[i, c] >= least]
            seen[labels[i]] += 1
            covered[labels[i]] += labels[i] in members
            size[labels[i]] += len(members)
    assert found.coverage == pytest.approx(100 * covered / seen)
    assert (found.smallest <= size / seen + 1e-9).all()
    assert (found.largest >= size / seen - 1e-9).all()
    if spread > 1:  # small sets, or no more classes than probabilities: sizes are known
        assert found.smallest == pytest.approx(size / seen)
        assert found.largest == pytest.approx(size / seen)
    else:
        assert (found.largest > found.smallest + 0.1).any()


def test_coverage_holds_over_images_and_the_order_of_images_does_not_count() -> None:
    chances, labels = probabilities(8, 1.5)
    arrays = stored(chances, labels)
    found = prediction_sets(arrays, 9, 90.0)
    assert found.coverage[:8].mean() == pytest.approx(90, abs=2)  # equally many images each
    assert found.coverage[0] > found.coverage[7] + 5  # but not for each class
    assert np.isnan(found.coverage[8])
    order = np.random.default_rng(1).permutation(len(labels))
    moved = prediction_sets({name: array[order] for name, array in arrays.items()}, 9, 90.0)
    assert moved.coverage[:8] == pytest.approx(found.coverage[:8])


def with_probabilities() -> tuple[list[Record], dict[str, dict[str, np.ndarray]]]:
    """Records of two methods with probabilities and one without, and their arrays by key."""
    arrays, records = {}, []
    for method, spread in (("lift", 1.0), ("sage", 4.0)):
        chances, labels = probabilities(8, spread)
        membership = np.array(["many"] * 2 + ["medium"] * 2 + ["few"] * 4)
        metrics = single_label_metrics(chances.argmax(1), chances.max(1), labels, membership)
        record = make_record(method, metrics=metrics, counts=COUNTS, deterministic=True)
        records.append(record)
        arrays[record.key] = stored(chances, labels)
    bits = make_record("ncm", per_class=[50.0] * 8, counts=COUNTS, deterministic=True)
    right = np.arange(240) % 2 == 0
    arrays[bits.key] = {name: arrays[records[0].key][name] for name in ("ids", "labels")}
    arrays[bits.key]["right"] = right
    return [*records, bits], arrays


def test_the_report_has_a_table_of_sets(tmp_path: Path) -> None:
    records, arrays = with_probabilities()
    console = Console(width=80, file=io.StringIO(), color_system=None)
    write_report(
        records, tmp_path, read=lambda record: arrays[record.key], console=console,
        settings=Settings(conformal=90.0),
    )  # fmt: skip
    text = (tmp_path / "glyphs100_lt__glyph__conformal.md").read_text("utf-8")
    assert "calibrate the sets of the other halves, 100 times" in text
    assert "Without stored probabilities: ncm." in text and " to " in text
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert "Conformal sets" in printed and "…" not in printed
    sizes = re.findall(r"\d\.\d\d to \d\.\d\d", text)
    assert sizes and all(size in printed for size in sizes)  # nothing is cut in 80 columns
    tex = (tmp_path / "glyphs100_lt__glyph__conformal.tex").read_text("utf-8")
    for part in (r"\label{tab:", "coverage", "Without stored probabilities: ncm."):
        assert part in tex
    assert len(re.findall(r"\d\.\d\d to \d\.\d\d", tex)) == len(sizes)
    data = re.search(
        r'<script type="application/json" id="data">(.*?)</script>',
        (tmp_path / "report.html").read_text("utf-8"), re.S,
    )  # fmt: skip
    assert data is not None
    shown = json.loads(data[1])["tables"][0]["conformal"]
    assert [line[0] for line in shown["lines"]] == ["lift", "sage"]
    assert [text for line in shown["lines"] for text, _ in line[1:] if " to " in text] == sizes
    assert shown["notes"][-1] == "Without stored probabilities: ncm."
    lines = csv.DictReader(
        io.StringIO((tmp_path / "glyphs100_lt__glyph__conformal.csv").read_text("utf-8"))
    )
    means = {(x["method"], x["quantity"]): x["mean"] for x in lines}
    sets = prediction_sets(arrays[records[1].key], 8, 90.0)
    assert float(means["sage", "coverage few"]) == pytest.approx(sets.coverage[4:].mean())
    assert float(means["sage", "coverage overall"]) == pytest.approx(sets.coverage.mean())
    assert float(means["sage", "smallest many"]) == pytest.approx(sets.smallest[:2].mean())
    below = 100 * np.mean(sets.coverage < 50)
    assert float(means["sage", "coverage below half"]) == pytest.approx(below)


def test_without_probabilities_one_line_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--conformal: no run"):
        write_report([make_record()], tmp_path, settings=Settings(conformal=90.0))
    for wrong in ("100", "10", "nan"):
        with pytest.raises(UserError, match=r"not a coverage in percent|not a number"):
            read_settings({"conformal": wrong}, {}, None)
    with pytest.raises(UserError, match="--conformal and --test-prior"):
        read_settings({"conformal": "90", "test_prior": "uniform"}, {}, None)
