"""Keys of planned cells."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from tests.benchmarks.small import make_clip_folder
from tests.benchmarks.sweep.sweeps import keys_of, sweep_of


def test_keys_do_not_depend_on_where_a_cell_runs(clip_folder: Path, tmp_path: Path) -> None:
    expected = keys_of(sweep_of(clip_folder))
    elsewhere = make_clip_folder(tmp_path / "a copy of the same weights")
    for flags in (
        {"data_root": str(tmp_path)},
        {"out": str(tmp_path)},
        {"device": "auto", "precision": "fp32"},
        {"rerun": "always"},
        {"offline": True},
        {"accept_stale": True},
        {"backbone": f"local-dir:{elsewhere}"},
    ):
        assert keys_of(sweep_of(clip_folder, **flags)) == expected, flags
    assert keys_of(sweep_of(clip_folder, shard="2/3")) == expected[1:2]


def test_keys_depend_on_everything_else(clip_folder: Path, tmp_path: Path) -> None:
    other_weights = make_clip_folder(tmp_path / "other", seed=1)
    variants = [
        {},
        {"seeds": "1"},
        {"split_seeds": "1"},
        {"protocol": "equal"},
        {"select": "val"},
        {"groups": "thirds"},
        {"backbone": f"local-dir:{other_weights}"},
        {"datasets": "glyphs100_lt_ir10"},
        {"datasets": "cifar10_lt"},
        {"set": ["glyphs100_lt.world_seed=1"]},
        {"set": ["linear_probe.lr=0.5"]},
        {"methods": "logit_adjustment"},
    ]
    cells = [plan.expand(sweep_of(clip_folder, **{"seeds": "0"} | v)).cells[0] for v in variants]
    cells.append(dataclasses.replace(cells[0], precision="bf16"))  # which not every machine has
    assert len({c.key for c in cells}) == len(cells)
    assert len({c.identity for c in cells}) == len(cells)


def test_features_are_named_by_all_that_they_depend_on(clip_folder: Path, tmp_path: Path) -> None:
    other_weights = make_clip_folder(tmp_path / "other", seed=1)
    (first,) = plan.expand(sweep_of(clip_folder, seeds="0")).cells

    def name(**flags: Any) -> str:
        return plan.expand(sweep_of(clip_folder, **{"seeds": "0"} | flags)).cells[0].features_name

    others = [
        name(transform="lift"),
        name(split_seeds="1"),
        name(select="val"),
        name(datasets="glyphs100_lt_ir10"),
        name(datasets="glyphscenes_lt"),
        name(backbone=f"local-dir:{other_weights}"),
        dataclasses.replace(first, precision="bf16").features_name,  # not on every machine
    ]
    assert len({first.features_name, *others}) == 1 + len(others)
    for shared in ({"seeds": "1"}, {"methods": "ncm"}, {"groups": "thirds"}, {"remark": "hello"}):
        assert name(**shared) == first.features_name, shared


def test_a_methods_source_changes_the_key_and_not_the_identity(cell: Cell) -> None:
    edited = dataclasses.replace(cell, fingerprint="0" * 16)
    assert edited.key != cell.key
    assert edited.identity == cell.identity


def test_groups_are_named_in_the_cell(clip_folder: Path) -> None:
    """`auto` and the rule that it chooses are one cell."""
    assert plan.expand(sweep_of(clip_folder)).cells[0].groups == "lift"
    assert keys_of(sweep_of(clip_folder)) == keys_of(sweep_of(clip_folder, groups="lift"))
