"""Reports under other test distributions, from made-up records and predictions."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console
from sklearn.metrics import accuracy_score

from benchmarks.errors import UserError
from benchmarks.metrics import single_label_metrics
from benchmarks.priors import class_prior
from reports.aggregate import build_tables
from reports.compare.comparison import Comparer
from reports.compare.files import against_markdown
from reports.compare.request import Request, compared, tables_of
from reports.compare.rows import RowFinder
from reports.recast import under_priors
from reports.report import write_report
from reports.settings import Settings, read_priors
from results.schema import Record
from tests.results.factory import failed_record, make_record

COUNTS = (300, 200, 50, 30, 10, 5)
LABELS = np.repeat(np.arange(6), [40, 40, 40, 40, 40, 20])
IDS = np.array([f"image {i:03}" for i in range(220)])
PRIORS = ("forward50", "uniform", "backward50")


class Study:
    """One deterministic run for each of two methods: one good at the head, one at the tail."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.arrays: dict[str, dict[str, NDArray[Any]]] = {}
        rng = np.random.default_rng(0)
        membership = np.array(["many", "many", "medium", "medium", "few", "few"])
        for method, chances in (("lift", (0.9, 0.3)), ("sage", (0.5, 0.7))):
            chance = np.linspace(*chances, 6)[LABELS]
            predicted = np.where(rng.uniform(size=220) < chance, LABELS, (LABELS + 1) % 6)
            confidence = rng.uniform(0.3, 0.99, 220)
            metrics = single_label_metrics(predicted, confidence, LABELS, membership)
            record = make_record(method, metrics=metrics, counts=COUNTS, deterministic=True)
            self.records.append(record)
            self.arrays[record.key] = {
                "ids": IDS, "labels": LABELS, "top5": predicted[:, None],
                "top5_prob": confidence[:, None].astype(np.float32),
            }  # fmt: skip

    def read(self, record: Record) -> Mapping[str, NDArray[Any]]:
        if record.key not in self.arrays:
            raise UserError("No predictions.")
        return self.arrays[record.key]

    def weights(self, prior: str) -> NDArray[np.float64]:
        """(N,) weight of each image."""
        return class_prior(prior, np.array(COUNTS))[LABELS] / np.bincount(LABELS)[LABELS]


@pytest.fixture(scope="module")
def study() -> Study:
    return Study()


def test_each_prior_has_its_records_with_re_weighted_metrics(study: Study) -> None:
    cast = under_priors(study.records, {study.records[0].key}, study.read, PRIORS)
    assert len(cast.records) == 6 and len({record.key for record in cast.records}) == 6
    assert len(cast.stale) == 3
    for record in cast.records:
        assert cast.read is not None
        arrays = cast.read(record)
        prior = record.dataset_config["test_prior"]
        expected = accuracy_score(LABELS, arrays["top5"][:, 0], sample_weight=study.weights(prior))
        assert record.metrics is not None
        assert record.metrics.overall == pytest.approx(100 * expected)
        assert record.metrics.macro_f1 is not None and record.metrics.ece is not None
        assert record.dataset == f"glyphs100_lt (test_prior={prior})"
    nothing = under_priors(study.records, set(), study.read, ())
    assert nothing.records == study.records


def test_without_predictions_the_values_by_class_are_weighted(study: Study) -> None:
    whole = under_priors(study.records, set(), study.read, ["forward50"]).records
    for read in (None, Study.read.__get__(_empty())):
        found = under_priors(study.records, set(), read, ["forward50"]).records
        for record, other in zip(found, whole, strict=True):
            assert record.metrics is not None and other.metrics is not None
            assert record.metrics.overall == pytest.approx(other.metrics.overall)
            assert (record.metrics.ece, record.metrics.macro_f1) == (None, None)


def _empty() -> Study:
    study = Study()
    study.arrays = {}
    return study


def test_tables_are_in_the_order_asked_for_and_sorted_by_the_expected_accuracy(
    study: Study,
) -> None:
    cast = under_priors(study.records, set(), study.read, PRIORS)
    tables = build_tables(cast.records)
    assert [table.prior for table in tables] == list(PRIORS)
    assert [[row.method for row in table.rows][-1] for table in tables] == ["lift", "sage", "sage"]
    assert all(table.main == "overall" and table.published is None for table in tables)
    assert "the most frequent training class is 50 times as likely as the rarest" in (
        tables[0].caption
    )
    assert "the rarest training class is 50 times as likely as the most" in tables[2].caption


