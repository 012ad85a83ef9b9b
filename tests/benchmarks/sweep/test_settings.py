from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import UserError
from benchmarks.sweep.settings import (
    Choice,
    Sweep,
    read_sweep,
    shard_of,
    split_labels,
)

# ---- flags ---------------------------------------------------------------------------------------


def test_without_anything_the_sweep_is_the_default_one() -> None:
    assert read_sweep(None, {"methods": None, "out": None}) == Sweep()


def test_flags_are_parsed() -> None:
    sweep = read_sweep(
        None,
        {
            "methods": " lift , sage,",
            "datasets": "cifar100_lt",
            "seeds": "2,0,2",
            "set": ["lift.lr=0.1", "a.b.c=x=y"],
            "out": "~/runs",
            "shard": "2/4",
            "offline": True,
            "plugin": ["p.py"],
        },
    )
    assert sweep.methods == (Choice("lift"), Choice("sage"))
    assert sweep.datasets == (Choice("cifar100_lt"),)
    assert sweep.seeds == (2, 0)  # a seed given twice is one seed
    assert sweep.set == (("lift", "lr", "0.1"), ("a.b", "c", "x=y"))
    assert sweep.out == Path.home() / "runs"
    assert shard_of(sweep.shard) == (1, 4)
    assert sweep.offline is True
    assert sweep.plugin == (Path("p.py"),)


@pytest.mark.parametrize(
    "seeds",
    ["", ",", "-1", "one", "1.5", "0-", "-4", "0..4", "²", "1 2", str(2**32), "1" * 30, "0,x"],
)
def test_nonsense_for_seeds(seeds: str) -> None:
    for name in ("seeds", "split_seeds"):
        with pytest.raises(UserError, match=f"--{name.replace('_', '-')}.*0,1,2"):
            read_sweep(None, {name: seeds})


