"""The campaigns that kill, damage and betray: their parts, and a small form of each."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.tools.torture import __main__ as torture
from benchmarks.tools.torture import damage, plugins, sweeps
from benchmarks.tools.torture.blows import strike
from benchmarks.tools.torture.campaign import Order, Tally, for_each

RECORD = {
    "method": "ncm", "seed": 0, "status": "done", "error": None, "metrics": {"overall": 50.0},
    "cost": {"fit_s": 1.0, "epochs": 2}, "provenance": {"finished": "today"}, "checksum": "a",
}  # fmt: skip


def written(folder: Path, probability: float = 0.5, **changes: object) -> sweeps.Cell:
    """A cell with one prediction, written and read again."""
    (folder / "records").mkdir(parents=True, exist_ok=True)
    file = folder / "records" / "a.json"
    file.write_text(json.dumps({**RECORD, **changes}), encoding="utf-8")
    np.savez(file.with_suffix(".npz"), top5_prob=np.array([probability]))
    return sweeps.cells(folder)["a"]


def test_cells_are_equal_if_only_their_times_differ(tmp_path: Path) -> None:
    one = written(tmp_path)
    other = written(tmp_path, cost={"fit_s": 9.0, "epochs": 2}, provenance={}, checksum="b")
    assert other.differs_from(one) == ""


def test_a_bit_of_a_prediction_and_a_metric_are_differences(tmp_path: Path) -> None:
    one = written(tmp_path)
    last_bit = written(tmp_path, float(np.nextafter(0.5, 1)))
    assert last_bit.differs_from(one) == "predictions.top5_prob"
    metric = written(tmp_path, metrics={"overall": 50.1})
    assert metric.differs_from(one) == "record.metrics"


def test_a_record_with_nan_or_without_predictions_cannot_be_read(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "records" / "a.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.json"):
        sweeps.cells(tmp_path)
    file = tmp_path / "records" / "a.json"
    file.write_text(json.dumps({**RECORD, "metrics": {"overall": float("nan")}}), encoding="utf-8")
    with pytest.raises(ValueError, match="NaN in a record"):
        sweeps.cells(tmp_path)


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        ("Traceback (most recent call last):\nValueError: x", "traceback"),
        ("error: unexpected OSError: no.", "unexpected"),
        ("mine \x1b[2J", "control"),
        ("x" * 5000, "4,000"),
    ],
)
def test_outputs_that_no_command_may_give_are_faults(output: str, fault: str) -> None:
    assert fault in " ".join(sweeps.Run(0, output).faults())
    assert sweeps.Run(0, "1/5 ncm · seed 0  99.2 %\n").faults() == []


def test_a_path_is_found_in_wrapped_lines() -> None:
    assert sweeps.Run(2, "error: /a/long\n/path.json is damaged").says(Path("/a/long/path.json"))


def test_the_table_is_read_without_its_times() -> None:
    output = "\n method  overall   fit \n ────\n ncm   99.2   0.0 s \n Top-1 accuracy (%)"
    slower = output.replace("0.0 s", "3.0 s")
    assert sweeps.table(output) == sweeps.table(slower)
    assert sweeps.table(output) != sweeps.table(output.replace("99.2", "99.3"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_process_in_another_session_is_found_and_ended(tmp_path: Path) -> None:
    place = sweeps.Place(tmp_path)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command, env=place.environment({}), start_new_session=True) as process:
        assert process.pid in place.living(session=-1)
        assert sweeps.Place(tmp_path / "other").living(session=-1) == []
        place.end(session=-1)
        assert process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("seed", range(20))
def test_a_blow_changes_the_file(tmp_path: Path, seed: int) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_bytes(bytes(range(1, 200)))
    other.write_bytes(b"other")
    before = file.read_bytes()
    assert file.name in strike(file, [file, other], random.Random(seed))
    assert file.read_bytes() != before


def test_a_case_depends_on_seed_and_name_alone(tmp_path: Path) -> None:
    draws = [Order(seed, 5, tmp_path).random(name).random() for seed in (0, 1) for name in (1, 2)]
    assert len(set(draws)) == 4
    assert Order(0, 99, tmp_path).random(1).random() == draws[0]


def test_a_case_that_raises_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()

    def fails(case: int) -> None:
        if case == 2:
            raise ValueError("no")

    for_each([1, 2, 3], fails, tally)
    assert tally.faults == ["2: the campaign itself failed: ValueError: no"]
    assert "3/3" in capsys.readouterr().err


def test_every_plugin_of_the_table_is_python_and_expects_something() -> None:
    table = plugins.hostile()
    assert len(table) >= 120
    for plugin in table.values():
        assert plugin.expect in {*plugins.OUTCOMES, "refused", "loses"}, plugin.name
        if plugin.name != "syntax_error":
            compile(plugin.source(), plugin.name, "exec")


def test_small_counts_of_damage_have_every_kind(tmp_path: Path) -> None:
    cases = damage._cases(Order(3, 60, tmp_path))
    assert {case.kind.name for case in cases} == {kind.name for kind in damage.KINDS}


def campaign(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Output of a campaign that finds no fault."""
    assert torture.main(list(words)) == 0, capsys.readouterr().out
    return capsys.readouterr().out


@pytest.mark.slow
def test_killed_runs_lose_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = campaign(capsys, "kill", "--count", "6", "--folder", str(tmp_path / "kill"))
    assert "kills" in output


@pytest.mark.slow
def test_damaged_files_are_never_used_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = campaign(capsys, "damage", "--count", "60", "--folder", str(tmp_path / "damage"))
    assert "refused by path" in output


@pytest.mark.slow
def test_hostile_plugins_change_no_other_method(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = campaign(capsys, "plugins", "--count", "40", "--folder", str(tmp_path / "plugins"))
    assert "failed with a reason" in output
