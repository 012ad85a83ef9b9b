"""Checks of a method in a child process, which a method may end, crash or hang.

The checks run in the child, which imports the plug-in itself; this process reads their outcomes. If
the child dies in one of them, a new child goes on with the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from benchmarks.errors import UserError
from benchmarks.processes import Child, Ended, Overdue, Parent
from benchmarks.visible import one_visible_line

if TYPE_CHECKING:
    from benchmarks.conformance.outcomes import Outcome
    from benchmarks.datasets.base import TaskKind

Status = Literal["passed", "failed", "exempt", "not applicable", "not run"]
LIMIT_S = 300.0
"""Longest time of a check; the slowest of the suite's own takes seconds."""
_STARTING = 120.0
"""Seconds to load the libraries, in addition."""
_PRINTED = 200


class Result(NamedTuple):
    """Outcome of a check, as the table shows it."""

    check: str
    status: Status
    line: str
    """Reason, or what the check demands."""
    demand: str = ""
    """The check's demand, if `line` is a reason."""
    hint: str = ""
    """Advice, if the method fails the check."""

    @property
    def bad(self) -> bool:
        """True if the method must be changed."""
        return self.status in ("failed", "not run")

    @classmethod
    def of(cls, outcome: Outcome) -> Result:
        """Return an outcome in one line."""
        line = one_visible_line(outcome.line or outcome.check.demand)
        found = cls(outcome.check.name, outcome.status, line)
        return found.explained(outcome.check.demand, outcome.check.hint)

    def explained(self, demand: str, hint: str) -> Result:
        """Return the outcome with what a reader of a reason has to know besides."""
        if self.status == "passed":
            return self
        return self._replace(demand=demand, hint=hint if self.bad else "")


class _Listed(NamedTuple):
    """A check that a child is going to run."""

    name: str
    fits: bool
    demand: str
    hint: str


def in_children(
    name: str, kind: TaskKind, plugins: Sequence[Path], limit_s: float
) -> Iterator[Result]:
    """Run all checks on a method and yield their outcomes.

    Args:
        name: registered method.
        kind: "single" or "multi"; the method serves it.
        plugins: files that the child loads first.
        limit_s: longest time of a check, in seconds.

    Raises:
        UserError: a plug-in does not import, or no child can be started.
    """
    done: list[str] = []
    remaining: list[_Listed] | None = None
    while remaining is None or remaining:
        child = Child(_answer, [str(file) for file in plugins], name, kind, done)
        try:
            remaining = _listed(child, limit_s, done)
            while remaining:
                result = _received(child, limit_s, remaining[0].name)
                done.append(remaining[0].name)
                yield _explained(result, remaining.pop(0))
        except (Ended, Overdue) as error:
            if remaining is None:
                raise UserError(f"Method '{name}' cannot be checked: {error}.") from None
            died = remaining.pop(0)
            done.append(died.name)
            result = Result(died.name, "failed", f"{error}{_last_words(child)}")
            yield _explained(result, died)
            if died.name == "fits":
                for check in [check for check in remaining if check.fits]:
                    done.append(check.name)
                    yield _explained(Result(check.name, "not run", "it cannot be fitted"), check)
                remaining = [check for check in remaining if not check.fits]
        finally:
            child.kill()


def _listed(child: Child, limit_s: float, done: list[str]) -> list[_Listed]:
    """Return the checks that a child is going to run, in order."""
    try:
        head = child.receive(limit_s + _STARTING).head
    except Overdue:
        raise Overdue(f"the plug-in takes longer than {limit_s:g} seconds to import") from None
    if head.get("kind") == "refused":
        raise UserError(one_visible_line(str(head.get("line"))))
    columns = [head.get(column) for column in ("names", "fits", "demands", "hints")]
    lists = [column for column in columns if isinstance(column, list)]
    if len(lists) < len(columns) or set(done) & set(map(str, lists[0])):
        raise Ended("its process sent something that is not a list of checks")
    return [
        _Listed(str(name), bool(fit), one_visible_line(str(demand)), one_visible_line(str(hint)))
        for name, fit, demand, hint in zip(*lists, strict=False)
    ]


def _explained(result: Result, check: _Listed) -> Result:
    return result.explained(check.demand, check.hint)


def _received(child: Child, limit_s: float, name: str) -> Result:
    """Return the result of the check that a child runs."""
    try:
        head: dict[str, Any] = child.receive(limit_s).head
    except Overdue:
        raise Overdue(f"takes longer than {limit_s:g} seconds (--timeout)") from None
    line = head.get("line")
    for status in get_args(Status):
        if head.get("check") == name and head.get("status") == status and isinstance(line, str):
            return Result(name, status, one_visible_line(line))
    raise Ended("its process sent something that is not the outcome of this check")


def _last_words(child: Child) -> str:
    """Return the last line that a child printed, in brackets; "" if it printed nothing."""
    child.kill()
    lines = [line for line in child.output().splitlines() if line.strip()]
    return f" (it printed: {one_visible_line(lines[-1], _PRINTED).strip()})" if lines else ""


def _answer(parent: Parent, plugins: list[str], name: str, kind: TaskKind, done: list[str]) -> None:
    """Run the checks that are not done and send their outcomes."""
    from benchmarks.conformance.checks import CHECKS
    from benchmarks.conformance.outcomes import run_checks
    from methods.registry import METHODS

    checks = [check for check in CHECKS if check.name not in done]
    try:
        for file in plugins:
            METHODS.load_file(Path(file))
        METHODS.get(name)
    except UserError as error:
        parent.send({"kind": "refused", "line": str(error)})
        return
    parent.send(
        {
            "kind": "checks",
            "names": [check.name for check in checks],
            "fits": [check.fits for check in checks],
            "demands": [check.demand for check in checks],
            "hints": [check.hint for check in checks],
        }
    )
    for outcome in run_checks(name, kind, checks):
        result = Result.of(outcome)
        parent.send(
            {"kind": "outcome", "check": result.check, "status": result.status, "line": result.line}
        )
