"""The verb `plan`: the cells of a sweep, the state of each and an estimate of time."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.cli.parts.flags import add_allow_mixed, add_json, add_sweep_flags

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.sweep.plan import Planned

HELP = "list the cells of a sweep with their state and time; run nothing"
EXAMPLES = {"plan --methods lift --datasets places_lt": "what a run would compute"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take every flag of `run`, so that one word turns a run into its plan, and one more."""
    add_sweep_flags(parser)
    add_allow_mixed(parser)
    add_json(parser)
    parser.add_argument(
        "--power",
        metavar="POINTS",
        help="also estimate from finished runs how many seeds are needed to show this difference",
    )


def execute(options: argparse.Namespace, console: Console) -> int:
    """Print the plan of a sweep."""
    from benchmarks.cli.parts.json_answer import print_json
    from benchmarks.cli.parts.messages import warn
    from benchmarks.cli.parts.plan_answer import plan_answer
    from benchmarks.cli.parts.plan_table import outlook, print_plan
    from benchmarks.cli.parts.records import read_records
    from benchmarks.cli.parts.sweeps import (
        estimator_for,
        missing_inputs,
        print_bf16,
        print_empty_part,
        requested_sweep,
        warn_of_changed_data,
    )
    from benchmarks.errors import counted
    from benchmarks.run.slots import slots_of
    from benchmarks.run.tracking.packages import require_trackers
    from benchmarks.sweep import plan
    from benchmarks.sweep.settings import difference_in_points
    from results.store import Store

    power = None if options.power is None else difference_in_points(options.power, "--power")
    sweep = requested_sweep(options, console)
    require_trackers(sweep.track)
    places = len(slots_of(sweep))
    expansion = plan.expand(sweep, partial(warn, console))
    cells = expansion.cells
    if not cells and not options.json:
        return print_empty_part(sweep, console)
    records = read_records(Store(sweep.out), console)
    planned = plan.look_up(cells, records, repeatable=not sweep.no_deterministic)
    todo = [p.cell for p in planned if p.to_run(sweep.rerun, sweep.accept_stale)]
    estimator = estimator_for(records, sweep)
    missing, fatal = missing_inputs(todo, sweep)
    notes = [*missing, *_notes(planned)]
    for note in notes:
        warn(console, f"note: {note}")
    if not options.json:
        print_plan(planned, todo, estimator, console)
    warn_of_changed_data(planned, records, sweep, console)
    answer = plan_answer(planned, todo, estimator, places, sweep) | {"notes": notes, "designs": []}
    if not options.json:
        console.print(f"\n{counted(len(planned), 'cell')}, {outlook(todo, estimator, places)}.")
        print_bf16(todo, estimator, sweep, console, tried=False)
        if fatal:
            warn(console, "A run would not begin: see the notes above the table.")
    if power is not None:
        from benchmarks.cli.parts.designs import design_lines, designs, print_designs

        finished = [p.record for p in planned if p.record and p.record.status == "done"]
        families = designs(finished, expansion.baselines, sweep.out, power, console)
        answer["designs"] = design_lines(families)
        if not options.json:
            print_designs(families, console)
    if options.json:
        print_json(answer)
    return 2 if fatal else 0


def _notes(planned: Sequence[Planned]) -> list[str]:
    """Remarks on the data sets of a plan."""
    families = dict.fromkeys((p.cell.dataset, p.cell.family) for p in planned)
    return [f"{dataset}: {note}" for dataset, family in families for note in family.notes()]
