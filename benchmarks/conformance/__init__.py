"""What every method must do, ours or a user's: named checks, run on a tiny world in seconds.

`run_benchmarks.py check METHOD` prints them as a table, and the tests run them over the whole
registry. The tiny world is `conformance.tiny`, single-label or multi-label; what goes through the
runner does so with the embedded backbone. A method that cannot meet a check says why in
`@register(..., exempt={"CHECK": "reason"})`, which the table shows; checks that guard the integrity
of results know no exemption.
"""

from __future__ import annotations

from benchmarks.conformance.checks import CHECKS
from benchmarks.conformance.running import Check, Outcome, run_checks

__all__ = ["CHECKS", "Check", "Outcome", "run_checks"]
