"""The lines that a run prints about a finished cell."""

from __future__ import annotations

from rich.text import Text

from benchmarks.datasets.files.resized import InFiles
from benchmarks.sweep.cell import Cell
from results.schema import Cost, Record

WAITING_SHARE = 0.05
"""Share of training spent waiting for images above which the display suggests a remedy."""
WAITING_S = 10.0
"""Seconds below which it does not: a short run always waits for its first batch."""


def result_line(cell: Cell, record: Record) -> Text:
    """The result of a cell, or the reason why it has none."""
    line = Text(f"{cell.title}  ")
    if record.metrics is None or record.cost is None:
        colour = "yellow" if record.status == "not_applicable" else "red"
        status = record.status.replace("_", " ")
        return line.append(status, colour).append(f": {record.error or ''}")
    m = record.metrics
    groups = " ".join(
        f"{group} {value:.1f}"
        for group, value in (("many", m.many), ("medium", m.medium), ("few", m.few))
        if value is not None
    )
    seconds = record.cost.fit_s + record.cost.eval_s
    what = "mAP " if record.task == "multi" else ""
    share = data_wait(record.cost)
    waited = "" if share is None else f", data wait {share:.1%}".replace("%", " %")
    line.append(f"{what}{m.overall:.1f} % ")
    return line.append(f"({groups}) {seconds:.1f} s{waited}", "dim")


def remarks(cell: Cell, record: Record) -> dict[str, str]:
    """Further lines about a cell; those with one key need to be printed only once in a run."""
    lines = {note: f"    note: {note}" for note in (*record.notes, *record.details)}
    if record.cost is not None and _waits_long(record.cost):
        lines[f"data wait {cell.dataset}"] = f"    {waiting_advice(cell, record.cost)}"
    return lines


def data_wait(cost: Cost) -> float | None:
    """Share of training spent waiting for images; None for methods that read none."""
    return None if cost.data_wait_s is None or not cost.fit_s else cost.data_wait_s / cost.fit_s


def _waits_long(cost: Cost) -> bool:
    return (data_wait(cost) or 0) > WAITING_SHARE and (cost.data_wait_s or 0) > WAITING_S


def waiting_advice(cell: Cell, cost: Cost) -> str:
    """A line that says how to shorten the wait for images."""
    waited = cost.data_wait_s or 0.0
    rate = cost.images_seen / cost.fit_s
    possible = cost.images_seen / max(cost.fit_s - waited, 1e-9)
    line = f"images arrive at {rate:.0f} a second, training could use {possible:.0f}: "
    field = f"{cell.family.name}.cache_images"
    if isinstance(cell.family, InFiles) and not cell.family.cache_images:
        return f"{line}more CPU cores help, or --set {field}=256 (resizes them once, on disk)"
    return f"{line}more CPU cores help"