def test_the_largest_seed() -> None:
    assert read_sweep(None, {"seeds": str(2**32 - 1)}).seeds == (2**32 - 1,)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("lift", ("lift",)),
        (" lift , sage,", ("lift", "sage")),
        ("", ()),
        ("lift (tau=1, widths=[1, 2]),sage", ("lift (tau=1, widths=[1, 2])", "sage")),
        ("a),b", ("a)", "b")),
    ],
)
def test_labels_are_split_at_commas_outside_of_brackets(text: str, labels: Any) -> None:
    assert split_labels(text) == labels


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "1/", "/2", "a/b", "-1/2", "²/3", "1/2/3"])
def test_nonsense_for_shards(shard: str) -> None:
    with pytest.raises(UserError, match="I/N"):
        read_sweep(None, {"shard": shard})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("protocol", "fair", "paper, equal"),
        ("select", "test", "last, val"),
        ("rerun", "never", "missing, failed, always"),
        ("device", "gpu", "auto, cpu, cuda, mps"),
        ("precision", "fp16", "auto, fp32, bf16"),
        ("groups", "third", "thirds"),
        ("out", "", "not a path"),
        ("data_root", "", "not a path"),
        # What an unset shell variable leaves behind.
        ("methods", "", "no name"),
        ("datasets", " , ", "no name"),
        ("set", ["lift.lr"], "NAME.FIELD=VALUE"),
        ("set", ["lr=1"], "NAME.FIELD=VALUE"),
        ("set", [".lr=1"], "NAME.FIELD=VALUE"),
        ("set", ["lift.=1"], "NAME.FIELD=VALUE"),
    ],
)
def test_values_that_a_flag_does_not_take(name: str, value: Any, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        read_sweep(None, {name: value})
    assert f"--{name.replace('_', '-')}" in str(caught.value)


# ---- YAML ----------------------------------------------------------------------------------------


@pytest.fixture
def yaml_file(tmp_path: Path) -> Any:
    def write(text: str | bytes) -> Path:
        file = tmp_path / "sweep.yaml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    return write


def test_a_sweep_in_yaml(yaml_file: Any) -> None:
    file = yaml_file(
        """
        methods:
          - zero_shot
          - sage: {lr: 1e-3, text: both}
        datasets:
          - cifar100_lt
          - cifar100_lt_ir50
          - glyphs100_lt: {imbalance: 10, total: fixed}
        seeds: 3
        set:
          cifar100_lt: {imbalance: 20}
        data_root: /data
        offline: true
        """
    )
    assert read_sweep(file, {}) == Sweep(
        methods=(Choice("zero_shot"), Choice("sage", (("lr", "1e-3"), ("text", "both")))),
        datasets=(
            Choice("cifar100_lt"),
            Choice("cifar100_lt_ir50"),
            Choice("glyphs100_lt", (("imbalance", 10), ("total", "fixed"))),
        ),
        seeds=(3,),
        set=(("cifar100_lt", "imbalance", 20),),
        data_root=Path("/data"),
        offline=True,
    )


def test_every_field_of_a_sweep_is_a_key(yaml_file: Any) -> None:
    """A field that the reader does not know would end in a wrong type instead of its own."""
    values = {
        "methods": "lift", "datasets": "d", "seeds": "[1]", "split_seeds": "[2]", "backbone": "b",
        "set": "{a: {b: 1}}", "data_root": "r", "out": "o", "protocol": "equal", "select": "val",
        "rerun": "always", "accept_stale": "true", "groups": "oltr", "shard": "1/2",
        "device": "cuda", "precision": "fp32", "group_counts": "ir100", "save_logits": "true",
        "offline": "true", "plugin": "[p.py]", "compare": "lift", "margin": "1.5",
        "recipes": "[r.yaml]",
        "transform": "lift", "image_size": "336", "remark": "hello", "save_model": "true",
        "check_data": "true", "no_deterministic": "true", "cell_timeout": "60",
        "report": "{sort: rank}", "max_failures": "3", "gpus": "[0, 1]", "per_gpu": "2",
        "track": "[tensorboard:board]",
    }  # fmt: skip
    no_keys = {"narrowed", "recipe_flags", "jobs", "ray"}  # these exclude gpus
    assert values.keys() == {f.name for f in dataclasses.fields(Sweep)} - no_keys
    sweep = read_sweep(yaml_file("\n".join(f"{k}: {v}" for k, v in values.items())), {})
    default = Sweep()
    assert all(getattr(sweep, name) != getattr(default, name) for name in values)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e9", "soon"])
def test_a_limit_of_time_is_a_number_of_seconds(text: str) -> None:
    assert read_sweep(None, {"cell_timeout": "2.5"}).cell_timeout == 2.5
    with pytest.raises(UserError, match="--cell-timeout"):
        read_sweep(None, {"cell_timeout": text})


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "nan", "1e10", "all", "none", "true"])
def test_a_limit_of_failures_is_a_positive_whole_number(text: str) -> None:
    assert read_sweep(None, {"max_failures": "2"}).max_failures == 2
    with pytest.raises(UserError, match="--max-failures"):
        read_sweep(None, {"max_failures": text})


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "", "many", "2000", "true"])
def test_a_number_of_workers_is_a_whole_number(yaml_file: Any, text: str) -> None:
    assert read_sweep(yaml_file("jobs: 2"), {}).jobs == "2"
    assert read_sweep(None, {"jobs": "auto"}).jobs == "auto"
    assert read_sweep(None, {"gpus": "auto", "per_gpu": "3"}).per_gpu == 3
    with pytest.raises(UserError, match=r"--jobs: .* is not a number of workers"):
        read_sweep(None, {"jobs": text})
    with pytest.raises(UserError, match=r"--per-gpu: .* is not a number of workers"):
        read_sweep(None, {"gpus": "auto", "per_gpu": text})


