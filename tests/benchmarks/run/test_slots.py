"""Places on a machine: GPUs by their visible numbers, threads, and memory that is shared."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.errors import UserError
from benchmarks.run import slots
from benchmarks.run.slots import Pool, Slot, slots_of
from benchmarks.sweep.memory_needs import Memory
from benchmarks.sweep.settings import Sweep

SMI = """#!/bin/sh
echo "0, GPU-aaaa-1, 1000"
echo "1, GPU-bbbb-2, 2000"
echo "2, GPU-cccc-3, 3000"
"""


@pytest.fixture
def three_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose nvidia-smi lists three GPUs with 1000, 2000 and 3000 MiB free."""
    command = tmp_path / "nvidia-smi"
    command.write_text(SMI)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(slots.VISIBLE, raising=False)


def visible(sweep: Sweep) -> list[str]:
    return [slot.environment[slots.VISIBLE] for slot in slots_of(sweep)]


@pytest.mark.usefixtures("three_gpus")
def test_a_worker_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert visible(Sweep(gpus="auto")) == ["0", "1", "2"]
    assert visible(Sweep(gpus="2,0")) == ["2", "0"]
    assert visible(Sweep(gpus="1,2", per_gpu=2)) == ["1", "2", "1", "2"]
    monkeypatch.setenv(slots.VISIBLE, "2,GPU-bb")  # as a queue hands them out
    assert visible(Sweep(gpus="auto")) == ["2", "GPU-bb"]
    assert visible(Sweep(gpus="1")) == ["GPU-bb"]
    with pytest.raises(UserError, match="no GPU 2; this machine has 2 GPUs, numbered from 0"):
        slots_of(Sweep(gpus="0,2"))
    for nothing in ("", "-1", "7"):
        monkeypatch.setenv(slots.VISIBLE, nothing)
        with pytest.raises(UserError, match="no GPU is visible"):
            slots_of(Sweep(gpus="auto"))


@pytest.mark.usefixtures("three_gpus")
def test_workers_of_one_gpu_share_its_memory() -> None:
    first, other, second, _ = slots_of(Sweep(gpus="0,1", per_gpu=2))
    small, large = Memory(host=0, gpu=400 * 2**20), Memory(host=0, gpu=600 * 2**20)
    first.take(large)
    assert not second.fits(large)  # 1200 of 900 MiB
    assert second.fits(Memory(host=0, gpu=200 * 2**20))
    assert other.fits(large)
    first.give_back(large)
    second.take(small)
    assert first.fits(small)


def test_workers_share_main_memory_and_one_alone_always_fits() -> None:
    pool = Pool(100)
    one, two = Slot(pool), Slot(pool)
    huge, small = Memory(host=1000, gpu=0), Memory(host=40, gpu=0)
    assert one.fits(huge)
    one.take(small)
    assert two.fits(small) and not two.fits(huge)
    two.take(small)
    assert not one.fits(small)


def test_threads_are_divided_among_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(slots, "processors", lambda: 12)
    assert [slot.threads for slot in slots_of(Sweep(jobs="5"))] == [2] * 5
    assert [slot.threads for slot in slots_of(Sweep(jobs="20"))] == [1] * 20
    assert [slot.threads for slot in slots_of(Sweep(jobs="auto"))] == [1] * 12
    monkeypatch.setattr(slots, "visible_processors", lambda: 12)
    assert [slot.threads for slot in slots_of(Sweep())] == [None]  # torch's own choice
    monkeypatch.setattr(slots, "visible_processors", lambda: 64)  # a container's share of them
    assert [slot.threads for slot in slots_of(Sweep())] == [12]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [slot.threads for slot in slots_of(Sweep(jobs="2"))] == [3, 3]


@pytest.mark.parametrize(
    ("threads", "jobs", "warns"), [(3, 4, False), (3, 5, True), (1, 20, False)]
)
def test_more_threads_than_cores_are_said(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    threads: int,
    jobs: int,
    warns: bool,
) -> None:
    monkeypatch.setattr(slots, "processors", lambda: 12)
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    assert {slot.threads for slot in slots_of(Sweep(jobs=str(jobs)))} == {threads}
    assert (
        "5 processes of 3 threads each (OMP_NUM_THREADS) share 12 cores" in caplog.text
    ) == warns
