"""Counts, tables and files of `python -m benchmarks.speed`."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from functools import partial
from pathlib import Path

import open_clip
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.conformance.tiny import tiny_backbone
from benchmarks.tools.speed import prompts
from benchmarks.tools.speed.__main__ import PARTS, WHEN_NAMED, main
from benchmarks.tools.speed.machine import Machine
from benchmarks.tools.speed.products import Products
from benchmarks.tools.speed.timing import Row, fastest

CPU = torch.device("cpu")


def counted(run: object) -> int:
    """Floating-point operations by torch's own count."""
    with FlopCounterMode(display=False) as counter:
        run()  # type: ignore[operator]
    return counter.get_total_flops()


@pytest.mark.parametrize("backward", [False, True])
def test_the_bound_runs_the_operations_it_says(backward: bool) -> None:
    products = Products(sequences=3, tokens=10, width=32, heads=4, blocks=5, backward=backward)
    assert products.blocks * counted(products.runner(torch.float32, CPU)) == products.flops


def test_the_forward_bound_is_what_open_clips_tower_computes() -> None:
    """All of its blocks, and not the patches' embedding and the projection."""
    vision = {"image_size": 32, "patch_size": 8, "width": 48, "layers": 3, "head_width": 12}
    text = {"context_length": 8, "vocab_size": 20, "width": 16, "heads": 2, "layers": 1}
    visual = open_clip.CLIP(16, vision, text).visual.eval()
    x = torch.randn(2, 17, 48)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        flops = counted(lambda: visual.transformer(x))
    assert Products(2, 17, 48, 4, 3, backward=False).flops == flops


@pytest.mark.parametrize("name", ["coop", "lmpt"])
def test_a_prompt_step_needs_no_less_than_its_bound(name: str) -> None:
    """The step computes every product of the bound, and a few for padding, head and loss."""
    asked = prompts._requested(prompts.METHODS[name], tiny_backbone(), 12)
    run, flops = prompts._products(asked, torch.float32)
    assert counted(run) == flops
    needed = counted(prompts.step(asked))
    assert flops <= needed < 1.35 * flops


def test_the_fastest_turn_counts_and_the_first_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("benchmarks.tools.speed.timing.time.perf_counter", lambda: now)
    takes = {"a": iter((1.0, 5.0, 2.0)), "b": iter((9.0, 3.0, 4.0))}

    def run(name: str) -> None:
        nonlocal now
        now += next(takes[name])

    best = fastest({name: partial(run, name) for name in takes}, CPU, turns=2)
    assert best == {"a": 2.0, "b": 3.0}
    assert [list(left) for left in takes.values()] == [[], []]


def test_what_takes_longest_is_measured_only_where_it_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[str] = []

    def note(name: str, machine: Machine) -> list[Row]:
        measured.append(name)
        return []

    monkeypatch.setattr("benchmarks.tools.speed.__main__._measured", note)
    assert main(["--threads", "1"]) == 0
    assert set(PARTS) - set(measured) == set(WHEN_NAMED)
    assert main(["store-whole", "--threads", "1"]) == 0
    assert measured[-1] == "store-whole"


def test_rows_are_printed_with_their_notes_once_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [Row("one", 3.0, 2.0, "of both"), Row("two", 1.0, None, "of both")]
    monkeypatch.setattr("benchmarks.tools.speed.step.plain", lambda machine: rows)
    file = tmp_path / "speed.json"
    assert main(["plain", "--precision", "fp32", "--threads", "1", "--json", str(file)]) == 0
    assert logging.getLogger("benchmarks").level == logging.NOTSET  # as it was
    out = capsys.readouterr().out
    assert out.count("of both") == 1 and "1.50" in out
    assert json.loads(file.read_text()) == [
        {"name": "one", "seconds": 3.0, "bound_seconds": 2.0, "ratio": 1.5, "note": "of both"},
        {"name": "two", "seconds": 1.0, "bound_seconds": None, "ratio": None, "note": "of both"},
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stepp"], "Unknown part 'stepp'. Did you mean: step"),
        (["step", "--device", "cuda"], "not available on this machine"),
        (["step", "--json", "no/such/folder/x.json"], "no/such/folder"),
        (["step", "--json", "."], "cannot be written"),
        (["step", "--jobs", "0"], "--jobs 0: 1 or more"),
        (["step", "--theirs", "no/such"], "no/such: not a checkout of github.com/shijxcs/LIFT"),
        (["step", "--threads", "0"], "--threads 0: 1 to"),
        (["step", "--threads", "100000"], "--threads 100000: 1 to"),
    ],
)
def test_mistakes_end_before_anything_is_measured(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "cuda" in words and torch.cuda.is_available():
        pytest.skip("there is one")
    try:
        status = main(words)
    except SystemExit as ended:
        status = ended.code  # type: ignore[assignment]
    assert status == 2
    printed = capsys.readouterr()
    assert said in printed.err and printed.err.count("\n") == 1 and not printed.out


def test_a_part_runs_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINETO_LOG_LEVEL", "99")
    file = tmp_path / "speed.json"
    words = ["attention", "--quick", "--precision", "fp32", "--threads", "1", "--json", str(file)]
    assert main(words) == 0
    assert {row["name"] for row in json.loads(file.read_text())} == {
        "attention, 17 tokens", "attention, 197 tokens",
    }  # fmt: skip


def test_the_module_is_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tools.speed", "stepp"], capture_output=True, text=True,
        cwd=Path(__file__).resolve().parents[3], check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "Did you mean: step" in done.stderr


def test_a_machine_in_a_hurry_takes_few_turns() -> None:
    assert Machine(CPU, "fp32", quick=True).turns < Machine(CPU, "fp32").turns
