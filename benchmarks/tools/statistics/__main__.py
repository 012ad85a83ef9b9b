"""python -m benchmarks.tools.statistics [NAME…]: what simulation says of intervals and verdicts."""

from __future__ import annotations

import argparse
import sys
import time
from typing import NoReturn

from benchmarks.errors import UserError, did_you_mean
from benchmarks.tools.statistics.grids import GRIDS


class _Parser(argparse.ArgumentParser):
    """A parser that reports errors in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    """Print the tables that are named, as Markdown, and return the exit status."""
    parser = _Parser(prog="python -m benchmarks.tools.statistics", description=__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*",
                        help=f"tables (default all): {', '.join(GRIDS)}")  # fmt: skip
    parser.add_argument("--worlds", type=int, help="worlds for each line (default: each its own)")
    parser.add_argument("--seed", type=int, default=0, help="of all random choices (default 0)")
    chosen = parser.parse_args(arguments)
    try:
        for name in chosen.names:
            if name not in GRIDS:
                raise did_you_mean("table", name, GRIDS)
        if chosen.worlds is not None and chosen.worlds < 1:
            raise UserError("--worlds must be 1 or more.")
        if chosen.seed < 0:
            raise UserError("--seed must be 0 or more.")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name in chosen.names or GRIDS:
        start = time.process_time()
        for line in GRIDS[name](chosen.worlds, chosen.seed):
            print(line, flush=True)
        print(f"\n`{name}`: {time.process_time() - start:.0f} s of processor time\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
