"""The file of published results: its contents, and the message for a mistake in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.datasets import registry as datasets
from benchmarks.errors import UserError
from benchmarks.plugins.values import apply_fields
from methods.registry import METHODS
from results.published import FILE, Published, published

ENTRIES = published()
VALUES = [entry for entry in ENTRIES if entry.values is not None]
B16 = "ViT-B-16-quickgelu/openai"


def found(**wanted: Any) -> list[dict[str, float]]:
    """The values of the entries that have all of these."""
    return [
        dict(entry.values or {})
        for entry in ENTRIES
        if all(getattr(entry, name) == value for name, value in wanted.items())
    ]


def overall(**wanted: Any) -> set[float]:
    return {values["overall"] for values in found(**wanted)}


# ---- contents --------------------------------------------------------------------------------


def test_some_values_retyped() -> None:
    # From the sources named in the file, typed a second time.
    assert overall(dataset="cifar100_lt", kind="calibration", backbone=B16) == {66.91, 66.95}
    assert overall(dataset="imagenet_lt", kind="calibration", backbone=B16) == {68.35, 68.34}
    assert overall(dataset="voc_lt", kind="calibration") == {78.88, 76.01, 79.04}
    lift = {"name": "LIFT", "backbone": B16}
    assert overall(dataset="cifar100_lt_ir10", **lift) == {84.9}
    assert {"overall": 51.5, "many": 51.3, "medium": 52.2, "few": 50.5} in found(
        dataset="places_lt", **lift
    )
    assert overall(dataset="inat2018", name="VL-LTR", backbone=B16) == {76.8, 81.0}
    assert overall(dataset="coco_lt", name="LMPT") == {66.19, 58.97}
    assert found(dataset="voc_lt", name="DB-Focal", kind="authors' code") == found(
        dataset="voc_lt", name="DB-Focal", kind="paper"
    )
    assert found(dataset="cifar100_lt", name="PEFT") == [{"overall": 81.3, "few": 77.1}]


def test_what_could_not_be_read_has_no_values() -> None:
    assert {entry.method for entry in ENTRIES if entry.values is None} == {"sage", "prototype"}


def test_every_read_number_is_there_and_no_recalled_one(shared: Path) -> None:
    """The numbers of the notes' tables are compared as a multiset of strings of digits."""
    text = (shared / "reference" / "papers.md").read_text("utf-8")
    numbers = {f"{value:.2f}" for entry in VALUES for value in (entry.values or {}).values()}

    def of(part: str) -> set[str]:
        return {
            f"{float(n):.2f}" for n in re.findall(r"(?<![\d.@-])\d\d\.\d{1,2}(?!\d|\.\d)", part)
        }

    def lines(*starts: str) -> str:
        chosen = [line for line in text.splitlines() if line.startswith(starts)]
        assert len(chosen) >= len(starts)
        return "\n".join(chosen)

    tables = lines(
        "| LMPT", "| linear probe", "| full FT", "| PEFT", "| Model Soups", "| LT-Soups",
        "| ViT-B-16", "| ViT-B-32", "| ViT-L-14", "VL-LTR README", "Group results [F",
        "Zero-shot CLIP [F", "LPT (IN21K", "- **Balanced softmax**",
    )  # fmt: skip
    peers = text.split("MLC-NC paper table")[1].split("- [F] DB-Focal")[0]
    logits = re.findall(r"ERM.*", lines("- **Logit adjustment**"))[0]
    field = (shared / "reference" / "field-2026.md").read_text("utf-8")
    later = [line for line in field.splitlines() if line.startswith("| ImageNet-LT | zero-shot")]
    read = of(tables) | of(peers) | of(logits) | of("\n".join(later))
    assert len(read) > 150
    assert read <= numbers
    headline = "78.3 52.2 81.7 83.1 84.9 89.1 90.2 91.3 82.9 53.7 85.2 53.1 82.7"
    assert of(headline) <= numbers
    # Nothing else: a value from memory is listed only if a source that was read has it too.
    assert numbers <= read | of(headline)


