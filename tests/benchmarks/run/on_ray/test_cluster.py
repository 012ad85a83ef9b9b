"""Runs on a real cluster: the same numbers, whatever dies on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from textwrap import dedent

import pytest

from tests.benchmarks.run.on_ray.clusters import DATA_SET, LIMIT_S, Nodes, World, ended
from tests.benchmarks.small import DATA
from tests.conftest import ROOT


@pytest.mark.slow
def test_a_cluster_writes_what_one_process_writes(world: World, nodes: Nodes) -> None:
    process = world.start("two", "--ray", nodes.address, hold=True)
    # Two cells wait on different nodes until both run.
    world.wait("two", lambda: len({node for s, node, _ in world.fits("two") if s}) == 2, process)
    world.release("two")
    status, printed = ended(process)
    assert status == 0, printed
    assert "raylet" not in printed and "Traceback" not in printed
    world.same("two")
    assert Counter(seed for seed, *_ in world.fits("two")) == dict.fromkeys(range(4), 1)


@pytest.mark.slow
def test_a_method_that_kills_its_process_is_a_failed_cell_and_no_lost_node(
    world: World, nodes: Nodes
) -> None:
    status, printed = world.run("dead", "--ray", nodes.address, "--set", "told.how=kill")
    assert status == 1, printed
    found = world.records("dead")
    assert {s for (m, s), r in found.items() if r.status == "failed"} == set(range(4))
    assert "SIGKILL" in str(found["told", 0].error)
    assert found["ncm", 0].status == found["linear_probe", 3].status == "done"
    assert Counter(seed for seed, *_ in world.fits("dead")) == dict.fromkeys(range(4), 1)
    assert "run again" not in printed


@pytest.mark.slow
def test_an_actor_that_is_killed_loses_no_cell(world: World, nodes: Nodes) -> None:
    process = world.start("actor", "--ray", nodes.address, hold=True)
    world.wait("actor", lambda: any(seed for seed, *_ in world.fits("actor")), process)
    lost, _, actor = next(fit for fit in world.fits("actor") if fit[0])
    os.kill(actor, signal.SIGKILL)
    world.wait("actor", lambda: [s for s, *_ in world.fits("actor")].count(lost) == 2, process)
    world.release("actor")
    status, printed = ended(process)
    assert status == 0, printed
    assert "run again" in printed
    world.same("actor")


@pytest.mark.slow
def test_a_driver_that_is_killed_goes_on_with_the_same_command(world: World, nodes: Nodes) -> None:
    process = world.start("again", "--ray", nodes.address, hold=True)

    def waiting() -> bool:
        return bool(list((world.folder / "again").glob("records/*.json"))) and any(
            seed for seed, *_ in world.fits("again")
        )

    world.wait("again", waiting, process)
    process.kill()
    process.communicate()
    kept = world.records("again")
    before = Counter(seed for seed, *_ in world.fits("again"))
    status, printed = world.run("again", "--ray", nodes.address)
    assert status == 0, printed
    world.same("again")
    fits = Counter(seed for seed, *_ in world.fits("again"))
    for seed in range(4):  # what has a record is not fitted again
        expected = before[seed] if ("told", seed) in kept else before[seed] + 1
        assert fits[seed] == expected


@pytest.mark.slow
def test_a_cell_that_takes_too_long_fails_and_its_place_goes_on(world: World, nodes: Nodes) -> None:
    words = [
        "--methods",
        "told,linear_probe",
        "--seeds",
        "0,1",
        "--jobs",
        "1",
        "--cell-timeout",
        "15",
    ]
    status, printed = ended(world.start("late", "--ray", nodes.address, *words, hold=True))
    assert status == 1, printed
    found = world.records("late")
    assert found["told", 0].status == "done"
    assert "--cell-timeout" in str(found["told", 1].error)
    assert Counter(seed for seed, *_ in world.fits("late")) == {0: 1, 1: 1}


@pytest.mark.slow
def test_no_more_cells_are_started_after_too_many_failures(world: World, nodes: Nodes) -> None:
    words = [
        "--methods",
        "told,linear_probe",
        "--set",
        "told.how=kill",
        "--jobs",
        "1",
        "--max-failures",
        "1",
    ]
    status, printed = world.run("enough", "--ray", nodes.address, *words)
    assert status == 1
    assert "1 cell failed (--max-failures 1)" in " ".join(printed.split())
    assert [r.status for r in world.records("enough").values()] == ["failed"]
    assert len(world.fits("enough")) == 1


@pytest.mark.slow
def test_an_interruption_records_nothing_of_what_it_stops(world: World, nodes: Nodes) -> None:
    process = world.start("stopped", "--ray", nodes.address, hold=True)
    world.wait("stopped", lambda: any(seed for seed, *_ in world.fits("stopped")), process)
    actors = {actor for seed, _, actor in world.fits("stopped") if seed}
    process.send_signal(signal.SIGINT)
    status, printed = ended(process)
    assert status == 130, printed
    assert "The same command continues from here." in " ".join(printed.split())
    kept = world.records("stopped")
    assert all(r.status == "done" for r in kept.values())
    assert not [row for row in kept if row[0] == "told" and row[1]]
    assert not (world.folder / "stopped" / "claims").exists()
    until = time.monotonic() + 60
    while any(Path(f"/proc/{actor}").exists() for actor in actors):
        assert time.monotonic() < until
        time.sleep(0.1)
    status, printed = world.run("stopped", "--ray", nodes.address)
    assert status == 0, printed
    world.same("stopped")


@pytest.mark.slow
def test_a_cluster_of_this_machine_alone_is_started_and_ended(world: World, nodes: Nodes) -> None:
    process = world.start("local", "--ray", "local", hold=True)
    world.wait("local", lambda: any(seed for seed, *_ in world.fits("local")), process)
    raylets = {node for _, node, _ in world.fits("local")}
    assert all(raylets)
    world.release("local")
    status, printed = ended(process)
    assert status == 0, printed
    world.same("local")
    until = time.monotonic() + 60
    while any(Path(f"/proc/{raylet}").exists() for raylet in raylets):
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.slow
def test_arrays_travel_and_other_data_must_be_there(world: World, nodes: Nodes) -> None:
    file = world.folder / "data" / "elsewhere.py"
    file.parent.mkdir()
    file.write_text(dedent(DATA_SET))
    words = ["--plugin", str(file), "--datasets", "elsewhere", "--select", "val"]
    status, printed = world.run("arrays", *words)
    assert status == 0, printed
    status, printed = world.run("sent", *words, "--ray", nodes.address)
    assert status == 0, printed
    one, two = world.records("arrays"), world.records("sent")
    assert one.keys() == two.keys() and len(one) == 9
    for row, record in one.items():
        assert two[row].key == record.key and two[row].metrics == record.metrics
        assert record.provenance is not None and two[row].provenance is not None
        assert two[row].provenance.split_hash == record.provenance.split_hash
    status, printed = world.run(
        "absent", *words, "--ray", nodes.address, "--set", "elsewhere.files=true"
    )
    assert status == 2
    assert "its files are not here. (On the node " in " ".join(printed.split())
    assert world.records("absent") == {}


ON_GPUS = """
    import sys
    from dataclasses import replace
    from benchmarks.run import runner
    from benchmarks.run.display import Silent
    from benchmarks.run.options import RunOptions
    from benchmarks.run.ray_cluster import ray_slots
    from benchmarks.sweep import plan
    from benchmarks.sweep.settings import read_sweep

    folder, address, out = sys.argv[1:]
    sweep = read_sweep(None, {
        "methods": "told", "seeds": "1,2,3,4", "datasets": "glyphs100_lt", "device": "cpu",
        "plugin": [f"{folder}/told.py"], "out": out, "backbone": f"local-dir:{folder}/small_clip",
        "set": [f"glyphs100_lt.{x}" for x in ("classes=4", "n_max=35", "test_per_class=4")],
    })
    cells = plan.expand(sweep).cells
    options = RunOptions.of(sweep)  # of the processor, in places that GPUs make
    on_ray = replace(sweep, ray=address, per_gpu=2)
    options = replace(options, slots=tuple(ray_slots(on_ray, gpu=True)))
    assert {r.status for r in runner.run(cells, options, Silent())} == {"done"}
