"""Exemptions, and the verb `check`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

import run_benchmarks
from benchmarks.cli.check import check
from benchmarks.conformance import CHECKS
from benchmarks.conformance.outcomes import Check
from tests.benchmarks.conformance.outcomes import outcomes_of_mine

ROOT = Path(__file__).resolve().parents[3]


def test_an_exemption_is_shown_with_its_reason_and_its_check_is_not_run(
    mine: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    mine("return head(weight(task, seed=0))", options="exempt={'seeds': 'has one answer'}")
    outcome = outcomes_of_mine()["seeds"]
    assert (outcome.status, outcome.line) == ("exempt", "has one answer")
    assert check(["mine"], [], Console(width=100), debug=False) == 0
    assert re.search(r"seeds +exempt +has one answer", capsys.readouterr().out)
    assert run_benchmarks.main(["show", "mine"]) == 0
    assert re.search(r"exempt\s+seeds \(has one answer\)", capsys.readouterr().out)


def test_what_knows_no_exemption_is_checked_all_the_same(mine: Callable[..., None]) -> None:
    mine(
        "return head(weight(task), scale=1 + float(torch.rand(())))",
        options="exempt={'repeats': 'is random'}",
    )
    outcomes = outcomes_of_mine()
    assert outcomes["repeats"].status == outcomes["declares"].status == "failed"


def test_a_method_that_cannot_be_fitted_is_not_run_further(mine: Callable[..., None]) -> None:
    mine("raise ValueError('no luck')")
    outcomes = list(outcomes_of_mine().values())
    first = next(i for i, o in enumerate(outcomes) if o.status == "failed")
    assert outcomes[first].check.name == "fits"
    assert {o.status for o in outcomes[first + 1 :]} == {"not run"}
    assert all(o.bad for o in outcomes[first:])


def test_the_verb_prints_a_table_for_each_task_and_its_status_says_whether_all_passed(
    mine: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    mine("return head(weight(task, seed=0))")
    assert check(["mine"], [], Console(width=100), debug=False) == 1
    shown = capsys.readouterr().out
    assert "mine, single-label" in shown
    assert "mine, multi-label" in shown
    assert re.search(r"seeds +FAILED +seeds 0 and 1 gave the same logits", shown)
    assert re.search(r"interruption +not applicable +reports no steps", shown)
    told = " ".join(shown.split())
    (seeds,) = [check for check in CHECKS if check.name == "seeds"]
    assert f"rule: {seeds.demand} hint: {seeds.hint}" in told
    (interruption,) = [check for check in CHECKS if check.name == "interruption"]
    assert f"rule: {interruption.demand}" in told
    assert interruption.hint not in told
    with pytest.raises(AssertionError, match="seeds 0 and 1"):
        check(["mine"], [], Console(), debug=True)


@pytest.mark.parametrize("file", sorted((ROOT / "docs" / "examples").glob("*.py")), ids=str)
def test_the_documented_examples_pass(
    plugin: Callable[[str], Path], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_benchmarks.main(["check", "--plugin", str(file)]) == 0
    assert f"{file.stem}, single-label" in capsys.readouterr().out


def test_what_cannot_be_checked_is_said_in_a_line(
    plugin: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for words, says in (
        ([], "name a method"),
        (["lfit"], "Unknown method 'lfit'.*lift"),
        (["--plugin", "nowhere.py"], "No plug-in file"),
        (["--plugin", str(plugin("def f(:"))], "SyntaxError"),
    ):
        assert run_benchmarks.main(["check", *words]) == 2
        line = capsys.readouterr().err
        assert re.search(says, line)
        assert line.count("\n") == 1


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_check_says_what_it_demands_and_what_to_do(check: Check) -> None:
    assert check.demand.endswith(".")
    assert check.hint.endswith(".")
    assert check.demand not in check.hint
