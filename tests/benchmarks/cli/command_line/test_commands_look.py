"""What plan, list, show, report and the help print."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import run_benchmarks
from tests.benchmarks.cli.command_line.commands import (
    ROOT,
    SCRIPT,
    Command,
    content,
    records,
    start,
    the_line,
)

# ---- plan, list, show, report, download ----------------------------------------------------------


def test_plan_shows_the_cells_and_runs_nothing(
    command: Command, fast: list[str], work: Path
) -> None:
    ended = command("plan", *fast)
    assert ended.status == 0
    assert "4 cells, 4 to run" in ended.out
    for word in ("ncm", "linear_probe", "glyphs100_lt_ir8", "local-dir:small_clip@", "0,1,2"):
        assert word in ended.out
    assert "1 missing" in ended.out
    assert "3 missing" in ended.out
    assert content(work) == {}
    command(*fast, "--seeds", "0")
    after = command("plan", *fast).out
    assert "1 done, 2 missing" in after
    assert "4 cells, 2 to run" in after
    assert "3 to run" in command("plan", *fast, "--rerun", "always", "--seeds", "0,1").out


def test_a_ratio_that_is_out_of_reach_is_told_by_plan_and_run(
    command: Command, small: list[str]
) -> None:
    words = ["--methods", "ncm", *small]
    note = "the imbalance ratio is 35, not 90: no class has less than one training image"
    assert "no class has less than one" not in command("plan", *words).out
    words += ["--set", "glyphs100_lt.imbalance=90"]
    assert f"note: glyphs100_lt_ir90 (n_max=35, classes=4, test_per_class=4): {note}" in (
        command("plan", *words).out
    )
    assert command(*words).out.count(note) == 2  # as its cell ends, and under the table
    assert note in json.loads(records()["ncm", 0].read_text(encoding="utf-8"))["notes"]


def test_plan_takes_every_flag_of_run(command: Command, fast: list[str]) -> None:
    assert command("plan", *fast, "--debug", "--allow-mixed").status == 0


def test_plan_without_arguments_is_the_quick_start(command: Command) -> None:
    ended = command("plan")
    assert ended.status == 0
    for word in ("zero_shot", "ncm", "linear_probe", "logit_adjustment", "lift", "glyphs100_lt"):
        assert word in ended.out


def test_list(command: Command) -> None:
    everything = command("list")
    assert everything.status == 0
    parts = {
        "methods": ("lift", "zero_shot", "images", "features", "Zero-shot CLIP"),
        "datasets": ("cifar100_lt", "glyphs100_lt", "_irR", "single"),
        "backbones": ("glyph", "ARCH/random", "local-dir:PATH", "ViT-B-16-quickgelu/openai"),
    }
    for what, words in parts.items():
        part = command("list", what)
        assert part.status == 0
        for word in words:
            assert word in part.out
            assert word in everything.out
        assert len(part.out) < len(everything.out)


def test_show_a_method(command: Command, mine: Path) -> None:
    ended = command("show", "lift")
    assert ended.status == 0
    for word in ("arXiv 2309.10019", "images", "fingerprint", "epochs", "0.01", "lift.py"):
        assert word in ended.out
    assert "Width of adaptformer" in ended.out  # the documentation of a field
    assert "reconstruction" in command("show", "sage").out
    assert "mine.py" in command("show", "mine", "--plugin", "mine.py").out


def test_show_prints_the_choices_of_a_field(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = command("show", "linear_probe").out
    assert "cosine | linear" in shown
    folded = " ".join(shown.split())
    assert "auto | ce | balanced_softmax | la | ldam_drw | cb | grw | focal | lade | bce" in folded
    assert max(map(len, shown.splitlines())) <= 80
    assert "logits | softmax" in command("show", "glyphscenes_lt").out


def test_show_a_data_set(command: Command) -> None:
    ended = command("show", "cifar100_lt_ir50")
    assert ended.status == 0
    for word in ("12,608", "41 / 41 / 18", "imbalance 50", "cifar-100-python"):
        assert word in ended.out


def test_report_counts_a_cell_once(command: Command, fast: list[str], work: Path) -> None:
    """Else the seeds of a copied folder would count twice, and ± come out too small."""
    command(*fast)
    shutil.copytree("runs/records", "copy/records")
    ended = command("report", "runs", "copy", "runs", "--out", "there")
    assert ended.status == 0
    assert "linear_probe" in ended.out
    assert "3 run seeds" in ended.out
    assert "Tables and plots: there/" in ended.out
    kinds = {p.suffix for p in (work / "there").iterdir()}
    assert kinds == {".md", ".tex", ".csv", ".png", ".pdf"}
    with (work / "there" / "records.csv").open(encoding="utf-8") as stream:
        assert len(list(csv.reader(stream))) == 1 + 4


def test_a_record_that_cannot_be_read_is_named_and_passed_over(
    command: Command, fast: list[str], work: Path
) -> None:
    (work / "runs" / "records").mkdir(parents=True)
    (work / "runs" / "records" / "a.json").write_text('{"schema_version": 99}')
    (work / "runs" / "records" / "b[red].json").write_text("{")
    ended = command("plan", *fast)
    assert ended.status == 0
    assert "a.json: schema 99, but this version reads 1" in ended.out
    assert "b[red].json: damaged" in ended.out
    assert "No readable records under runs" in the_line(command("report", "runs"))


def test_download_where_nothing_is_needed(command: Command) -> None:
    assert "needs no download" in command("download", "glyphs100_lt").out
    assert "in place" in command("download", "glyph").out


@pytest.mark.parametrize("verb", run_benchmarks.VERBS)
def test_help_says_something_of_every_argument(verb: str) -> None:
    parser = run_benchmarks._parser()[1][verb]
    assert [a.dest for a in parser._actions if not a.help] == []


@pytest.mark.parametrize(
    ("verb", "flag", "says"),
    [
        ("run", "--config", "flags override it"),
        ("plan", "--recipe", "may be given several times, and --set wins over it"),
        ("tune", "--datasets", "required"),
    ],
)
def test_help_says_what_goes_before_what(verb: str, flag: str, says: str) -> None:
    action = run_benchmarks._parser()[1][verb]._option_string_actions[flag]
    assert says in (action.help or "")


def test_the_examples_of_the_help_name_every_verb() -> None:
    examples = (run_benchmarks.__doc__ or "").replace("|", " ").split()
    assert set(run_benchmarks.VERBS) <= set(examples)


@pytest.mark.parametrize(
    ("words", "forbidden"),
    [
        (["--help"], {"torch", "numpy", "rich", "open_clip"}),
        (["run", "--help"], {"torch", "numpy", "rich", "open_clip"}),
        (["list"], {"torch", "open_clip", "pandas", "matplotlib", "torchvision"}),
    ],
)
def test_help_and_list_are_quick(work: Path, words: list[str], forbidden: set[str]) -> None:
    """Whatever is slow to import stays out; also, any folder is good to start from."""
    code = (
        "import sys, runpy\n"
        f"sys.argv = {[str(SCRIPT), *words]}\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "try:\n"
        f"    runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        f"    print('loaded', sorted(set(sys.modules) & {forbidden}), end.code or 0)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("loaded [] 0\n"), run.stdout[-200:]


def test_another_folder_to_start_from(work: Path) -> None:
    process = start("list", "methods")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "zero_shot" in out


def test_a_pipe_that_is_closed_early(work: Path) -> None:
    process = start("list")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), err) == (0, "")
