#!/usr/bin/env python3
"""The command line. Verbs are the files of benchmarks/cli/; `--help` lists them."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext

from benchmarks.cli.parts.streams import Output, protect, protected
from benchmarks.cli.parts.verbs import parse
from benchmarks.errors import UserError, of_the_system
from benchmarks.packages import why_unusable
from benchmarks.visible import one_visible_line


def main(arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit status; an error is one line unless --debug."""
    words = sys.argv[1:] if arguments is None else arguments
    with protected():
        try:
            status = _run(words, debug="--debug" in words)
        finally:
            lost = _flush()
        if not lost or status:
            return status
        reason = lost[0].strerror or lost[0]
        return _fail(f"the output could not be written ({reason}); the work is done.", 1)


def _run(words: list[str], *, debug: bool) -> int:
    """Run a command line and return its exit status.

    Raises:
        SystemExit: the help was asked for; its status is 0.
        Exception: with `debug`, whatever went wrong.
    """
    try:
        verb, options = parse(words)
    except (Exception, KeyboardInterrupt) as error:
        return _failed(error, debug=debug)
    try:
        os.getcwd()
    except FileNotFoundError:
        return _fail("the current folder has been removed: change to another one (`cd`).", 2)
    try:
        from benchmarks.cli.parts.console import SafeConsole

        # An answer in JSON is alone on standard output.
        messages = sys.stderr if getattr(options, "json", False) else sys.stdout
        with _in_one_process() if debug else nullcontext():
            if getattr(options, "plugin", None) and options.verb not in ("predict", "export"):
                _warm_up(options.verb)
            return verb.execute(options, SafeConsole(messages))
    except BaseException as error:  # a plug-in may raise SystemExit or GeneratorExit
        return _failed(error, debug=debug)


def _in_one_process() -> AbstractContextManager[None]:
    """Let a debugger reach methods and plug-ins, which otherwise have processes of their own."""
    from benchmarks.processes import staying_here

    return staying_here()


def _warm_up(verb: str) -> None:
    """Let the children's server import torch while this process imports what the verb needs."""
    from benchmarks.processes import in_this_process
    from benchmarks.starting import warm_up

    if not in_this_process():
        warm_up(fitting=verb in ("run", "tune", "check"))


def _failed(error: BaseException, *, debug: bool) -> int:
    """Print the error that is being handled as one line and return the exit status."""
    if isinstance(error, KeyboardInterrupt):
        return _fail("interrupted.", 130)
    if debug:
        raise
    if isinstance(error, UserError):
        return _fail(str(error), 2)
    if line := why_unusable(error):
        return _fail(line, 2)
    if isinstance(error, OSError) and (line := of_the_system(error)):
        return _fail(line, 2)
    if isinstance(error, MemoryError):
        return _fail("there is not enough memory for this; --debug shows for what.", 1)
    line = f"{type(error).__name__}: {_text_of(error)}"
    return _fail(f"unexpected {line} (--debug shows where; please report it).", 1)


def _text_of(error: BaseException) -> str:
    """The message of an error, whose class may be a plug-in's and unable to say it."""
    try:
        return str(error)
    except Exception:
        return "(its message cannot be read)"


def _flush() -> list[OSError]:
    """Write out what is buffered; the errors that lost output."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, Output)]
    for stream in streams:
        stream.flush()
    return [error for stream in streams for error in stream.lost]


def _fail(text: str, status: int) -> int:
    """Print an error as one line and return the exit status."""
    line = one_visible_line(text)
    try:
        from rich.text import Text

        from benchmarks.cli.parts.console import SafeConsole
    except ModuleNotFoundError:  # the error may be that nothing is installed
        print(f"error: {line}", file=sys.stderr)
        return status
    SafeConsole(sys.stderr).print(Text("error:", style="red"), line, soft_wrap=True)
    return status


if __name__ == "__main__":
    protect()  # to the end: the traceback of --debug is printed after `main`
    sys.exit(main())
