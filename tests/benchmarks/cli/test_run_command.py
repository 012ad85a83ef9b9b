"""The verb `run`: running, and continuing after an interruption or an edit."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from textwrap import dedent

import pytest

from tests.benchmarks.cli.commands import Command, content, records, start, the_line

# ---- running -------------------------------------------------------------------------------------


@pytest.mark.figures
def test_a_run_prints_a_table_and_the_paths_of_its_files(
    command: Command, fast: list[str], work: Path
) -> None:
    out = "a[/b] [red]:cat:"  # a name, not markup
    ended = command(*fast, "--out", out)
    assert ended.status == 0
    assert ended.err == ""
    for word in ("overall", "many", "medium", "few", "ncm", "linear_probe", "1/4", "4/4"):
        assert word in ended.out
    assert "3 run seeds" in ended.out  # what varied under ±
    assert f"Tables and plots: {out}/report/" in ended.out
    assert f"Records: {out}/records/" in ended.out
    endings = {p.suffix for p in (work / out / "report").iterdir()}
    assert endings == {".md", ".tex", ".csv", ".png", ".pdf", ".html"}
    assert records(work / out).keys() == {("ncm", 0), *(("linear_probe", s) for s in range(3))}


def test_finished_cells_are_not_repeated(command: Command, fast: list[str]) -> None:
    command(*fast)
    before = {file: file.stat().st_mtime_ns for file in records().values()}
    ended = command("run", *fast, "--columns", "few,params", "--sort", "asked")
    assert ended.status == 0
    assert "loading" not in ended.out
    # The table is printed anyway, as it is asked for.
    head = next(line.split() for line in ended.out.splitlines() if line.startswith(" method"))
    assert [word for word in head if word[0] != "("] == ["method", "few", "params"]
    assert ended.out.index(" ncm ") < ended.out.index(" linear_probe ")
    assert {file: file.stat().st_mtime_ns for file in records().values()} == before


def test_names_that_no_table_can_have_are_refused_before_anything_runs(
    command: Command, small: list[str], work: Path
) -> None:
    (work / "names.yaml").write_text("{ncm: A, linear_probe: A}", encoding="utf-8")
    words = ["--methods", "ncm,linear_probe", *small, "--names", "names.yaml"]
    line = the_line(command(*words))
    assert "names: 'A' would be 'ncm' and 'linear_probe'" in line
    (work / "names.yaml").write_text("ncn: A", encoding="utf-8")
    assert "'ncn'. Did you mean: ncm" in the_line(command(*words))
    assert content(work).keys() == {"names.yaml"}


def test_failed_cells_are_reported_and_rerun_only_on_request(
    command: Command, fast: list[str]
) -> None:
    broken = [*fast, "--set", "linear_probe.head=linear", "--set", "linear_probe.lr=1e38"]
    broken += ["--set", "linear_probe.epochs=3", "--seeds", "0,1"]
    ended = command(*broken)
    assert ended.status == 1
    assert ended.err == ""
    assert "lower the learning rate" in ended.out
    assert "2 of 3 cells failed; --rerun failed" in ended.out
    assert "overall" in ended.out  # the table of the other cells
    assert ended.out.count("failed: ") == 2
    broken += ["--methods", "linear_probe"]
    assert "1 of 1 cell failed; --rerun failed runs it" in command(*broken, "--seeds", "0").out
    again = command(*broken)
    assert again.status == 1
    assert again.out.count("failed: ") == 0
    assert "2 of 2 cells failed" in again.out
    assert command(*broken, "--rerun", "failed").out.count("failed: ") == 2


def test_shards_add_up_to_one_sweep(command: Command, fast: list[str]) -> None:
    for i in (1, 2):
        ended = command(*fast, "--shard", f"{i}/2")
        assert ended.status == 0
        assert f"cells of part {i}/2 alone" in " ".join(ended.out.split())
    assert "0 to run" in command("plan", *fast).out


def test_a_part_without_cells_is_no_error(command: Command, small: list[str]) -> None:
    one = ["--methods", "ncm", *small]
    for verb in ("run", "plan"):
        ended = command(verb, *one, "--shard", "2/5")
        assert (ended.status, ended.out, ended.err) == (0, "Part 2 of 5 holds no cells.\n", "")
    assert "\n1 cell, 1 to run" in command("plan", *one, "--shard", "1/5").out


def test_a_sweep_in_yaml(command: Command, model: str, work: Path) -> None:
    (work / "sweep.yaml").write_text(
        dedent(
            f"""
            methods: [ncm, linear_probe: {{epochs: 1}}]
            datasets: [glyphs100_lt]
            set:
              glyphs100_lt: {{classes: 4, n_max: 35, imbalance: 8, test_per_class: 4}}
            seeds: [0, 1]
            backbone: "{model}"
            out: runs
            """
        )
    )
    ended = command("plan", "--config", "sweep.yaml", "--seeds", "7")
    assert ended.status == 0
    assert "2 cells, 2 to run" in ended.out
    for word in ("ncm", "linear_probe", "glyphs100_lt_ir8", " 7 ", "local-dir:small_clip@"):
        assert word in ended.out


def test_an_interrupted_run_continues_where_it_stopped(
    command: Command, small: list[str], mine: Path, work: Path
) -> None:
    waiting = mine.read_text()
    mine.write_text(waiting.replace("time.sleep(100)", "raise KeyboardInterrupt"))
    words = ["--methods", "mine", "--plugin", "mine.py", *small]
    ended = command(*words)
    assert ended.status == 130
    assert ended.err == ""
    assert "Interrupted: 1 of 3 cells are done" in ended.out
    assert records().keys() == {("mine", 0)}
    first = records()["mine", 0].stat().st_mtime_ns

    (work / "go").touch()
    ended = command(*words)
    assert ended.status == 0
    assert "2/3" in ended.out
    assert "3/3" in ended.out
    assert "1/3" not in ended.out
    assert records()["mine", 0].stat().st_mtime_ns == first

    (work / "go").unlink()
    ended = command(*words, "--rerun", "always")
    assert ended.status == 130
    assert "without --rerun always it keeps them" in " ".join(ended.out.split())


@pytest.mark.slow
def test_ctrl_c_ends_a_process_cleanly(
    command: Command, small: list[str], mine: Path, work: Path
) -> None:
    words = ["--methods", "mine", "--plugin", "mine.py", *small]
    process = start(*words)
    end = time.monotonic() + 60
    while not (work / "waiting").exists() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Interrupted: 1 of 3 cells are done" in out
    assert "Traceback" not in out + err
    assert records().keys() == {("mine", 0)}
    (work / "go").touch()
    assert "1/3" not in command(*words).out
    assert len(records()) == 3


def test_only_an_edited_method_is_computed_again(
    command: Command, small: list[str], mine: Path, work: Path
) -> None:
    (work / "go").touch()
    words = ["--methods", "ncm,mine", "--plugin", "mine.py", *small]
    assert command(*words).status == 0
    before = records()
    times = {file: file.stat().st_mtime_ns for file in before.values()}
    mine.write_text(mine.read_text() + "\n# a comment\n")
    assert "4 cells, 0 to run" in command("plan", *words).out
    mine.write_text(mine.read_text() + "\nVERSION = 2\n")

    planned = command("plan", *words).out
    assert "3 stale" in planned
    assert "1 done" in planned
    assert "4 cells, 3 to run" in planned

    kept = command(*words, "--accept-stale")
    assert kept.status == 0
    assert "4/4" not in kept.out
    assert "†" in kept.out  # the table marks the old ones
    assert set(records().values()) == set(before.values())

    again = command(*words)
    assert again.status == 0
    assert all(f"{i}/4 mine" in again.out for i in (2, 3, 4))
    assert "1/4" not in again.out
    assert records()["ncm", 0] == before["ncm", 0]
    # The old records are unchanged, and there are three more.
    assert all(file.stat().st_mtime_ns == time for file, time in times.items())
    assert len(list(Path("runs/records").glob("*.json"))) == 7
    assert "0 to run" in command("plan", *words).out


def test_a_fixed_method_is_computed_again(
    command: Command, small: list[str], mine: Path, work: Path
) -> None:
    (work / "go").touch()
    good = mine.read_text()
    mine.write_text(good.replace("weight = ", "1 / 0; weight = "))
    words = ["--methods", "mine", "--plugin", "mine.py", "--seeds", "0", *small]
    assert command(*words).status == 1
    mine.write_text(good)
    ended = command(*words)
    assert ended.status == 0
    assert "1/1 mine" in ended.out


def test_ctrl_c_before_anything_runs(command: Command, small: list[str], work: Path) -> None:
    (work / "p.py").write_text("raise KeyboardInterrupt")
    ended = command("--methods", "ncm", "--plugin", "p.py", *small)
    assert ended.status == 130
    assert ended.err == "error: interrupted.\n"