def test_entries_can_be_looked_up() -> None:
    for entry in VALUES:
        assert entry.dataset is not None
        datasets.resolve(entry.dataset)
        if entry.method is not None:
            cls = METHODS.get(entry.method)
            config = apply_fields(entry.name, cls, dict(entry.fields))
            if isinstance(entry.tte, bool):
                assert config.get("tte", False) == entry.tte, entry


def test_calibration_rows_are_complete() -> None:
    rows = [entry for entry in ENTRIES if entry.kind == "calibration"]
    assert len(rows) == 15
    assert all(r.test_images and r.tolerance == 0.3 and r.method == "zero_shot" for r in rows)
    assert {r.dataset for r in rows} == {"cifar10_lt", "cifar100_lt", "imagenet_lt", "voc_lt"}


def test_external_data_is_never_ours() -> None:
    assert all(entry.method is None for entry in VALUES if entry.external_data is True)


# ---- slips of the pen ------------------------------------------------------------------------

GOOD = {
    "source": "a page", "kind": "paper", "name": "LIFT", "dataset": "places_lt", "method": "lift",
    "backbone": B16, "values": {"overall": 52.2}, "tte": True, "external_data": False,
    "split": "official list", "groups": "", "transform": "lift", "tolerance": 1.0,
}  # fmt: skip


def read(folder: Path, row: dict[str, Any]) -> tuple[Published, ...]:
    table = {
        "source": row.pop("source", None),
        "kind": row.pop("kind", None),
        "shared": {"name": row.pop("name", "LIFT")},
        "rows": [row],
    }
    file = folder / "published.yaml"
    file.write_text(yaml.safe_dump({"tables": [table]}), encoding="utf-8")
    published.cache_clear()
    return published(file)


def test_an_entry_is_read(tmp_path: Path) -> None:
    (entry,) = read(tmp_path, dict(GOOD))
    assert entry == Published(**GOOD)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"value": 3}, "Unknown key in .*'value'. Did you mean: values"),
        ({"kind": "paper?"}, "kind: 'paper\\?' is not one of paper, authors' code"),
        ({"values": {"overal": 52.2}}, "values: .* is not a mapping of percentages"),
        ({"values": {"overall": 0.522e3}}, "values: .* is not a mapping of percentages"),
        ({"values": {"overall": "52.2"}}, "values: .* is not a mapping of percentages"),
        ({"tte": "sometimes"}, "tte: 'sometimes' is not yes, no or unknown"),
        ({"groups": "lifts"}, "groups: 'lifts' is not one of lift, oltr"),
        ({"values": {"few": 50.0}}, "values by group need the group rule"),
        ({"transform": "clip"}, "transform: 'clip' is not one of"),
        ({"inferred": [["tte"]]}, "inferred: .* is not a list of keys"),
        ({"inferred": ["tts"]}, "inferred: .* is not a list of keys"),
        ({"tolerance": float("inf")}, "tolerance: inf is not"),
        ({"tolerance": float("nan")}, "tolerance: nan is not"),
        ({"test_images": 10**30}, "test_images: 10000"),
        ({"values": {"overall": float("nan")}}, "values: "),
        ({"values": {"overall": 180}}, "values: "),
        ({"tolerance": None}, "values need a data set and a tolerance"),
        ({"dataset": None}, "values need a data set and a tolerance"),
        ({"backbone": ""}, "backbone: '' is not a text"),
        ({"fields": "tte"}, "fields: 'tte' is not a mapping"),
    ],
)
def test_a_slip_is_one_line_that_names_the_entry(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said) as caught:
        read(tmp_path, GOOD | change)
    line = str(caught.value)
    assert "\n" not in line
    assert "table 1" in line
    assert "row 1" in line


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"row 1 \(LIFT, places_lt\): 'tte' is missing"):
        read(tmp_path, {name: value for name, value in GOOD.items() if name != "tte"})


@pytest.mark.parametrize(
    "text", ["- a", "tables: {}", "tables: [3]", "tables: []\nmore: 1", "tables: [{rows: []}]"]
)
def test_other_shapes_are_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "published.yaml"
    file.write_text(text, encoding="utf-8")
    published.cache_clear()
    with pytest.raises(UserError, match=r"published\.yaml"):
        published(file)


def test_it_reads_well() -> None:
    assert all(len(line) <= 100 for line in FILE.read_text("utf-8").splitlines())
