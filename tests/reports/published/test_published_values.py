"""Published values and ours: which of them are compared, and how they are shown."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.datasets import registry as datasets
from benchmarks.plugins.values import apply_fields
from methods.registry import METHODS, info_of
from reports.aggregate import build_tables
from reports.formats.markdown import markdown
from reports.formats.published_csv import published_csv
from reports.latex.files import table_files
from reports.latex.text import BREAK
from reports.published.matching import published_values
from reports.report import write_report
from reports.table import PublishedValues, Table
from reports.terminal import print_table
from results.published import Published
from results.schema import Record
from tests.reports.latex.articles import latex, rows
from tests.results.factory import make_record

B16 = "ViT-B-16-quickgelu/openai"
ENTRY = Published(
    source="a page", kind="paper", name="LIFT", dataset="cifar100_lt", method="lift",
    backbone=B16, values={"overall": 80.0, "few": 70.0}, tte=False, external_data=False,
    split="cao2019", groups="lift", transform="lift", tolerance=1.0,
)  # fmt: skip


def ours(
    method: str = "lift",
    seed: int = 0,
    *,
    dataset: str = "cifar100_lt",
    fields: dict[str, Any] | None = None,
    knobs: dict[str, Any] | None = None,
    **changes: Any,
) -> Record:
    """A record as the suite makes it under protocol `paper`, with LIFT's transform."""
    family, own = datasets.resolve(dataset.partition(" (")[0])
    cls = METHODS.get(method)
    changes = {
        "dataset": dataset, "task": family.task, "recipe": "cao2019",
        "dataset_version": family.version, "backbone": B16, "protocol": "paper",
        "transform": "lift", "config": apply_fields(method, cls, fields or {}),
        "dataset_config": dataclasses.asdict(family(**own | (knobs or {}))),  # type: ignore[call-overload]
        "deterministic": info_of(method).deterministic,
    } | changes  # fmt: skip
    return make_record(method, seed, **changes)


def table(*records: Record, **options: Any) -> Table:
    (built,) = build_tables(records, **options)
    return built


def compared(records: list[Record], *entries: Published) -> PublishedValues | None:
    built = table(*records)
    return published_values(built.dataset, built.backbone, built.rows, entries)


# ---- what is compared ------------------------------------------------------------------------


def test_the_same_variant_is_compared() -> None:
    records = [ours(seed=s, overall=v) for s, v in enumerate((79.0, 81.0, 82.0))]
    found = compared(records, ENTRY)
    assert found is not None
    assert found.others == ()
    first, few = found.values
    assert (first.label, first.metric, first.published) == ("lift", "overall", 80.0)
    assert first.ours.mean == pytest.approx(80.6667, abs=1e-4)
    assert first.ours.std == pytest.approx(1.5275, abs=1e-4)
    assert first.difference == pytest.approx(0.6667, abs=1e-4)
    assert not first.beyond
    assert (few.metric, few.beyond) == ("few", True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol": "equal"}, "ours with protocol equal"),
        ({"fields": {"epochs": 2}}, "ours with epochs=2"),
        ({"fields": {"tte": True}}, "ours with tte=true"),
        ({"fields": {"lr": 0.02, "tau": 2.0}}, "ours with lr=0.02, tau=2.0"),
        ({"transform": "checkpoint"}, "ours with transform checkpoint, published with lift"),
        ({"image_size": 336}, "ours with images of 336 pixels"),
        ({"recipe": "cao2019/name-order"}, "ours with another split (cao2019/name-order)"),
        ({"split_seed": 3}, "ours with split seed 3"),
        ({"selection_rule": "val"}, "ours with an epoch chosen on validation images"),
        (
            {"dataset_version": "1-reduced-20-3"},
            "ours with other images than the official ones",
        ),
        (
            {"dataset": "cifar100_lt (texts=own)", "knobs": {"texts": "own"}},
            "ours with texts=own",
        ),
    ],
)
def test_another_variant_of_ours_is_not(changes: dict[str, Any], reason: str) -> None:
    found = compared([ours(**changes)], ENTRY)
    assert found is not None
    assert found.values == ()
    assert found.others == (f"{reason}: LIFT 80.0",)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"external_data": True}, "external data"),
        ({"backbone": "RN50-quickgelu/openai"}, "other backbone (RN50-quickgelu/openai)"),
        ({"method": None}, "not in the suite"),
        ({"method": "sage"}, "not run here"),
        ({"tte": "unknown"}, "ours with published test-time ensembling not read"),
        ({"transform": "unknown"}, "ours with published transform not read"),
    ],
)
def test_another_published_variant_is_not(changes: dict[str, Any], reason: str) -> None:
    other = dataclasses.replace(ENTRY, name="other", **changes)
    found = compared([ours(overall=80.0)], other, ENTRY)
    assert found is not None
    assert [line.source.startswith("LIFT, paper: a page") for line in found.values] == [True] * 2
    assert found.others == (f"{reason}: other 80.0",)


