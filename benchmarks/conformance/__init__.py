"""Checks that every method must pass, the suite's own or a user's, on a tiny world in seconds.

`checks.py` lists them: open it first. `run_benchmarks.py check METHOD` prints them as a table, and
the tests run them over the whole registry. A method that cannot pass a check declares the reason in
`@register(..., exempt={"CHECK": "reason"})`; checks that guard the integrity of results allow no
exemption. Only cli and tools import this folder, apart from its tiny world (`tiny.py`) in tests.
"""

from __future__ import annotations

from benchmarks.conformance.checks import CHECKS
from benchmarks.conformance.outcomes import Check, Outcome, run_checks

__all__ = ["CHECKS", "Check", "Outcome", "run_checks"]
