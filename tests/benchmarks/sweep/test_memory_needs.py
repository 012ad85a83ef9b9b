"""Estimates of memory: from records where there are any, otherwise from sizes, rather too high."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.memory_needs import GPU_PROCESS, MB, PROCESS, MemoryNeeds
from benchmarks.sweep.settings import read_sweep
from tests.results.factory import make_record

GB = 2**30


def cells(methods: str, dataset: str = "imagenet_lt", **flags: Any) -> list[Cell]:
    return plan.expand(
        read_sweep(None, {"methods": methods, "datasets": dataset, "seeds": "0"} | flags)
    ).cells


def needs(method: str, gpu: bool = False, **flags: Any) -> float:
    memory = MemoryNeeds((), gpu=gpu).together(cells(method, **flags))
    return memory.gpu if gpu else memory.host


def test_what_grows_needs_more() -> None:
    large = {"backbone": "ViT-L-14-quickgelu/openai"}
    assert needs("lift") > needs("linear_probe") > PROCESS
    assert needs("lift", **large) > needs("lift")
    assert needs("coop") > needs("coop", dataset="cifar100_lt") + GB
    assert needs("lift", set=["lift.batch_size=8"]) < needs("lift")
    together = cells("linear_probe", seeds="0,1,2,3")
    some = MemoryNeeds((), gpu=False)
    # Three more heads of 1,000 x 512 numbers, with gradients, momenta and copies.
    more = some.together(together).host - some.together(together[:1]).host
    assert more == 3 * 6 * 4 * 1000 * 512


def test_a_training_step_of_a_vit_takes_gigabytes() -> None:
    """128 images of 197 tokens, 12 blocks, 768 wide: activations of autograd take 8 to 20 GiB."""
    assert 8 * GB < needs("lift", set=["lift.batch_size=128"]) < 24 * GB


def test_unknown_sizes_are_not_small() -> None:
    assert needs("lift", backbone="RN50-quickgelu/openai") > PROCESS + 2 * GB


def test_records_go_before_sizes() -> None:
    (cell,) = cells("lift")
    record = make_record()
    cost = dataclasses.replace(record.cost, peak_memory_mb=5000.0, gpu=None)
    similar = dataclasses.replace(
        record, method="lift", dataset=cell.dataset, backbone=cell.backbone.name, cost=cost
    )
    # The peak of a worker is that of all its cells, so the least says most.
    lower = dataclasses.replace(similar, cost=dataclasses.replace(cost, peak_memory_mb=4000.0))
    on_gpu = dataclasses.replace(
        similar, cost=dataclasses.replace(cost, peak_memory_mb=100.0, gpu="a GPU")
    )
    records = [similar, lower, on_gpu]
    assert MemoryNeeds(records, gpu=False).together([cell]).host == 4000 * MB
    found = MemoryNeeds(records, gpu=True).together([cell])
    assert found.gpu == pytest.approx(100 * MB + GPU_PROCESS)
    assert PROCESS < found.host < 4000 * MB