def test_intervals_are_those_of_the_weighted_mean(study: Study) -> None:
    cast = under_priors(study.records, set(), study.read, ["backward50"])
    (table,) = build_tables(cast.records)
    assert cast.read is not None
    prior = class_prior("backward50", np.array(COUNTS))
    for row in table.rows:
        found = Comparer(cast.read).row(table, row)["overall"]
        assert found.mean == pytest.approx(row.values["overall"].mean)
        right = cast.read(row.done[0])["top5"][:, 0] == LABELS
        squares = sum(
            (100 * prior[c]) ** 2 * right[c == LABELS].var(ddof=1) / (c == LABELS).sum()
            for c in range(6)
        )
        # One image more than was seen is taken to turn (docs/statistics.md).
        sizes = np.bincount(LABELS)
        turned = np.mean((100 * prior[LABELS] / sizes[LABELS]) ** 2)
        assert found.se_images == pytest.approx(np.sqrt(squares + turned))


def test_paired_differences_are_those_of_the_weighted_mean(study: Study) -> None:
    cast = under_priors(study.records, set(), study.read, ["backward50"])
    request = Request("lift", ("sage",))
    tables = tables_of(cast.records, cast.stale, request)
    (family,) = compared(request, tables, Comparer(cast.read), RowFinder({}, pytest.fail))
    found = family.members[0].comparison.intervals["overall"]
    assert found is not None
    prior = class_prior("backward50", np.array(COUNTS))
    a, b = (study.read(record)["top5"][:, 0] == LABELS for record in study.records)
    apart = a.astype(float) - b
    own = [apart[c == LABELS] for c in range(6)]
    assert found.difference == pytest.approx(100 * prior @ [part.mean() for part in own])
    squares = sum(
        (100 * weight) ** 2 * part.var(ddof=1) / len(part)
        for weight, part in zip(prior, own, strict=True)
    )
    turned = np.mean((100 * prior[LABELS] / np.bincount(LABELS)[LABELS]) ** 2)
    assert found.se_images == pytest.approx(np.sqrt(squares + turned))
    assert "Overall: expected under the test distribution backward50" in against_markdown(family)


def test_every_output_names_the_prior(study: Study, tmp_path: Path) -> None:
    console = Console(width=200, file=io.StringIO(), color_system=None)
    more = [failed_record("ncm")]
    write_report(
        [*study.records, *more], tmp_path, read=study.read, console=console,
        settings=Settings(priors=PRIORS),
    )  # fmt: skip
    assert isinstance(console.file, io.StringIO)
    for name in PRIORS:
        assert name in console.file.getvalue()
        stem = f"glyphs100_lt-test_prior-{name}__glyph"
        for ending in (".md", ".tex", ".csv"):
            assert name in (tmp_path / f"{stem}{ending}").read_text("utf-8"), ending
        assert name in (tmp_path / "report.html").read_text("utf-8")
    lines = list(csv.DictReader(io.StringIO((tmp_path / "across.csv").read_text("utf-8"))))
    assert {f"glyphs100_lt (test_prior={name})" for name in PRIORS} <= {x["dataset"] for x in lines}
    text = (tmp_path / "across.md").read_text("utf-8")
    head = next(line for line in text.splitlines() if line.startswith("| method"))
    assert [head.index(name) for name in PRIORS] == sorted(head.index(name) for name in PRIORS)
    assert "3 columns are 1 independent data set" in text


def test_multi_label_data_are_refused(study: Study) -> None:
    scenes = make_record("lift", task="multi", dataset="glyphscenes_lt")
    with pytest.raises(UserError, match=r"glyphscenes_lt has several labels .* --datasets"):
        under_priors([*study.records, scenes], set(), study.read, PRIORS)


def test_priors_as_text_or_list() -> None:
    assert read_priors("forward50,uniform,Forward-50", "x") == ("forward50", "uniform")
    assert read_priors(["backward2"], "x") == ("backward2",)
