"""Sound plug-ins pass all checks; each broken one is caught by the check that is for it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from benchmarks.conformance import CHECKS
from benchmarks.datasets.base import TaskKind
from tests.benchmarks.conformance.outcomes import outcomes_of_mine
from tests.benchmarks.conformance.plugins import BROKEN, SOUND


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize("case", SOUND)
def test_sound_methods_pass(mine: Callable[..., None], case: str, kind: TaskKind) -> None:
    mine(SOUND[case], options="deterministic=True" if case == "closed-form" else "")
    outcomes = outcomes_of_mine(kind)
    assert {o.status for o in outcomes.values()} <= {"passed", "not applicable"}, outcomes
    assert outcomes["fits"].status == "passed"
    trained = case.startswith("trained")
    assert (outcomes["interruption"].status == "passed") == trained


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_method_is_caught_by_its_check_alone(mine: Callable[..., None], case: str) -> None:
    expected, says, lines = BROKEN[case]
    if isinstance(lines, tuple):
        mine(lines[0], options=lines[1])
    elif isinstance(lines, dict):
        mine(**lines)
    else:
        mine(lines)
    runs = ("record", "interruption")  # slower, and of no interest to the other cases
    outcomes = outcomes_of_mine(without=() if expected in runs else runs)
    failed = {name: o.line for name, o in outcomes.items() if o.status == "failed"}
    assert list(failed) == [expected], failed
    assert re.search(says, failed[expected]), failed
    assert "\n" not in failed[expected]


def test_every_check_has_a_method_that_fails_it() -> None:
    assert {case[0] for case in BROKEN.values()} == {c.name for c in CHECKS}
