"""python -m benchmarks.speed [NAME…] [--json FILE]: ratios to bounds, measured in the same run."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import device as devices
from benchmarks.errors import UserError
from benchmarks.speed import data, profile, prompts, scale, seeds, step, store, sweep
from benchmarks.speed.machine import Machine
from benchmarks.speed.timing import Row

PARTS: dict[str, Callable[[Machine], list[Row]]] = {
    "step": step.rows,
    "plain": step.plain,
    "profile": profile.rows,
    "attention": step.attention,
    "deterministic": step.deterministic,
    "data": data.rows,
    "store": store.rows,
    "seeds": seeds.rows,
    "scale": scale.rows,
    "prompts": prompts.rows,
    "prompt-seeds": prompts.seeds,
    "sweep": sweep.rows,
}
"""What can be measured, by name."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print a table for each part as it ends, and write JSON where it is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="NAME", help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--threads", type=int, default=2, help="of the CPU (2)")
    parser.add_argument("--quick", action="store_true", help="a look: few turns, rough figures")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.parts if name not in PARTS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}. Known: {', '.join(PARTS)}.")
    if chosen.json is not None and not chosen.json.resolve().parent.is_dir():
        parser.error(f"--json: there is no folder {chosen.json.parent}.")
    try:
        device = devices.pick(chosen.device)
    except UserError as error:
        parser.error(str(error))
    precision = chosen.precision
    if precision == "auto":
        precision = "bf16" if devices.has_bf16(device) else "fp32"
    torch.set_num_threads(chosen.threads)
    machine = Machine(device, precision, chosen.quick)

    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own remarks
    logging.getLogger("benchmarks").setLevel(logging.ERROR)  # that drawn data are no real ones

    console = Console()
    console.print(f"{devices.describe(device)}, torch {torch.__version__}, {precision}")
    rows: list[Row] = []
    for name in chosen.parts or PARTS:
        with console.status(f"measuring {name} …"):
            found = PARTS[name](machine)
        _print(found, console)
        rows += found
        if chosen.json is not None:
            text = json.dumps([row.as_dict() for row in rows], indent=1)
            chosen.json.write_text(text + "\n", encoding="utf-8")
    return 0


def _print(rows: list[Row], console: Console) -> None:
    """A table, and below it once what was measured and what the bounds are."""
    notes = list(dict.fromkeys(row.note for row in rows))
    table = Table(box=None, pad_edge=False)
    table.add_column("", min_width=32, no_wrap=True)
    for heading in ("seconds", "bound", "ratio", "note"):
        table.add_column(heading, justify="right", min_width=8, no_wrap=True)
    for row in rows:
        bound = "–" if row.bound_seconds is None else f"{row.bound_seconds:.3g}"
        ratio = "–" if row.ratio is None else f"{row.ratio:.2f}"
        place = f"({notes.index(row.note) + 1})" if len(notes) > 1 else ""
        table.add_row(row.name, f"{row.seconds:.3g}", bound, ratio, place)
    console.print(table)
    for number, note in enumerate(notes, 1):
        mark = f"({number}) " if len(notes) > 1 else ""
        console.print(f"{mark}{note}.\n", style="dim", markup=False, highlight=False, end="")
    console.print()


if __name__ == "__main__":
    sys.exit(main())
