"""The standard streams: control characters, encodings, streams that are closed or full."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

import run_benchmarks
from benchmarks.cli.parts.console import SafeConsole
from benchmarks.cli.parts.streams import Output, protected
from tests.benchmarks.cli.commands import SCRIPT

HOSTILE = "\x1b]0;title\x1b\\\x9b31m\u202e\udcff[red]x[/red]"
SHOWN = r"\x1b]0;title\x1b\\x9b31m\u202e\udcff[red]x[/red]"


def console(stream: io.StringIO) -> SafeConsole:
    made = SafeConsole(stream)
    made.width = 200
    return made


def test_everything_that_is_printed_is_clean() -> None:
    stream = io.StringIO()
    to = console(stream)
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(HOSTILE)
    table.add_row(Text(HOSTILE))
    to.print(HOSTILE, Text(HOSTILE), table)
    to.print(Text("link", style="link http://x"))
    to.print(Text.from_ansi("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\"))
    text = stream.getvalue()
    assert text.count(SHOWN) == 6
    assert all(character.isprintable() or character == "\n" for character in text)
    rows = [line for line in text.splitlines() if "│" in line]
    assert len({len(row) for row in rows}) == 1  # as wide as what is shown


def test_styles_of_the_suite_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = io.StringIO()
    to = console(stream)
    to.print("\x1b[5m", style="red")
    to.print(Text("link", style="link http://x"))
    assert stream.getvalue() == "\x1b[31m\\x1b[5m\x1b[0m\nlink\n"
    with Live(HOSTILE, console=to, auto_refresh=False):
        sys.stdout.write("\x1b]8;;http://x\x1b\\from a plug-in\x1b]8;;\x1b\\\n")
    text = stream.getvalue()
    assert "from a plug-in" in text
    assert "]8;" not in text
    assert "\x1b]0" not in text
    assert SHOWN in text


def test_logs_warnings_and_prints_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    with protected():
        sys.stdout.write(HOSTILE + "\n")
        sys.stderr.writelines([HOSTILE, "\n"])
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            sys.stderr.write(warnings.formatwarning(HOSTILE, UserWarning, HOSTILE, 1, ""))
        record = logging.makeLogRecord({"msg": HOSTILE, "levelno": 40})
        assert logging.lastResort is not None
        logging.lastResort.handle(record)
    out, err = capsys.readouterr()
    assert out == SHOWN + "\n"
    assert err.count(SHOWN) == 4
    assert "\x1b" not in err


def test_an_error_is_one_clean_line_of_bounded_length(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_benchmarks.main([HOSTILE + "\nerror: forged"]) == 2
    err = capsys.readouterr().err
    assert SHOWN in err
    assert err.count("\n") == 1
    assert run_benchmarks.main(["x" * 100_000]) == 2
    assert len(capsys.readouterr().err) < 2100


@pytest.mark.parametrize("columns", ["0", "1", "5"])
def test_a_terminal_without_room(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert SafeConsole(io.StringIO()).width == (80 if columns == "0" else 40)
    assert run_benchmarks.main(["list", "methods"]) == 0
    assert "zero_shot" in capsys.readouterr().out


def test_characters_that_an_encoding_lacks() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Output(stream).write("50 ± 1 – … 数\n")
    Console(file=Output(stream, obeyed=True)).print("†")  # type: ignore[arg-type]
    stream.flush()
    assert raw.getvalue() == b"50 +- 1 - ... \\u6570\n*\n"


COMMAND = f"{sys.executable} {SCRIPT}"


@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        (f"{COMMAND} list backbones >&-", 0, ""),
        (f"{COMMAND} list backbones 2>&-", 0, ""),
        (f"{COMMAND} show nothing 2>&-", 2, ""),
        (f"{COMMAND} list backbones <&-", 0, ""),
        (f"{COMMAND} --help >&-", 0, ""),
        (f"{COMMAND} list backbones > /dev/full", 1, "could not be written (No space left"),
        (f"{COMMAND} --help > /dev/full", 0, ""),
        (f"{COMMAND} show nothing 2> /dev/full", 2, ""),
    ],
)
def test_streams_that_are_closed_or_full(work: Path, line: str, status: int, says: str) -> None:
    if "/dev/full" in line and not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    run = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert run.returncode == status
    assert says in run.stderr
    assert "Traceback" not in run.stderr
    assert "Exception ignored" not in run.stderr
