"""The command line of the campaigns."""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.tools.torture.campaign import Order, Tally

CAMPAIGNS = ("kill", "damage", "plugins", "fuzz")


def main(arguments: list[str] | None = None) -> int:
    """Run one campaign, print its tally and return the exit status: 1 if it has faults."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tools.torture", description=__doc__)
    verbs = parser.add_subparsers(dest="campaign", required=True)
    for name in CAMPAIGNS:
        module = importlib.import_module(f"benchmarks.tools.torture.{name}")
        line = (module.__doc__ or "").splitlines()[0]
        verb = verbs.add_parser(name, help=line, description=line)
        verb.add_argument("--seed", type=int, default=0, help="of all random choices (default 0)")
        verb.add_argument("--count", type=int, default=module.COUNT,
                          help=f"cases (default {module.COUNT})")  # fmt: skip
        verb.add_argument("--folder", type=Path, help="where to work and to keep cases with faults")
        verb.add_argument("--only", metavar="CASE", help="repeat one case, by its name or number")
        verb.add_argument("--jobs", type=int, default=1, help="cases at a time (default 1)")
    chosen = parser.parse_args(arguments)
    module = importlib.import_module(f"benchmarks.tools.torture.{chosen.campaign}")
    folder = Path(chosen.folder or tempfile.mkdtemp(prefix=f"torture-{chosen.campaign}-")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        print(f"error: {folder} is not empty: name a new folder.", file=sys.stderr)
        return 2
    order = Order(chosen.seed, chosen.count, folder, chosen.only, chosen.jobs)
    try:
        tally: Tally = module.campaign(order)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{chosen.campaign}, seed {chosen.seed}:")
    for outcome, times in sorted(tally.counts.items(), key=lambda item: -item[1]):
        print(f"{times:8,} {outcome}")
    print(f"{len(tally.faults):8,} faults")
    for fault in tally.faults:
        print(f"  {fault}")
    if tally.faults:
        print(f"Folders of the faults: {folder}")
    elif chosen.folder is None:
        shutil.rmtree(folder)
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
