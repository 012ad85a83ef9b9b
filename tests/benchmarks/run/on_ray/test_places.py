"""Places on a cluster, and what is refused."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import run_benchmarks
from benchmarks.errors import UserError
from benchmarks.run.ray_cluster import places
from benchmarks.sweep.memory_needs import Memory
from benchmarks.sweep.settings import Sweep
from tests.benchmarks.small import DATA


@pytest.mark.children
@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--ray", "127.0.0.1:1"], "--ray 127.0.0.1:1: nothing answers there"),
        (["--ray", "local", "--debug"], "leave --jobs, --gpus and --ray out"),
        (["--ray", "local", "--gpus", "0"], "--ray and --gpus"),
        (["--ray", "nowhere"], "neither auto, local nor the address"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], says: str
) -> None:
    words = ["--methods", "ncm", *DATA, "--device", "cpu", "--out", str(tmp_path / "none"), *flags]
    if "--debug" in flags:
        with pytest.raises(UserError, match=says):
            run_benchmarks.main(words)
    else:
        assert run_benchmarks.main(words) == 2
        assert says in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "none").exists()


def test_ray_is_an_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run_benchmarks.main(["--ray", "local", "--out", str(tmp_path / "none")]) == 2
    assert "--ray needs the package ray: `pip install -e '.[ray]'`" in capsys.readouterr().err


def test_places_are_made_of_cpus_and_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    nodes = [{"CPU": 8.0, "memory": 4e9}, {"CPU": 5.0, "GPU": 2.0, "memory": 9e9}]
    sweep = Sweep(ray="auto", device="cpu")

    def made(gpu: bool = False, **flags: Any) -> tuple[int, int | None, float, float]:
        found = places(replace(sweep, **flags), nodes, gpu=gpu)
        assert {slot.largest for slot in found} == {9e9}
        return len(found), found[0].threads, found[0].cpus, found[0].gpus

    assert made() == (13, 1, 1, 0.0)
    assert made(jobs="3") == (3, 4, 4, 0.0)  # 5 would leave two places
    assert made(jobs="20") == (13, 1, 1, 0.0)
    assert made(gpu=True) == (2, 2, 2, 1.0)
    # All 8 places find a part of the 5 CPUs.
    assert made(gpu=True, per_gpu=4) == (8, 1, 0.62, 0.25)
    assert made(gpu=True, per_gpu=4, jobs="3") == (3, 1, 0.62, 0.25)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert made() == (2, 5, 5, 0.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "9")
    with pytest.raises(UserError, match="no node of the cluster has 9 CPUs"):
        made()
    with pytest.raises(UserError, match="no node of the cluster has a GPU"):
        places(sweep, nodes[:1], gpu=True)
    with pytest.raises(UserError, match="the cluster has GPUs, and this machine sees none"):
        made(device="auto")
    with pytest.raises(UserError, match="--per-gpu: the cells of this run use no GPU"):
        made(per_gpu=2)


def test_a_place_asks_for_the_memory_of_its_unit() -> None:
    one, two = places(
        Sweep(ray="auto", device="cpu", jobs="2"), [{"CPU": 2, "memory": 1e9}], gpu=False
    )
    small, large = Memory(host=4e8, gpu=0), Memory(host=5e9, gpu=0)
    one.take(small)
    assert one.memory == 4e8 and two.memory == 0
    assert two.fits(small) and not two.fits(large)
    one.give_back(small)
    two.take(large)  # alone, and no node has so much
    assert two.memory == 1e9
