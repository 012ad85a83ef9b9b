"""configs/reproduce: every published row that the suite implements, as a sweep of that variant."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import run_benchmarks
from benchmarks.backbone.identify import identify
from benchmarks.errors import UserError
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.settings import read_sweep
from reports.published.matching import differences, on_data
from results.published import Published, published
from tests.results.factory import make_record

ROOT = Path(__file__).resolve().parent.parent
B16 = "ViT-B-16-quickgelu/openai"
IN21K = "timm:vit_base_patch16_224.augreg_in21k_ft_in1k"
FILES = sorted((ROOT / "configs" / "reproduce").glob("*.yaml"))


def cell_of(file: Path) -> Cell:
    """The one kind of cell that a file asks for, with its own backbone."""
    cells = plan.expand(read_sweep(file, {"device": "cpu"})).cells
    assert len({(c.label, c.dataset) for c in cells}) == 1
    return cells[0]


def reproduced_by(cell: Cell) -> list[Published]:
    """Published results that a row of this cell would be compared with, on any of our backbones."""
    recipe = "cao2019" if "cifar" in cell.dataset else "as published"
    record = make_record(
        cell.method, dataset=cell.dataset, dataset_config=cell.dataset_config, recipe=recipe,
        dataset_version=cell.family.version, config=cell.config, protocol=cell.protocol,
        transform=cell.transform, task=cell.family.task, split_seed=cell.split_seed,
        deterministic=cell.deterministic, backbone=cell.backbone.name,
    )  # fmt: skip
    name = cell.dataset.partition(" (")[0]
    return [
        entry
        for entry in published()
        if entry.values is not None
        and entry.method == cell.method
        and entry.dataset == name
        and on_data(entry, name)
        and _is_ours(entry.backbone)
        and entry.backbone.startswith("timm:") == cell.backbone.of_timm
        and not differences(entry, record)
    ]


@pytest.fixture(scope="module")
def found() -> dict[str, list[Published]]:
    return {file.stem: reproduced_by(cell_of(file)) for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_planned_without_data_or_weights(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["plan", "--config", str(file), "--backbone", "ViT-B-16/random", "--offline"]
    where = ["--data-root", str(tmp_path), "--out", str(tmp_path), "--device", "cpu"]
    assert run_benchmarks.main([*words, *where]) == 2
    text = capsys.readouterr().out
    assert "A run would not begin" in text
    method, dataset = file.stem.split("__")
    assert method.removesuffix("_tte").removesuffix("_in21k") in text
    assert dataset in text
    assert "missing" in text


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_its_row_is_the_published_variant(file: Path, found: dict[str, list[Published]]) -> None:
    cell = cell_of(file)
    assert cell.protocol == "paper"
    assert cell.select == "last"
    assert cell.backbone.typed == (IN21K if "_in21k" in file.stem else B16)
    entries = found[file.stem]
    assert any(entry.backbone == cell.backbone.name for entry in entries)
    dataset = file.stem.split("__")[1]
    assert {entry.dataset for entry in entries} == {dataset}
    tte = file.stem.split("__")[0].endswith("_tte")
    assert {entry.tte for entry in entries} == {tte}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_its_header_says_how_to_run_it_and_what_was_published(
    file: Path, found: dict[str, list[Published]]
) -> None:
    header = "".join(
        line.removeprefix("#") for line in file.read_text("utf-8").splitlines(keepends=True)
        if line.startswith("#")
    )  # fmt: skip
    assert f"--config configs/reproduce/{file.name}" in header
    numbers = set(re.findall(r"\d\d\.\d{1,2}", header))
    for entry in found[file.stem]:
        for value in (entry.values or {}).values():
            assert f"{value:.1f}" in numbers or f"{value:.2f}" in numbers, (entry.name, value)
        if entry.backbone not in (IN21K, B16):
            assert f"--backbone {entry.backbone}" in header
    assert all(len(line) <= 100 for line in file.read_text("utf-8").splitlines())


def test_every_published_row_of_ours_has_its_file(found: dict[str, list[Published]]) -> None:
    covered = [entry for entries in found.values() for entry in entries]
    for entry in published():
        if entry.values is None or entry.method is None or not _is_ours(entry.backbone):
            continue
        assert entry in covered, f"{entry.name} on {entry.dataset} with {entry.backbone}"


def _is_ours(backbone: str) -> bool:
    try:
        identify(backbone)
    except UserError:
        return False
    return True


def test_groups_at_other_ratios_are_those_of_ratio_100() -> None:
    for ratio in (10, 50):
        cell = cell_of(ROOT / f"configs/reproduce/lift_tte__cifar100_lt_ir{ratio}.yaml")
        assert cell.dataset_config["group_counts"] == "ir100"
        assert cell.dataset_config["imbalance"] == ratio


def test_a_file_with_another_recipe_would_be_noticed() -> None:
    cell = cell_of(ROOT / "configs/reproduce/lift__imagenet_lt.yaml")
    assert reproduced_by(cell)
    assert not reproduced_by(replace(cell, config=cell.config | {"epochs": 5}))
    assert not reproduced_by(replace(cell, transform="checkpoint"))
