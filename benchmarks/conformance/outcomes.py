"""Checks, their outcomes, and the loop that runs them on a method."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.conformance.demands import DoesNotApply, Violation
from benchmarks.conformance.subject import Subject
from benchmarks.datasets.base import TaskKind
from benchmarks.plugins.entries import first_line
from benchmarks.visible import one_visible_line

_LONGEST = 10_000
Status = Literal["passed", "failed", "exempt", "not applicable", "not run"]


@dataclass(frozen=True)
class Check:
    """A demand on every method."""

    run: Callable[[Subject], None]
    """Raises if the method does not meet it."""
    fits: bool = True
    """The check needs a method that can be fitted."""
    exemptible: bool = True
    """A method may declare itself exempt; not from checks that guard the integrity of results."""

    @property
    def name(self) -> str:
        """Name in tables and in `exempt`."""
        return self.run.__name__

    @property
    def demand(self) -> str:
        """The demand in one line."""
        return first_line(self.run.__doc__)

    @property
    def hint(self) -> str:
        """Advice to whoever does not meet it, on one line."""
        return " ".join((self.run.__doc__ or "").partition("\n\n")[2].split())


@dataclass(frozen=True)
class Outcome:
    """Outcome of a check."""

    check: Check
    status: Status
    line: str = ""
    """Reason, unless the check passed."""

    @property
    def bad(self) -> bool:
        """True if the method must be changed."""
        return self.status in ("failed", "not run")


def run_checks(
    name: str, kind: TaskKind, checks: Sequence[Check], *, debug: bool = False
) -> Iterator[Outcome]:
    """Run checks on a method and yield their outcomes.

    Args:
        name: registered method.
        kind: "single" or "multi"; the method serves it.
        checks: the checks; those that fit nothing come first.
        debug: raise violations instead of yielding them.

    Raises:
        UserError: no such method, or a file of methods that does not import.
    """
    subject = Subject(name, kind)
    fits = True
    for check in checks:
        exempt = subject.info.exempt.get(check.name)
        if exempt is not None and check.exemptible:
            yield Outcome(check, "exempt", exempt)
            continue
        if check.fits and not fits:
            yield Outcome(check, "not run", "it cannot be fitted")
            continue
        try:
            check.run(subject)
        except DoesNotApply as reason:
            yield Outcome(check, "not applicable", str(reason))
        except BaseException as error:  # a method may raise SystemExit or GeneratorExit
            if debug:
                raise
            fits = fits and check.name != "fits"
            yield Outcome(check, "failed", _line(error))
        else:
            yield Outcome(check, "passed")


def _line(error: BaseException) -> str:
    """Return the violation, or what the method raised and where."""
    try:
        text = one_visible_line(" ".join(str(error)[:_LONGEST].split()))
    except Exception:  # the class may be a plug-in's
        text = "(its message cannot be read)"
    if isinstance(error, Violation):
        return text
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {text} ({Path(last.filename).name}, line {last.lineno})"
