"""Checks in a child process: whatever a method does to it is the outcome of a check."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import run_benchmarks
from benchmarks.cli.check import check
from benchmarks.cli.parts import checked
from benchmarks.cli.parts.checked import Result, in_children
from benchmarks.conformance import CHECKS
from benchmarks.errors import UserError
from tests.benchmarks.children import outcome, play

PLUGIN = '''
    import ctypes, os, signal, sys, time
    from dataclasses import dataclass

    from benchmarks import randomness
    from methods.base import Method, Predictor
    from methods.registry import register


    def head(task):
        shape = task.train.features().shape[1:]
        names = task.texts.class_names
        w = randomness.normal_per_class(names, shape, task.seed, "weight").to(task.device)
        return Predictor(lambda batch: 10 * batch.inputs @ w.T)


    @register("bad", paper="A. Author 2026", needs="features")
    @dataclass(frozen=True)
    class Bad(Method):
        """Bad."""

        def fit(self, task):
            {body}
            return head(task)


    @register("good", paper="A. Author 2026", needs="features")
    @dataclass(frozen=True)
    class Good(Method):
        """Good."""

        def fit(self, task):
            return head(task)
'''
"""A plug-in with a method that ends its process and a sound one."""


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Result]]:
    """Results of children that answer with these heads, by the name of the check."""
    monkeypatch.setattr(checked, "_answer", play)

    def run(limit_s: float = 60, **heads: Any) -> list[Result]:
        script = tmp_path / "script.json"
        script.write_text(json.dumps(heads))
        return list(in_children("mine", str(script), [], limit_s))  # type: ignore[arg-type]

    return run


def test_outcomes_are_passed_on_in_one_line(played: Callable[..., list[Result]]) -> None:
    results = played(third=outcome("third", "failed", "two\nlines \x1b[31m" + "x" * 9000))
    assert [r.check for r in results] == ["first", "fits", "third", "last"]
    assert [r.bad for r in results] == [False, False, True, False]
    assert [r.demand for r in results] == ["", "", "third holds", ""]
    assert [r.hint for r in results] == ["", "", "mend third", ""]
    assert results[2].line.startswith("two lines \\x1b[31mx")
    assert len(results[2].line) <= 2000


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("exit", r"by itself, with exit status 3 \(it printed: \\x1b\[31mfarewell\)"),
        (outcome("fits"), "not the outcome of this check"),
        (outcome("third", "splendid"), "not the outcome of this check"),
    ],
)
def test_a_child_that_dies_or_talks_nonsense_fails_its_check_and_the_next_ones_run(
    played: Callable[..., list[Result]], answer: Any, says: str
) -> None:
    results = played(third=answer)
    assert [r.status for r in results] == ["passed", "passed", "failed", "passed"]
    assert re.search(says, results[2].line)
    assert (results[2].demand, results[2].hint) == ("third holds", "mend third")


def test_a_check_that_takes_too_long_fails(played: Callable[..., list[Result]]) -> None:
    results = played(limit_s=0.5, third="sleep")
    assert [r.status for r in results] == ["passed", "passed", "failed", "passed"]
    assert results[2].line == "takes longer than 0.5 seconds (--timeout)"


def test_a_method_that_cannot_be_fitted_is_not_run_further(
    played: Callable[..., list[Result]],
) -> None:
    results = {r.check: r.status for r in played(fits="exit")}
    assert results == {
        "first": "passed", "fits": "failed", "third": "not run", "last": "passed"
    }  # fmt: skip


@pytest.mark.children
def test_an_exit_in_fit_is_a_failed_check_and_the_next_method_is_checked(
    plugin: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = plugin(PLUGIN.format(body="os._exit(0)"))
    assert check(["bad", "good"], [file], Console(width=120), debug=False) == 1
    shown = capsys.readouterr().out
    assert re.search(r"fits +FAILED +its process ended by itself, with exit status 0", shown)
    assert re.search(r"seeds +not run", shown)
    assert "good, single-label" in shown
    assert len(re.findall(r"declares +passed", shown)) == 2
    assert len(re.findall(r"untouched +passed", shown)) == 1


@pytest.mark.children
@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("sys.exit(0)", "SystemExit: 0"),
        ("ctypes.string_at(0)", "SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "SIGTERM"),
        ("os.abort()", "SIGABRT"),
        ("raise GeneratorExit('no')", "GeneratorExit: no"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("while True: pass", "takes longer than 15 seconds"),
        ("os.closerange(0, 256)", "its process"),
        ("return bad()", "NameError"),
    ],
)
def test_whatever_fit_does_is_a_failed_check(
    plugin: Callable[[str], Path], body: str, says: str
) -> None:
    file = plugin(PLUGIN.format(body=body))
    results = {r.check: r for r in in_children("bad", "single", [file], 15)}
    assert list(results) == [c.name for c in CHECKS]
    assert results["fits"].status == "failed"
    assert says in results["fits"].line


@pytest.mark.children
def test_a_plug_in_that_does_not_import_is_refused(plugin: Callable[[str], Path]) -> None:
    with pytest.raises(UserError, match="does not import: ZeroDivisionError"):
        list(in_children("bad", "single", [plugin("1 / 0")], 60))


def test_a_time_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for value in ("0", "-1", "nan"):
        assert run_benchmarks.main(["check", "lift", f"--timeout={value}"]) == 2
        assert "must be a number of seconds above 0" in capsys.readouterr().err