def test_of_two_rows_the_one_that_fits_is_taken() -> None:
    tte = dataclasses.replace(ENTRY, fields={"tte": True}, tte=True, values={"overall": 82.0})
    found = compared([ours(overall=80.0), ours(overall=82.0, fields={"tte": True})], ENTRY, tte)
    assert found is not None
    shown = [(line.label, line.published) for line in found.values if line.metric == "overall"]
    assert shown == [("lift (tte=false)", 80.0), ("lift (tte=true)", 82.0)]
    assert all(abs(line.difference or 0.0) < 1e-9 for line in found.values[::2])


def test_groups_only_under_the_same_rule_and_counts() -> None:
    unknown = dataclasses.replace(ENTRY, groups="unknown")
    own = ours(
        dataset="cifar100_lt (group_counts=ir100)", knobs={"group_counts": "ir100"}, overall=80.0
    )
    for found in (
        compared([ours(overall=80.0, groups_rule="oltr")], ENTRY),
        compared([ours(overall=80.0)], unknown),
        compared([own], ENTRY),
    ):
        assert found is not None
        assert [line.metric for line in found.values] == ["overall"]
        assert "are not compared" in found.values[0].source


def test_a_ratio_is_another_data_set_but_not_for_what_is_untrained() -> None:
    record = ours("zero_shot", dataset="cifar100_lt_ir50", transform="checkpoint", overall=66.8,
                  recipe="cao2019/name-order", split_seed=2)  # fmt: skip
    zero = dataclasses.replace(
        ENTRY, name="CLIP", method="zero_shot", split="", transform="checkpoint",
        values={"overall": 66.91}, groups="", kind="calibration", tolerance=0.3,
    )  # fmt: skip
    trained = dataclasses.replace(zero, split="cao2019")
    found = compared([record], zero)
    assert found is not None
    assert [line.published for line in found.values] == [66.91]
    assert compared([record], trained) is None
    own = ours("zero_shot", dataset="cifar100_lt (texts=own)", knobs={"texts": "own"},
               transform="checkpoint")  # fmt: skip
    found = compared([own], zero)
    assert found is not None
    assert found.values == ()


def test_scores_of_average_precision_must_agree() -> None:
    entry = dataclasses.replace(
        ENTRY, dataset="voc_lt", method="lmpt", scores="softmax", split="official list",
        transform="lmpt", values={"overall": 87.88}, groups="",
    )  # fmt: skip
    common = {"transform": "lmpt", "recipe": "wu2020", "groups_rule": "lmpt"}
    soft = ours("lmpt", dataset="voc_lt (scores=softmax)", knobs={"scores": "softmax"}, **common)
    found = compared([soft], entry)
    assert found is not None
    assert [line.title for line in found.values] == ["mAP"]
    raw = compared([ours("lmpt", dataset="voc_lt", **common)], entry)
    assert raw is not None
    assert raw.others == ("ours with average precision on logits: LIFT 87.88",)


def test_many_values_of_a_kind_are_named_by_their_ends() -> None:
    many = [
        dataclasses.replace(ENTRY, name=f"m{i}", backbone="ResNet-32", values={"overall": 40.0 + i})
        for i in range(6)
    ]
    found = compared([ours(overall=80.0)], ENTRY, *many)
    assert found is not None
    assert found.others == ("other backbone (ResNet-32): 6 values, 40.0 (m0) to 45.0 (m5)",)


def test_nothing_is_said_where_nothing_is_published() -> None:
    assert table(make_record("lift")).published is None
    assert table(ours(backbone="ViT-B-16/random")).published is None
    assert compared([ours(dataset="cifar100_lt_ir20")], ENTRY) is None


