"""Every registered method passes every check of `benchmarks.conformance` on each of its tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from benchmarks.conformance import CHECKS, run_checks
from benchmarks.conformance.outcomes import Check
from benchmarks.conformance.reach import holds_test
from benchmarks.conformance.tiny import tiny_data, tiny_task
from benchmarks.datasets.base import TaskKind
from methods.base import Task
from methods.registry import METHODS

pytestmark = pytest.mark.usefixtures("short_calibration")

SUBJECTS: list[tuple[str, TaskKind]] = [
    (name, kind)
    for name, entry in sorted(METHODS.entries().items())
    for kind in entry.options.get("tasks", ("single",))
]
ON_GPU = [check for check in CHECKS if check.name in ("gpu", "host_waits")]


def complaints(name: str, kind: TaskKind, checks: Sequence[Check]) -> list[str]:
    return [f"{o.check.name}: {o.line}" for o in run_checks(name, kind, checks) if o.bad]


# All checks of a method in one test: they share its fits.
@pytest.mark.parametrize(("name", "kind"), SUBJECTS)
def test_a_method_passes_every_check(name: str, kind: TaskKind) -> None:
    assert complaints(name, kind, [check for check in CHECKS if check not in ON_GPU]) == []


@pytest.mark.parametrize(("name", "kind"), SUBJECTS)
def test_a_method_runs_on_a_gpu_and_does_not_wait_for_it(name: str, kind: TaskKind) -> None:
    """See benchmarks/conformance/pretended_gpu.py for what a pretended GPU cannot show."""
    assert len(ON_GPU) == 2
    assert complaints(name, kind, ON_GPU) == []


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_the_tiny_world_is_long_tailed_and_known(kind: TaskKind) -> None:
    counts = tiny_data(kind).counts
    assert counts.sum() >= 64
    assert counts.max() >= 3 * counts.min() > 0
    task = tiny_task(kind=kind)[0]
    task.text_features()
    assert task.notes == []


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_no_test_label_is_reachable_from_a_task(kind: TaskKind) -> None:
    data = tiny_data(kind)
    task, test = tiny_task(kind=kind, validation=True)
    task.train.features()
    assert holds_test(data, test)  # the walk finds them where they are
    assert not holds_test(data, task)
    assert not [f.name for f in dataclasses.fields(Task) if "test" in f.name]
    assert task.validation is not None
    assert not set(task.validation.keys) & set(test.keys)
    assert not set(task.train.keys) & set(test.keys)
