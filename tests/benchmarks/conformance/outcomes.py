"""Outcomes of the checks on the method `mine`."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.conformance import CHECKS, Outcome, run_checks
from benchmarks.datasets.base import TaskKind


def outcomes_of_mine(kind: TaskKind = "single", without: Sequence[str] = ()) -> dict[str, Outcome]:
    checks = [c for c in CHECKS if c.name not in without]
    return {outcome.check.name: outcome for outcome in run_checks("mine", kind, checks)}