def test_records_that_do_not_apply_are_no_result() -> None:
    empty = {"metrics": None, "groups": None, "selection": None, "cost": None}
    record = ours(status="failed", error="boom", **empty)
    found = compared([record], ENTRY)
    assert found is not None
    assert found.others == ("no result here: LIFT 80.0",)


def test_what_could_not_be_read_is_said_of_the_methods_that_are_there() -> None:
    built = table(ours(), ours("sage"))
    assert built.published is not None
    (said,) = built.published.unread
    assert said.startswith("sage (Sage (Peng et al. 2025, arXiv 2507.12807)")
    assert "Published values not read: sage (Sage" in markdown(built)
    alone = table(ours()).published
    assert alone is not None
    assert alone.unread == ()


# ---- how it is shown -------------------------------------------------------------------------


@pytest.fixture
def shown_table() -> Table:
    built = table(
        *(ours("zero_shot", dataset="cifar100_lt", transform="checkpoint", overall=66.5)
          for _ in range(1)),
        *(ours("lift", s, transform="checkpoint", overall=80.0 + s) for s in range(2)),
    )  # fmt: skip
    assert built.published is not None
    return built


def test_terminal_in_80_columns(shown_table: Table) -> None:
    console = Console(width=80, file=io.StringIO(), color_system=None)
    print_table(shown_table, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(len(line) <= 80 for line in text.splitlines())
    _, published = text.split("Published values")
    row = next(line for line in published.splitlines() if line.startswith(" zero_shot"))
    assert row.split() == ["zero_shot", "overall", "66.91", "66.50", "−0.41", "!", "(1)"]
    assert "(1) zero-shot CLIP, calibration: LAION-AI/CLIP_benchmark" in published
    assert "not compared:" in published
    assert "LIFT 81.7" in published.replace("\n ", " ")


def test_markdown_and_latex(shown_table: Table) -> None:
    text = markdown(shown_table)
    assert "\n\n### Published values\n\n| method | value | published |" in text
    assert "| `zero_shot` | overall | 66.91 | 66.50 | −0.41 ! | (1) |" in text
    assert "\n\n\n" not in text
    files = table_files(shown_table, "stem", "report")
    text = files["stem__published.tex"]
    assert text.isascii()
    assert ["zero\\_shot: overall", "66.91", "66.50", "-0.41", "!", "(1)"] in rows(text)
    assert r"\label{tab:report:stem__published}" in text
    assert "beyond the tolerance given with the source. (1) " in text.replace(BREAK, "")
    assert "with CLIP" not in files["stem.tex"]


def test_csv_is_unrounded_and_a_file_of_its_own(shown_table: Table, tmp_path: Path) -> None:
    text = published_csv(shown_table)
    assert text is not None
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(r["variant"], r["published"], r["beyond_tolerance"]) for r in rows] == [
        ("zero_shot", "66.91", "True"),
        ("zero_shot", "66.95", "True"),
    ]
    assert float(rows[0]["difference"]) == pytest.approx(-0.41)
    records = [record for row in shown_table.rows for record in row.done]
    files = {file.name for file in write_report(records, tmp_path)}
    assert "cifar100_lt__ViT-B-16-quickgelu-openai__published.csv" in files


# ---- remark of the sweep ---------------------------------------------------------------------


def test_the_caption_ends_with_the_remark() -> None:
    remark = "Numbers of 100 % random_weights."
    records = [make_record("lift", s, remark=remark) for s in range(2)] + [make_record("ncm")]
    built = table(*records)
    console = Console(width=1000, file=io.StringIO(), color_system=None)
    print_table(built, console)
    assert f"the order may be chance. {remark}" in console.file.getvalue()  # type: ignore[attr-defined]
    assert f"the order may be chance. {remark}\n" in markdown(built)
    assert r"\item Numbers of 100 \% random\_weights." in latex(built).replace(BREAK, "")


def test_the_caption_names_a_transform_that_is_not_the_checkpoints() -> None:
    assert "evaluation transform lift, epoch reported" in table(ours(overall=1.0)).caption
    assert "transform" not in table(make_record("lift")).caption


def test_the_caption_names_an_image_size_that_is_not_that_of_the_weights() -> None:
    large = [make_record("lift", seed, image_size=336) for seed in range(2)]
    assert "images of 336 pixels, epoch reported" in table(*large).caption
    assert "pixels" not in table(make_record("lift")).caption