"""


@pytest.mark.slow
def test_a_worker_sees_the_gpu_of_its_place(world: World, nodes: Nodes) -> None:
    """Two places on each of two GPUs, in which Ray believes; four cells wait for each other."""
    out, log = world.folder / "gpus", world.folder / "gpus.log"
    log.touch()
    process = subprocess.Popen(
        [sys.executable, "-c", dedent(ON_GPUS), str(world.folder), nodes.address, str(out)],
        env=os.environ | {
            "LONGTAIL_VLM_TEST_LOG": str(log), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
            "LONGTAIL_VLM_TEST_HOLD": str(world.folder / "gpus.go"),
        },
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    world.wait("gpus", lambda: len(world.fits("gpus")) == 4, process)
    world.release("gpus")
    status, printed = ended(process)
    assert status == 0, printed
    seen = [line.split()[3] for line in log.read_text().splitlines()]
    assert sorted(seen) == ["0", "0", "1", "1"]


@pytest.mark.slow
def test_a_cluster_with_another_version_is_refused(world: World, nodes: Nodes) -> None:
    code = (
        "import sys, ray; ray.__version__ = '1.0'; import run_benchmarks; "
        "sys.exit(run_benchmarks.main(sys.argv[1:]))"
    )
    words = ["--methods", "ncm", *DATA, "--backbone", f"local-dir:{world.folder / 'small_clip'}"]
    found = subprocess.run(
        [sys.executable, "-c", code, *words, "--device", "cpu", "--ray", nodes.address,
         "--out", str(world.folder / "none")],
        cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S,
    )  # fmt: skip
    assert found.returncode == 2, found
    assert found.stderr.count("\n") == 1 and "Version mismatch" in found.stderr
    assert not list(world.folder.glob("none/records/*"))


@pytest.mark.slow
def test_the_cells_of_a_node_that_dies_are_run_elsewhere(world: World, nodes: Nodes) -> None:
    """Runs last: the cluster has one node afterwards."""
    process = world.start("node", "--ray", nodes.address, hold=True)
    world.wait("node", lambda: len({n for s, n, _ in world.fits("node") if s}) == 2, process)
    nodes.lose_one()
    world.release("node")
    status, printed = ended(process)
    assert status == 0, printed
    assert "raylet" not in printed and "Traceback" not in printed
    world.same("node")
    assert max(Counter(seed for seed, *_ in world.fits("node")).values()) <= 2
