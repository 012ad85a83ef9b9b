from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import device as devices
from benchmarks.datasets.base import DataSet, Family
from benchmarks.errors import UserError
from benchmarks.protocol import EQUAL_BUDGET
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.plan import Planned
from benchmarks.sweep.settings import Choice, Sweep, read_sweep
from results.schema import Record
from tests.benchmarks.small import make_clip_folder
from tests.results.factory import make_record


def _sweep(folder: Path, methods: str = "linear_probe", **flags: Any) -> Sweep:
    defaults = {"datasets": "glyphs100_lt", "backbone": f"local-dir:{folder}", "device": "cpu"}
    return read_sweep(None, {"methods": methods} | defaults | flags)


def _keys(sweep: Sweep) -> list[str]:
    return [cell.key for cell in plan.expand(sweep).cells]


@pytest.fixture
def cell(clip_folder: Path) -> Cell:
    return plan.expand(_sweep(clip_folder, seeds="0")).cells[0]


# ---- expanding -----------------------------------------------------------------------------------


def test_cells_come_by_data_set_then_method_then_seed(clip_folder: Path) -> None:
    sweep = _sweep(
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


def test_a_method_is_fully_specified(clip_folder: Path) -> None:
    sweep = _sweep(clip_folder, **{"set": ["linear_probe.lr=0.5"]})
    config = plan.expand(sweep).cells[0].config
    assert config["lr"] == 0.5
    assert {"head", "init", "epochs", "batch_size", "weight_decay"} <= config.keys()


def test_one_method_with_several_fields_in_a_sweep(clip_folder: Path) -> None:
    lists = Choice("linear_probe", (("head", "linear"), ("epochs", 3)))
    sweep = dataclasses.replace(
        _sweep(clip_folder, seeds="0"), methods=(Choice("linear_probe"), lists)
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
        _sweep(clip_folder, seeds="0", **{"set": ["glyphs100_lt.n_max=50"]}),
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
    sweep = dataclasses.replace(_sweep(clip_folder), datasets=(choice,))
    with pytest.raises(UserError, match=says) as caught:
        plan.expand(sweep)
    assert "\n" not in str(caught.value)


def test_set_goes_before_the_fields_of_a_yaml_file(clip_folder: Path) -> None:
    sweep = dataclasses.replace(
        _sweep(clip_folder, **{"set": ["linear_probe.epochs=7"]}),
        methods=(Choice("linear_probe", (("epochs", 3), ("lr", 1))),),
    )
    config = plan.expand(sweep).cells[0].config
    assert (config["epochs"], config["lr"]) == (7, 1.0)


def test_a_field_value_that_python_cannot_hash_is_refused_in_a_line(clip_folder: Path) -> None:
    sweep = dataclasses.replace(
        _sweep(clip_folder), methods=(Choice("linear_probe", (("lr", [1, 2]),)),)
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
        plan.expand(_sweep(clip_folder, "lift", **flags))
    assert "\n" not in str(caught.value)


def test_protocol_equal_gives_all_methods_one_budget(clip_folder: Path) -> None:
    def configs(**flags: Any) -> dict[str, dict[str, Any]]:
        sweep = _sweep(clip_folder, "zero_shot,linear_probe,lift", seeds="0", **flags)
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
        _sweep(clip_folder, protocol="equal"), methods=(Choice("lift", (("epochs", 3),)),)
    )
    assert plan.expand(in_yaml).cells[0].config["epochs"] == 3


def test_the_protocol_is_paper_unless_the_backbone_is_the_embedded_one(clip_folder: Path) -> None:
    assert plan.expand(_sweep(clip_folder)).cells[0].protocol == "paper"
    embedded = plan.expand(_sweep(clip_folder, backbone="")).cells[0]
    assert (embedded.backbone.form, embedded.protocol) == ("embedded", "equal")
    assert (
        plan.expand(_sweep(clip_folder, backbone="", protocol="paper")).cells[0].protocol == "paper"
    )


def test_precision_is_full_on_a_cpu_unless_asked_for(clip_folder: Path) -> None:
    assert plan.expand(_sweep(clip_folder)).cells[0].precision == "fp32"
    asked = _sweep(clip_folder, precision="bf16")
    if devices.has_bf16(torch.device("cpu")):
        assert plan.expand(asked).cells[0].precision == "bf16"
    else:  # a processor, or a virtual machine, on which the product would end the process
        with pytest.raises(UserError, match="fp32 or auto"):
            plan.expand(asked)


def test_the_same_thing_under_several_names_is_one_cell(clip_folder: Path) -> None:
    names = "glyphs100_lt_ir50,glyphs100_lt_ir50.0,glyphs100_lt_ir50"
    by_name = plan.expand(_sweep(clip_folder, datasets=names, seeds="0")).cells
    by_field = plan.expand(
        _sweep(clip_folder, seeds="0", **{"set": ["glyphs100_lt.imbalance=50"]})
    ).cells
    assert [(c.dataset, c.key) for c in by_name] == [(c.dataset, c.key) for c in by_field]
    assert [c.dataset for c in by_name] == ["glyphs100_lt_ir50"]
    default = plan.expand(_sweep(clip_folder, datasets="glyphs100_lt_ir100", seeds="0")).cells
    assert default[0].key == plan.expand(_sweep(clip_folder, seeds="0")).cells[0].key
    assert default[0].dataset == "glyphs100_lt"
    twice = _sweep(clip_folder, "linear_probe,linear_probe", seeds="0")
    assert len(plan.expand(twice).cells) == 1
    defaults_spelt_out = dataclasses.replace(
        twice, methods=(Choice("linear_probe"), Choice("linear_probe", (("head", "cosine"),)))
    )
    assert len(plan.expand(defaults_spelt_out).cells) == 1


def test_cifar_by_name_and_by_field(clip_folder: Path, tmp_path: Path) -> None:
    """Planning needs no data."""
    data = {"data_root": str(tmp_path / "nothing")}
    by_name = _keys(_sweep(clip_folder, datasets="cifar100_lt_ir50", **data))
    by_field = _sweep(
        clip_folder, datasets="cifar100_lt", **data, **{"set": ["cifar100_lt.imbalance=50"]}
    )
    assert by_name == _keys(by_field)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_partition_the_cells(clip_folder: Path, count: int) -> None:
    flags = {"methods": "zero_shot,linear_probe,lift", "datasets": "glyphs100_lt,cifar10_lt"}
    everything = _keys(_sweep(clip_folder, **flags))
    parts = [_keys(_sweep(clip_folder, shard=f"{i}/{count}", **flags)) for i in range(1, count + 1)]
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
        plan.expand(_sweep(clip_folder, **flags))
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
        plan.expand(_sweep(clip_folder, datasets=str(file)))


def test_what_is_compared_must_be_in_the_sweep(clip_folder: Path) -> None:
    sweep = _sweep(clip_folder, "lift,ncm")
    assert plan.expand(dataclasses.replace(sweep, compare=("lift (epochs=10)", "ncm"))).cells
    with pytest.raises(UserError, match=r"'lfit \(epochs=3\)'.*lift"):
        plan.expand(dataclasses.replace(sweep, compare=("lfit (epochs=3)",)))


def test_nothing_to_run() -> None:
    for sweep in (Sweep(methods=(Choice("lift"),)), Sweep(datasets=(Choice("glyphs100_lt"),))):
        with pytest.raises(UserError, match="Nothing to run"):
            plan.expand(sweep)


# ---- keys ----------------------------------------------------------------------------------------


def test_keys_do_not_depend_on_where_a_cell_runs(clip_folder: Path, tmp_path: Path) -> None:
    expected = _keys(_sweep(clip_folder))
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
        assert _keys(_sweep(clip_folder, **flags)) == expected, flags
    assert _keys(_sweep(clip_folder, shard="2/3")) == expected[1:2]


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
    cells = [plan.expand(_sweep(clip_folder, **{"seeds": "0"} | v)).cells[0] for v in variants]
    cells.append(dataclasses.replace(cells[0], precision="bf16"))  # which not every machine has
    assert len({c.key for c in cells}) == len(cells)
    assert len({c.identity for c in cells}) == len(cells)


def test_features_are_named_by_all_that_they_depend_on(clip_folder: Path, tmp_path: Path) -> None:
    other_weights = make_clip_folder(tmp_path / "other", seed=1)
    (first,) = plan.expand(_sweep(clip_folder, seeds="0")).cells

    def name(**flags: Any) -> str:
        return plan.expand(_sweep(clip_folder, **{"seeds": "0"} | flags)).cells[0].features_name

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
    assert plan.expand(_sweep(clip_folder)).cells[0].groups == "lift"
    assert _keys(_sweep(clip_folder)) == _keys(_sweep(clip_folder, groups="lift"))


# ---- what is known already -----------------------------------------------------------------------


def _record(cell: Cell, status: str = "done", **changes: Any) -> Any:
    parts = {} if status == "done" else {"metrics": None, "error": "x"}
    defaults = {"key": cell.key, "identity": cell.identity, "status": status}
    return make_record(cell.method, cell.seed, **parts | defaults | changes)


@pytest.mark.parametrize(
    ("status", "state"),
    [("done", "done"), ("failed", "failed"), ("not_applicable", "not applicable")],
)
def test_a_cell_is_what_its_record_says(cell: Cell, status: str, state: str) -> None:
    record = _record(cell, status)
    other = make_record("lift", key="other", identity="other")
    assert plan.look_up([cell], [other, record]) == [Planned(cell, state, record)]


def test_a_cell_without_record_is_missing(cell: Cell) -> None:
    other = make_record("lift", key="other", identity="other")
    assert plan.look_up([cell], [other]) == [Planned(cell, "missing", None)]


def test_a_record_of_other_source_is_stale(cell: Cell) -> None:
    old = _record(cell, key="old")
    assert plan.look_up([cell], [old]) == [Planned(cell, "stale", old)]
    today = _record(cell)
    assert plan.look_up([cell], [today, old]) == [Planned(cell, "done", today)]


def test_a_record_of_nondeterministic_algorithms_is_stale_by_default(cell: Cell) -> None:
    record = _record(cell, notes=("another", plan.UNREPEATABLE))
    assert plan.look_up([cell], [record]) == [Planned(cell, "stale", record)]
    assert plan.look_up([cell], [record], repeatable=False) == [Planned(cell, "done", record)]


def test_the_newest_finished_of_several_stale_records_is_used(cell: Cell) -> None:
    first = _record(cell, key="b", provenance_finished="2026-01-01T00:00:00+00:00")
    second = _record(cell, key="a", provenance_finished="2026-01-02T00:00:00+00:00")
    broken = _record(cell, "failed", key="c", provenance_finished="2026-01-03T00:00:00+00:00")
    for records in ([first, second, broken], [broken, second, first]):
        assert plan.look_up([cell], records)[0].record == second


RUNS = {
    # state: rerun strategies under which it is computed, and whether --accept-stale keeps it
    "missing": ({"missing", "failed", "always"}, False),
    "stale": ({"missing", "failed", "always"}, True),
    "failed": ({"failed", "always"}, False),
    "done": ({"always"}, False),
    "not applicable": ({"always"}, False),
}


@pytest.mark.parametrize("state", RUNS)
@pytest.mark.parametrize("rerun", ["missing", "failed", "always"])
def test_which_cells_are_computed(cell: Cell, state: str, rerun: str) -> None:
    planned = Planned(cell, state, None)
    strategies, kept = RUNS[state]
    assert planned.to_run(rerun, accept_stale=False) == (rerun in strategies)
    expected = rerun in strategies and (not kept or rerun == "always")
    assert planned.to_run(rerun, accept_stale=True) == expected


def test_a_knob_is_part_of_the_name_and_so_of_the_table(clip_folder: Path) -> None:
    """Two settings of the embedded world are two data sets: they never meet in one table."""

    def name(*assignments: str, data: str = "glyphs100_lt", **flags: Any) -> str:
        sweep = _sweep(clip_folder, datasets=data, seeds="0", set=list(assignments), **flags)
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


@dataclasses.dataclass(frozen=True)
class _OwnPictures(Family):
    """Data of which a record holds the files' hash."""

    name = "pictures"
    task = "single"
    size: int = 8

    def pinned(self) -> dict[str, Any]:
        return {"size": self.size, "files": "today"}

    def load(self, root: Path, split_seed: int) -> DataSet:
        raise NotImplementedError

    def card(self) -> dict[str, str]:
        raise NotImplementedError


def test_records_from_before_the_files_changed_are_counted_if_any_is_missing(cell: Cell) -> None:
    own = dataclasses.replace(cell, family=_OwnPictures(), dataset="pictures")

    def record(key: str, dataset: str = "pictures", **config: Any) -> Record:
        return make_record(key=key, dataset=dataset, dataset_config={"size": 8} | config)

    records = [record("a", files="before"), record("b", files="earlier")]
    records += [record("c", files="today"), record("d", files="before", size=9), record("e")]
    records += [record("f", "other", files="before")]
    for state, found in (("missing", {"pictures": 2}), ("stale", {}), ("done", {}), ("failed", {})):
        assert plan.of_other_data([Planned(own, state, None)], records) == found, state
