"""The child process that tries an import for a process that must not.

An import can do anything: end the process, hang, exchange functions of this project, change how
torch computes. Whatever it does happens in the child, and the asking process reads an answer or
raises one line.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.errors import UserError
from benchmarks.plugins.origins import IMPORT, Origin, failure
from benchmarks.processes import Child, Ended, Overdue, Parent
from benchmarks.visible import one_visible_line

LIMIT_S = 60.0
"""Time for an import."""


def ask(describe: Callable[[Origin], bytes], origin: Origin) -> bytes:
    """Let a child import a plug-in, and return its description.

    Args:
        describe: a function of a module; it imports a plug-in and describes what that registered.
        origin: the plug-in.

    Raises:
        UserError: the import failed in any way.
    """
    child = Child(_answer, describe, origin)
    try:
        message = child.receive(LIMIT_S)
    except Overdue:
        raise UserError(
            f"{origin} does not import: it takes longer than {LIMIT_S:.0f} seconds."
        ) from None
    except Ended as ended:
        raise UserError(f"{origin} does not import: {ended}.") from None
    finally:
        child.kill()
    if message.head.get("kind") == "description":
        return message.body
    line = one_visible_line(message.body.decode(errors="replace"))
    raise UserError(line or f"{origin} does not import.")


def _answer(parent: Parent, describe: Callable[[Origin], bytes], origin: Origin) -> None:
    """Import the plug-in in the child and send its description, or the line of a refusal."""
    try:
        kind, body = "description", describe(origin)
    except BaseException as error:
        known = isinstance(error, UserError)
        refusal = error if known else failure(f"{origin}", IMPORT, error, origin.home)
        kind, body = "refused", str(refusal).encode(errors="replace")
    parent.send({"kind": kind}, body)
