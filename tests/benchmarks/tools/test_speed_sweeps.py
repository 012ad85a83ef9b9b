"""Commands, records on disk and cells in an engine, as `benchmarks.speed sweep` measures them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.sweep import plan
from benchmarks.sweep.settings import read_sweep
from benchmarks.tools.speed import overhead, records
from benchmarks.tools.speed.commands import has_flag, process
from results.store import Store
from tests.results.factory import make_record


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells another process's peak")
def test_a_commands_peak_is_its_own_and_outlives_what_it_frees() -> None:
    grows = "import time; a = bytearray(150_000_000); time.sleep(0.2); del a; time.sleep(0.2)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grows!r}])"
    alone, parent = process(python(grows)), process(python(child))
    assert alone.memory_mb is not None and parent.memory_mb is not None
    assert 150 < alone.memory_mb < 300 and parent.memory_mb < 100


def test_a_command_that_fails_shows_the_end_of_what_it_said() -> None:
    with pytest.raises(RuntimeError, match="no such luck"):
        process(python("raise SystemExit('no such ' + 'luck')"))


def test_flags_of_this_version_are_known() -> None:
    assert has_flag("run", "--seeds") and not has_flag("run", "--see")


def test_made_up_records_are_those_of_their_cells(tmp_path: Path) -> None:
    cells = records._sweep(tmp_path / "sweep.yaml", 20)
    store = Store(tmp_path / "out")
    records.write(store, cells)
    found, problems = store.all()
    assert len(cells) == 20 and not problems
    assert {p.state for p in plan.look_up(cells, found)} == {"done"}


def test_the_cells_of_a_sweep_of_pauses_are_as_many_as_asked_for(tmp_path: Path) -> None:
    overhead.sweep_of_pauses(tmp_path, range(11), 55)
    sweep = read_sweep(tmp_path / "pauses.yaml", {})
    assert len(sweep.methods) * len(sweep.seeds) == 55
    assert sorted(dict(choice.fields)["ms"] for choice in sweep.methods) == [*range(11)]
    assert {(owner, field) for owner, field, _ in sweep.set} == {
        ("glyphs100_lt", field) for field in overhead.LITTLE
    }


def test_a_cell_takes_the_time_between_records_less_that_of_its_method() -> None:
    made = [
        make_record(
            seed=seed,
            provenance_finished=f"2026-01-01T00:00:0{seed}.500+00:00",
            cost_fit_s=0.25,
            cost_eval_s=0.125,
        )
        for seed in (3, 1, 2)
    ]
    assert overhead.cell_seconds(made) == 1.0
    assert overhead.method_seconds(made) == 0.375


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell it")
def test_the_processor_time_of_a_process_is_without_that_of_its_children() -> None:
    busy = "import time\nwhile time.process_time() < {}: pass\n"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy.format(1.5)!r}])"
    found = process([sys.executable, "-c", f"{child}\n{busy.format(0.4)}time.sleep(0.3)"])
    assert found.processor_s is not None
    assert 0.35 < found.processor_s < 1.2
