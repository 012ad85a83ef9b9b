"""python -m benchmarks.tools.parity NAME… --theirs DIR: our numbers beside the authors' own.

Their code is read from a checkout on your disk and runs on your machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.errors import UserError
from benchmarks.tools.checkouts import Checkout, quiet
from benchmarks.tools.parity.contract import Comparison, Pair, named, names


class _Parser(argparse.ArgumentParser):
    """A parser that reports errors in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the comparisons that are named, or list all; return the exit status.

    Returns:
        0 if all numbers agree, 1 if some differ, 2 if the arguments or the checkout are unusable.
    """
    parser = _Parser(prog="python -m benchmarks.tools.parity", description=__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*", help="comparisons (default: list them)")
    parser.add_argument("--theirs", metavar="DIR", type=Path, help="checkout of the authors' code")
    parser.add_argument("--list", action="store_true", help="list comparisons and repositories")
    parser.add_argument("--markdown", action="store_true", help="print the lines of docs/parity.md")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.theirs is not None and not chosen.names:
            raise UserError(f"--theirs needs the name of a comparison: {', '.join(names())}.")
        comparisons = [named(name) for name in chosen.names or names()]
        if chosen.list or not chosen.names:
            _list(comparisons)
            return 0
        if chosen.theirs is None:
            raise UserError(
                f"--theirs DIR: a checkout of github.com/{comparisons[0].repository} is needed."
            )
        results = [run(each, chosen.theirs, markdown=chosen.markdown) for each in comparisons]
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0 if all(results) else 1


def _list(comparisons: list[Comparison]) -> None:
    width = max(len(each.name) for each in comparisons)
    for each in comparisons:
        print(f"{each.name:{width}}  {each.repository} {each.commit[:7]}: {each.what}")


def run(comparison: Comparison, folder: Path, *, markdown: bool) -> bool:
    """Compare, print, and return True if everything agrees.

    Raises:
        UserError: the folder is not their code, or the code cannot be used.
    """
    theirs = Checkout(folder, comparison.repository, comparison.files)
    warning = _warning(theirs, comparison)
    if warning:
        print(f"warning: {comparison.name}: {warning}.", file=sys.stderr)
    try:
        with on_cpu(), quiet():
            pairs = list(comparison.pairs(theirs))
    except UserError:
        raise
    except Exception as error:
        kind = "another version of the code: " if warning else ""
        raise UserError(
            f"{comparison.name}: {kind}{type(error).__name__} in {_place(error)}: {error}"
        ) from error
    source = f"{comparison.repository} {(theirs.commit or 'unknown')[:7]}"
    if markdown:
        print(_row(comparison, source, pairs))
    else:
        _print(comparison, source, pairs)
    return all(pair.agrees for pair in pairs)


def _warning(theirs: Checkout, comparison: Comparison) -> str:
    """Say how their version differs from the one of docs/parity.md; "" if it does not."""
    stated = f"docs/parity.md has {comparison.commit[:7]}"
    if theirs.commit is None:
        return f"{theirs.folder} is not a git checkout: its commit is unknown, {stated}"
    if theirs.commit != comparison.commit:
        return f"{theirs.folder} is at commit {theirs.commit[:7]}, {stated}"
    if changed := theirs.changed():
        return f"{theirs.folder}: {', '.join(changed)} was changed since the commit"
    return ""


def _place(error: BaseException) -> str:
    """File and line that raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"


def _print(comparison: Comparison, source: str, pairs: list[Pair]) -> None:
    print(f"{comparison.name}: {comparison.what}")
    print(f"  {source}")
    width = max(len(pair.what) for pair in pairs)
    print(f"  {'':{width}}  absolute  relative  tolerance")
    for pair in pairs:
        absolute, relative = pair.differences
        verdict = "ok" if pair.agrees else "DIFFERS"
        numbers = f"{absolute:8.1e}  {relative:8.1e}  {pair.tolerance:9.0e}"
        print(f"  {pair.what:{width}}  {numbers}  {verdict}")
    if comparison.stand_ins:
        print(f"  stand-ins: {comparison.stand_ins}")
    if comparison.differs:
        print(f"  differs on purpose: {comparison.differs}")


def _row(comparison: Comparison, source: str, pairs: list[Pair]) -> str:
    """The line of docs/parity.md."""
    worst = max(pairs, key=lambda pair: pair.differences[1])
    absolute, relative = worst.differences
    largest = f"{relative:.0e} ({worst.what})" if absolute else "0"
    if not all(pair.agrees for pair in pairs):
        largest = f"DIFFERS: {largest}"
    what = comparison.what.rstrip(".")
    differs = comparison.differs or "–"
    return f"| `{comparison.name}` | {source} | {what} | {largest} | {differs} |"


@contextmanager
def on_cpu() -> Iterator[None]:
    """Let code that asks for a GPU compute on the CPU, where our side computes, too."""
    import torch

    def stay(here: Any, *_: Any, **__: Any) -> Any:
        return here

    replaced: list[tuple[Any, str, Any]] = [
        (torch.Tensor, "cuda", stay),
        (torch.nn.Module, "cuda", stay),
        (torch.cuda, "is_available", lambda: False),
        (torch.cuda, "FloatTensor", torch.FloatTensor),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
    try:
        for owner, name, stand_in in replaced:
            setattr(owner, name, stand_in)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


if __name__ == "__main__":
    sys.exit(main())