def test_gpus_are_numbers_or_all(yaml_file: Any) -> None:
    assert read_sweep(yaml_file("gpus: [3, 0, 3]"), {}).gpus == "3,0"
    assert read_sweep(None, {"gpus": "auto"}).gpus == "auto"
    for text in ("", "-1", "a", "0,auto", "0;1"):
        with pytest.raises(UserError, match=r"--gpus: .* is neither auto nor numbers of GPUs"):
            read_sweep(None, {"gpus": text})


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"gpus": "0", "jobs": "2"}, "--per-gpu N puts several on each"),
        ({"gpus": "0", "device": "cpu"}, "--gpus and --device cpu contradict"),
        ({"per_gpu": "2"}, "--per-gpu needs --gpus"),
        ({"ray": "auto", "gpus": "0"}, "--ray and --gpus: Ray itself divides"),
        ({"ray": "auto", "shard": "1/2"}, "--ray and --shard: Ray itself divides"),
        ({"ray": "local", "device": "mps"}, "--ray and --device mps"),
    ],
)
def test_settings_of_workers_that_exclude_each_other(flags: dict[str, str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        read_sweep(None, flags)


def test_flags_go_before_yaml(yaml_file: Any) -> None:
    file = yaml_file(
        "{methods: [lift], seeds: [5], set: {lift: {lr: 1, tau: 2}}, plugin: a.py, recipes: a.yaml}"
    )
    flags = {"seeds": "7", "set": ["lift.lr=9"], "plugin": ["b.py"], "recipes": ["b.yaml"]}
    sweep = read_sweep(file, flags)
    assert sweep.methods == (Choice("lift"),)
    assert sweep.seeds == (7,)
    # One more --set does not undo what the file sets; of one field the last value holds.
    assert sweep.set == (("lift", "lr", 1), ("lift", "tau", 2), ("lift", "lr", "9"))
    assert sweep.plugin == (Path("a.py"), Path("b.py"))
    assert sweep.recipes == (Path("a.yaml"), Path("b.yaml"))


def test_seeds_may_be_ranges(yaml_file: Any) -> None:
    assert read_sweep(None, {"seeds": "0-2,7, 2 - 3"}).seeds == (0, 1, 2, 7, 3)
    assert read_sweep(yaml_file("seeds: 1-3\nsplit_seeds: [0, 4-5]"), {}).split_seeds == (0, 4, 5)


def test_what_to_compare_with_is_one_label_or_several(yaml_file: Any) -> None:
    def compare(text: str) -> tuple[str, ...]:
        return read_sweep(yaml_file(f"compare: {text}"), {}).compare

    assert compare("lift") == ("lift",)
    assert compare("[lift, 'sage (guidance=none, tau=1)']") == (
        "lift",
        "sage (guidance=none, tau=1)",
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("compare: 3", "compare: '3' is not text"),
        ("datsets: [a]", "'datsets'.*datasets"),
        ("- a\n- b", "a sweep is a mapping"),
        ("", "a sweep is a mapping"),
        ("just words", "a sweep is a mapping"),
        ("methods:\n\t- lift", "not valid YAML"),
        ("methods: [lift", "not valid YAML"),
        ("seeds: 2020-13-45", "not valid YAML"),  # PyYAML's ValueError
        (b"\xff\xfe\x00", "not valid YAML"),
        ("seeds: lots", "seeds.*not a seed"),
        ("seeds: [true]", "seeds.*not a seed"),
        ("seeds: [0.5]", "seeds.*not a seed"),
        ("seeds: []", "seeds.*no seed"),
        ("seeds: 4-0", "'4-0': a range goes from a seed to a larger one"),
        ("seeds: 0-10000", "at most 10,000 seeds"),
        ("seeds: 4294967290-4294967296", "not a seed"),
        ("seeds: 1-2-3", "'1-2-3' is not a seed"),
        ("methods: []", "no name"),
        ("methods: [{lift: null}]", "name: {field: value}"),
        ("methods: {lift: {lr: 1}, sage: {lr: 1}}", "name: {field: value}"),
        ("methods: [3]", "name: {field: value}"),
        ("datasets: [3]", "datasets: an entry is .*name: {field: value}"),
        ("datasets: [{glyphs100_lt: 10}]", "datasets: an entry is .*name: {field: value}"),
        ("set: {lift: 3}", "NAME: {FIELD: VALUE}"),
        ("set: 3", "NAME.FIELD=VALUE"),
        ("offline: maybe", "offline.*true or false"),
        ("backbone: 3", "backbone.*text"),
        ("out: 3", "out.*not a path"),
        ("protocol: [paper]", "protocol.*text"),
    ],
)
def test_yaml_that_cannot_be_used(yaml_file: Any, text: str | bytes, says: str) -> None:
    file = yaml_file(text)
    with pytest.raises(UserError, match=says) as caught:
        read_sweep(file, {})
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_yaml_file_that_is_not_there(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "no.yaml", "No such file"), (tmp_path, "a folder, not a file")):
        with pytest.raises(UserError, match=why):
            read_sweep(path, {})


def test_a_ray_cluster_is_named_by_its_address(yaml_file: Any) -> None:
    assert read_sweep(yaml_file("ray: auto\njobs: 4\nper_gpu: 2"), {}).ray == "auto"
    assert read_sweep(None, {"ray": "10.0.0.1:6379"}).ray == "10.0.0.1:6379"
    for text in ("", "here", "10.0.0.1", "host:0", "host:70000", "ray://host:10001", ":6379"):
        with pytest.raises(UserError, match=r"--ray: .* is neither auto, local nor the address"):
            read_sweep(None, {"ray": text})
