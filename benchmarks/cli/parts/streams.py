"""Standard streams that cannot harm: no control characters, no crash if they cannot be written.

Everything printed (tables, errors, the help, warnings, log lines, prints of a plug-in) passes
through `Output`. This module imports the standard library only, so it works before anything is
installed.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

from benchmarks.visible import visible

_PLAIN = {
    "–": "-", "—": "-", "−": "-", "±": "+-", "×": "x", "…": "...", "†": "*", "‡": "**",
    "↑": "+", "↓": "-", "≤": "<=", "≥": ">=", "→": "->", "’": "'", "“": '"', "”": '"',
}  # fmt: skip
"""Characters that the suite prints, for terminals that cannot show them."""


class Output:
    """A text stream that shows control characters and survives a reader that is gone.

    Args:
        stream: where the text goes.
        obeyed: pass control characters on; for rich, which adds its own to clean text.
        lost: the errors that lost output; none for a pipe whose reader has read enough.
    """

    def __init__(
        self, stream: TextIO, *, obeyed: bool = False, lost: list[OSError] | None = None
    ) -> None:
        self.stream = stream
        self.lost = [] if lost is None else lost
        self._obeyed = obeyed

    def write(self, text: str) -> int:
        """Write as much as the stream can represent; return the length of the text."""
        shown = text if self._obeyed else visible(text)
        try:
            try:
                self.stream.write(shown)
            except UnicodeEncodeError:
                encoding = self.stream.encoding
                self.stream.write(shown.encode(encoding, "plain").decode(encoding))
        except OSError as error:
            self._discard(error)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write each of the lines."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Flush the stream; after an error further output goes nowhere."""
        try:
            self.stream.flush()
        except OSError as error:
            self._discard(error)

    def _discard(self, error: OSError) -> None:
        """Send further output nowhere: a command with a full disk behind it still does its work."""
        if not isinstance(error, BrokenPipeError):
            self.lost.append(error)
        with contextlib.suppress(OSError, ValueError):  # ValueError: no descriptor
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def protect() -> None:
    """Put `Output` in the place of sys.stdout and sys.stderr, also of those that are closed."""
    for descriptor in range(3):
        # Otherwise the next file that opens would get its number, and a library's prints.
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the whole program
        if not isinstance(stream, Output):
            setattr(sys, name, Output(stream))


@contextlib.contextmanager
def protected() -> Iterator[None]:
    """Protect the streams within a block."""
    before = sys.stdout, sys.stderr
    protect()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def for_rich(stream: TextIO) -> TextIO:
    """The stream for a console that cleans its text itself and adds codes to it."""
    outer = stream if isinstance(stream, Output) else Output(stream)
    return cast(TextIO, Output(outer.stream, obeyed=True, lost=outer.lost))


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    escaped = (_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text)
    return "".join(escaped), error.end


codecs.register_error("plain", _plain)
