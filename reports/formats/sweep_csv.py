"""A sweep over a knob of a data set as CSV, unrounded."""

from __future__ import annotations

from reports.csv_text import csv_text
from reports.knob_sweeps import KnobSweep
from reports.outputs import sweep_output

_NAMES = (
    "dataset", "backbone", "knob", "value", "method", "variant", "metric", "mean", "std", "n",
)  # fmt: skip


@sweep_output(".csv")
def sweep_csv(sweep: KnobSweep) -> str:
    """One line for each variant, value of the knob and metric; empty if there is no value."""
    lines = [
        {
            "dataset": sweep.base,
            "backbone": sweep.backbone,
            "knob": sweep.knob,
            "value": f"{value:g}",
            "method": line.method,
            "variant": line.label,
            "metric": name,
            "mean": summary.mean,
            "std": summary.std,
            "n": summary.n,
        }
        for line in sweep.lines
        for value, summaries in line.points
        for name, summary in summaries.items()
    ]
    return csv_text(_NAMES, lines)
