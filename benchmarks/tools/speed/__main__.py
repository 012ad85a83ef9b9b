"""python -m benchmarks.speed [NAME…] [--json FILE]: ratios to bounds, measured in the same run."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console
from rich.table import Table

from benchmarks.errors import UserError, did_you_mean
from benchmarks.file_names import may_write
from benchmarks.limits import visible_processors

if TYPE_CHECKING:  # torch takes seconds to import: arguments are read without it
    from benchmarks.tools.speed.machine import Machine
    from benchmarks.tools.speed.timing import Row

PARTS = {
    "step": "precisions.rows",
    "plain": "step.plain",
    "profile": "profile.rows",
    "attention": "step.attention",
    "deterministic": "step.deterministic",
    "data": "data.rows",
    "store": "store.rows",
    "store-whole": "store.whole",
    "seeds": "seeds.rows",
    "scale": "scale.rows",
    "prompts": "prompts.rows",
    "prompt-seeds": "prompts.seeds",
    "sweep": "sweep.rows",
    "sweep-large": "sweep.large",
    "sweep-jobs": "sweep.ratios",
    "sweep-paper": "sweep.paper",
}
"""Measurements by name, each with its function in this package."""

WHEN_NAMED = ("store-whole", "sweep-large", "sweep-jobs", "sweep-paper")
"""Measurements that run only if named, because they take so long."""


class _Parser(argparse.ArgumentParser):
    """A parser that reports errors in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print a table as each part ends, and write JSON on request."""
    chosen = _chosen(arguments)
    try:
        if chosen.theirs is not None:
            from benchmarks.tools.speed import theirs

            theirs.require(chosen.theirs)
        return _measure(chosen)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; what is printed above was measured.", file=sys.stderr)
        return 130


def _chosen(arguments: list[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="python -m benchmarks.speed", description=__doc__)
    names = f"what to measure, by default all but {', '.join(WHEN_NAMED)}: {', '.join(PARTS)}"
    parser.add_argument("parts", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows here")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument(
        "--threads", type=int, default=min(2, visible_processors()), help="of the CPU (2)"
    )
    parser.add_argument(
        "--jobs", type=int, default=2, metavar="N", help="workers of the sweeps with --jobs (2)"
    )
    parser.add_argument(
        "--ray", default="local", metavar="ADDRESS", help="cluster of the sweep with --ray (local)"
    )
    parser.add_argument(
        "--theirs", type=Path, metavar="DIR", help="checkout of LIFT's code, to measure its step"
    )
    parser.add_argument("--quick", action="store_true", help="few turns, rough figures")
    chosen = parser.parse_args(arguments)
    for name in chosen.parts:
        if name not in PARTS:
            parser.error(str(did_you_mean("part", name, PARTS)))
    if not 1 <= chosen.threads <= visible_processors():
        parser.error(f"--threads {chosen.threads}: 1 to {visible_processors()} of this machine.")
    if chosen.jobs < 1:
        parser.error(f"--jobs {chosen.jobs}: 1 or more.")
    if chosen.json is not None:
        if not chosen.json.resolve().parent.is_dir():
            parser.error(f"--json: there is no folder {chosen.json.parent}.")
        if not may_write(chosen.json.resolve()):
            parser.error(f"--json: {chosen.json} cannot be written.")
    return chosen


def _measure(chosen: argparse.Namespace) -> int:
    import torch

    from benchmarks import device as devices
    from benchmarks.tools.speed.machine import Machine

    device, precision = devices.pick(chosen.device), chosen.precision
    if precision == "auto":
        precision = "bf16" if devices.has_bf16(device) else "fp32"
    torch.set_num_threads(chosen.threads)
    machine = Machine(device, precision, chosen.quick, chosen.jobs, chosen.ray, chosen.theirs)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # silences the profiler's messages

    console = Console()
    console.print(f"{devices.describe(device)}, torch {torch.__version__}, {precision}")
    rows: list[Row] = []
    for name in chosen.parts or [name for name in PARTS if name not in WHEN_NAMED]:
        with console.status(f"measuring {name} …"), _without_warnings():
            found = _measured(name, machine)
        _print(found, console)
        rows += found
        if chosen.json is not None:
            text = json.dumps([row.as_dict() for row in rows], indent=1)
            chosen.json.write_text(text + "\n", encoding="utf-8")
    return 0


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence warnings that random data are not the real ones."""
    logger = logging.getLogger("benchmarks")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _measured(name: str, machine: Machine) -> list[Row]:
    module, _, function = PARTS[name].partition(".")
    measure: Callable[[Machine], list[Row]] = getattr(
        import_module(f"benchmarks.tools.speed.{module}"), function
    )
    return measure(machine)


def _print(rows: list[Row], console: Console) -> None:
    """Print a table, and below it each note once."""
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
        console.print(f"{mark}{note}.", style="dim", markup=False, highlight=False)
    console.print()


if __name__ == "__main__":
    sys.exit(main())
