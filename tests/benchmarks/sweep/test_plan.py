"""Cells that a sweep is expanded to."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import device as devices
from benchmarks.errors import UserError
from benchmarks.protocol import EQUAL_BUDGET
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.settings import Choice, Sweep, read_sweep
from methods.registry import METHODS
from tests.benchmarks.sweep.sweeps import keys_of, sweep_of


def test_cells_come_by_data_set_then_method_then_seed(clip_folder: Path) -> None:
    sweep = sweep_of(
        clip_folder,
        "zero_shot,linear_probe",
        datasets="glyphs100_lt,cifar10_lt",
        seeds="1,0",
        split_seeds="0,1",
    )
    cells = [(c.dataset, c.split_seed, c.method, c.seed) for c in plan.expand(sweep).cells]
    assert cells == [
        (data, split, method, seed)
        for data in ("glyphs100_lt", "cifar10_lt")
        for split in (0, 1)
        # A method without randomness is one cell, whatever the seeds.
        for method, seed in (("zero_shot", 0), ("linear_probe", 1), ("linear_probe", 0))
    ]


def test_all_methods_are_those_that_a_sweep_does_not_name(clip_folder: Path) -> None:
    every = sorted(METHODS.entries())
    sweep = sweep_of(clip_folder, "all", seeds="0")
    assert [cell.method for cell in plan.expand(sweep).cells] == every
    tuned = Choice("lift", (("lr", 0.5),))
    mixed = dataclasses.replace(sweep, methods=(Choice("sage"), Choice("all"), tuned))
    cells = plan.expand(mixed).cells
    rest = [name for name in every if name not in ("sage", "lift")]
    assert [cell.method for cell in cells] == ["sage", *rest, "lift"]
    assert cells[-1].config["lr"] == 0.5


def test_a_method_is_fully_specified(clip_folder: Path) -> None:
    sweep = sweep_of(clip_folder, **{"set": ["linear_probe.lr=0.5"]})
    config = plan.expand(sweep).cells[0].config
    assert config["lr"] == 0.5
    assert {"head", "init", "epochs", "batch_size", "weight_decay"} <= config.keys()


def test_one_method_with_several_fields_in_a_sweep(clip_folder: Path) -> None:
    lists = Choice("linear_probe", (("head", "linear"), ("epochs", 3)))
    sweep = dataclasses.replace(
        sweep_of(clip_folder, seeds="0"), methods=(Choice("linear_probe"), lists)
    )
    assert [(c.config["head"], c.config["epochs"]) for c in plan.expand(sweep).cells] == [
        ("cosine", 10),
        ("linear", 3),
    ]


def test_one_data_set_with_several_knobs_in_a_sweep(clip_folder: Path) -> None:
    """Each is a data set of its own; what --set gives holds for all of them."""
    shares = [Choice("glyphs100_lt", (("profile", "step"), ("head_share", h))) for h in (0.1, 0.9)]
    ratio = Choice("glyphs100_lt_ir10", (("total", "fixed"), ("n_max", 70)))
    sweep = dataclasses.replace(
        sweep_of(clip_folder, seeds="0", **{"set": ["glyphs100_lt.n_max=50"]}),
        datasets=(Choice("glyphs100_lt"), *shares, ratio),
    )
    cells = plan.expand(sweep).cells
    assert [c.dataset for c in cells] == [
        "glyphs100_lt (n_max=50)",
        "glyphs100_lt (profile=step, head_share=0.1, n_max=50)",
        "glyphs100_lt (profile=step, head_share=0.9, n_max=50)",
        "glyphs100_lt_ir10 (n_max=50, total=fixed)",
    ]
    assert [c.dataset_config["head_share"] for c in cells] == [0.5, 0.1, 0.9, 0.5]


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (Choice("glyphs100_lt", (("imbalence", 1),)), "data set glyphs100_lt 'imbalence'.*imbalan"),
        (Choice("glyphs100_lt", (("imbalance", [1, 10]),)), "imbalance: .* is not a number"),
        (Choice("glyphs100_lt", (("head_share", 2),)), "head_share: 2 is more than 1"),
        (Choice("glyphs100_lt", (("head_share", 0.1),)), "head_share=0.1 needs profile=step"),
        (Choice("glyphscenes_lt", (("head_share", 0.1),)), "head_share=0.1 needs profile=step"),
        (Choice("cifar100_lt", (("head_share", 0.1),)), "head_share=0.1 needs profile=step"),
        (Choice("glyphscenes_lt", (("world_seed", -1),)), "world_seed: -1 is less than 0"),
        (Choice("glyphs100", (("head_share", 2),)), "Unknown data set 'glyphs100'.*glyphs100_lt"),
    ],
)
def test_knobs_of_a_yaml_file_that_cannot_be(clip_folder: Path, choice: Choice, says: str) -> None:
    sweep = dataclasses.replace(sweep_of(clip_folder), datasets=(choice,))
    with pytest.raises(UserError, match=says) as caught:
        plan.expand(sweep)
    assert "\n" not in str(caught.value)


def test_set_goes_before_the_fields_of_a_yaml_file(clip_folder: Path) -> None:
    sweep = dataclasses.replace(
        sweep_of(clip_folder, **{"set": ["linear_probe.epochs=7"]}),
        methods=(Choice("linear_probe", (("epochs", 3), ("lr", 1))),),
    )
    config = plan.expand(sweep).cells[0].config
    assert (config["epochs"], config["lr"]) == (7, 1.0)


def test_a_field_value_that_python_cannot_hash_is_refused_in_a_line(clip_folder: Path) -> None:
    sweep = dataclasses.replace(
        sweep_of(clip_folder), methods=(Choice("linear_probe", (("lr", [1, 2]),)),)
    )
    with pytest.raises(UserError, match="method linear_probe, field lr"):
        plan.expand(sweep)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"set": ["lift.epochs=1e30"]}, "lift, glyphs100_lt.*record.config.epochs has a wrong"),
        ({"remark": "x" * 30_000}, "record.remark has a wrong type or value: 'xxx"),
        ({"remark": "\x1b[2J"}, r"record.remark has a wrong type or value: '\\x1b\[2J'"),
    ],
)
def test_what_no_record_could_hold_is_refused_before_anything_runs(
    clip_folder: Path, flags: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=says) as caught:
        plan.expand(sweep_of(clip_folder, "lift", **flags))
    assert "\n" not in str(caught.value)


def test_protocol_equal_gives_all_methods_one_budget(clip_folder: Path) -> None:
    def configs(**flags: Any) -> dict[str, dict[str, Any]]:
        sweep = sweep_of(clip_folder, "zero_shot,linear_probe,lift", seeds="0", **flags)
        return {c.method: c.config for c in plan.expand(sweep).cells}

    paper, equal = configs(protocol="paper"), configs(protocol="equal")
    assert paper["linear_probe"]["epochs"] != EQUAL_BUDGET["epochs"]
    for method in ("linear_probe", "lift"):
        given = {k: v for k, v in EQUAL_BUDGET.items() if k in paper[method]}
        assert given.keys() >= {"epochs", "batch_size"}
        assert equal[method] == paper[method] | given
    assert equal["zero_shot"] == paper["zero_shot"]
    # What is asked for by name goes before the protocol.
    own = configs(protocol="equal", **{"set": ["lift.epochs=2"]})
    assert own["lift"]["epochs"] == 2
    in_yaml = dataclasses.replace(
        sweep_of(clip_folder, protocol="equal"), methods=(Choice("lift", (("epochs", 3),)),)
    )
    assert plan.expand(in_yaml).cells[0].config["epochs"] == 3


def test_the_protocol_is_paper_unless_the_backbone_is_the_embedded_one(clip_folder: Path) -> None:
    assert plan.expand(sweep_of(clip_folder)).cells[0].protocol == "paper"
    embedded = plan.expand(sweep_of(clip_folder, backbone="")).cells[0]
    assert (embedded.backbone.form, embedded.protocol) == ("embedded", "equal")
    assert (
        plan.expand(sweep_of(clip_folder, backbone="", protocol="paper")).cells[0].protocol
        == "paper"
    )


def test_precision_is_full_on_a_cpu_unless_asked_for(clip_folder: Path) -> None:
    assert plan.expand(sweep_of(clip_folder)).cells[0].precision == "fp32"
    asked = sweep_of(clip_folder, precision="bf16")
    if devices.has_bf16(torch.device("cpu")):
        assert plan.expand(asked).cells[0].precision == "bf16"
    else:  # a processor, or a virtual machine, on which the product would end the process
        with pytest.raises(UserError, match="fp32 or auto"):
            plan.expand(asked)


def test_the_same_thing_under_several_names_is_one_cell(clip_folder: Path) -> None:
    names = "glyphs100_lt_ir50,glyphs100_lt_ir50.0,glyphs100_lt_ir50"
    by_name = plan.expand(sweep_of(clip_folder, datasets=names, seeds="0")).cells
    by_field = plan.expand(
        sweep_of(clip_folder, seeds="0", **{"set": ["glyphs100_lt.imbalance=50"]})
    ).cells
    assert [(c.dataset, c.key) for c in by_name] == [(c.dataset, c.key) for c in by_field]
    assert [c.dataset for c in by_name] == ["glyphs100_lt_ir50"]
    default = plan.expand(sweep_of(clip_folder, datasets="glyphs100_lt_ir100", seeds="0")).cells
    assert default[0].key == plan.expand(sweep_of(clip_folder, seeds="0")).cells[0].key
    assert default[0].dataset == "glyphs100_lt"
    twice = sweep_of(clip_folder, "linear_probe,linear_probe", seeds="0")
    assert len(plan.expand(twice).cells) == 1
    defaults_spelt_out = dataclasses.replace(
        twice, methods=(Choice("linear_probe"), Choice("linear_probe", (("head", "cosine"),)))
    )
    assert len(plan.expand(defaults_spelt_out).cells) == 1


def test_cifar_by_name_and_by_field(clip_folder: Path, tmp_path: Path) -> None:
    """Planning needs no data."""
    data = {"data_root": str(tmp_path / "nothing")}
    by_name = keys_of(sweep_of(clip_folder, datasets="cifar100_lt_ir50", **data))
    by_field = sweep_of(
        clip_folder, datasets="cifar100_lt", **data, **{"set": ["cifar100_lt.imbalance=50"]}
    )
    assert by_name == keys_of(by_field)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_partition_the_cells(clip_folder: Path, count: int) -> None:
    flags = {"methods": "zero_shot,linear_probe,lift", "datasets": "glyphs100_lt,cifar10_lt"}
    everything = keys_of(sweep_of(clip_folder, **flags))
    parts = [
        keys_of(sweep_of(clip_folder, shard=f"{i}/{count}", **flags)) for i in range(1, count + 1)
    ]
    assert sorted(key for part in parts for key in part) == sorted(everything)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"methods": "lfit"}, "Unknown method 'lfit'.*lift"),
        ({"methods": "LIFT"}, "Unknown method 'LIFT'.*lift"),
        ({"datasets": "glyph100_lt"}, "Unknown data set 'glyph100_lt'.*glyphs100_lt"),
        ({"datasets": "cifar100_lt_irx"}, "Unknown data set 'cifar100_lt_irx'.*cifar100_lt"),
        ({"datasets": "cifar100_lt_ir0"}, "ratio must be 1 or more"),
        ({"backbone": "ViT-B16/openai"}, "Unknown backbone 'ViT-B16'.*ViT-B-16"),
        ({"set": ["linear_probe.epoch=1"]}, "field of method linear_probe 'epoch'.*epochs"),
        ({"set": ["glyphs100_lt.imbalence=1"]}, "'imbalence'.*imbalance"),
        ({"set": ["glyphs100_lt.imbalance=big"]}, "imbalance: 'big' is not a number"),
        ({"set": ["glyphs100_lt.imbalance=0.5"]}, "imbalance"),
        ({"set": ["lift.lr=1"]}, "'lift' is neither a method nor a data set of this sweep"),
        ({"set": ["cifar100_lt.imbalance=1"]}, "'cifar100_lt' is neither"),
    ],
)
def test_what_cannot_be_planned(clip_folder: Path, flags: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        plan.expand(sweep_of(clip_folder, **flags))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["lift", "lift_ir20"])
def test_own_data_cannot_have_the_name_of_a_method(
    name: str, clip_folder: Path, tmp_path: Path
) -> None:
    """`--set lift.lr=1` would mean both."""
    file = tmp_path / "birds.yaml"
    file.write_text(f"images: photos\nname: {name}")
    line = f"{file}: a method of the suite is called '{name}'; give the data another name"
    with pytest.raises(UserError, match=re.escape(line)):
        plan.expand(sweep_of(clip_folder, datasets=str(file)))


def test_what_is_compared_must_be_in_the_sweep(clip_folder: Path) -> None:
    sweep = sweep_of(clip_folder, "lift,ncm")
    assert plan.expand(dataclasses.replace(sweep, compare=("lift (epochs=10)", "ncm"))).cells
    with pytest.raises(UserError, match=r"'lfit \(epochs=3\)'.*lift"):
        plan.expand(dataclasses.replace(sweep, compare=("lfit (epochs=3)",)))


def test_nothing_to_run() -> None:
    for sweep in (Sweep(methods=(Choice("lift"),)), Sweep(datasets=(Choice("glyphs100_lt"),))):
        with pytest.raises(UserError, match="Nothing to run"):
            plan.expand(sweep)


def test_a_knob_is_part_of_the_name_and_so_of_the_table(clip_folder: Path) -> None:
    """Two settings of the embedded world are two data sets: they never meet in one table."""

    def name(*assignments: str, data: str = "glyphs100_lt", **flags: Any) -> str:
        sweep = sweep_of(clip_folder, datasets=data, seeds="0", set=list(assignments), **flags)
        return plan.expand(sweep).cells[0].dataset

    assert name() == "glyphs100_lt"
    assert name("glyphs100_lt.imbalance=10") == "glyphs100_lt_ir10"
    assert name("glyphs100_lt.n_max=50", data="glyphs100_lt_ir10") == "glyphs100_lt_ir10 (n_max=50)"
    assert name(data="cifar100_lt_ir10") == "cifar100_lt_ir10"
    grouped = name(data="cifar100_lt_ir10", group_counts="ir100")
    assert grouped == "cifar100_lt_ir10 (group_counts=ir100)"


def test_the_default_backbone_and_protocol_follow_the_data(clip_folder: Path) -> None:
    def first(**flags: Any) -> Cell:
        return plan.expand(read_sweep(None, {"methods": "ncm", "device": "cpu"} | flags)).cells[0]

    embedded, real = first(datasets="glyphs100_lt"), first(datasets="cifar100_lt")
    assert (embedded.backbone.name, embedded.protocol) == ("glyph", "equal")
    assert (real.backbone.name, real.protocol) == ("ViT-B-16-quickgelu/openai", "paper")
