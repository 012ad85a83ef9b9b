"""Targets of the child processes that tests start."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.processes import Parent, in_this_process


def obey(parent: Parent) -> None:
    """Do what each request says, then answer."""
    while True:
        try:
            request = parent.next_request()
        except EOFError:
            return
        body = b""
        match request:
            case "exit":
                os._exit(0)
            case "crash":
                ctypes.string_at(0)
            case "kill server":
                os.kill(os.getppid(), signal.SIGKILL)
            case "noise":
                for number in range(256):
                    try:
                        os.write(number, b"noise" * 1000)
                    except OSError:
                        continue
            case "close":
                os.closerange(0, 256)
            case "fork":
                os.fork()
            case "print":
                os.write(1, b"printed\n")
                os.write(2, b"x" * 1_000_000)
            case "sleep":
                time.sleep(1000)
            case ("stdin", _):
                body = sys.stdin.read().encode()
            case ("echo", data):
                body = data
        parent.send({"kind": str(request)[:20], "here": in_this_process()}, body)


def outcome(name: str, status: str = "passed", line: str = "") -> dict[str, Any]:
    """Return the message that a check has ended."""
    return {"kind": "outcome", "check": name, "status": status, "line": line}


def play(parent: Parent, plugins: list[str], name: str, script: str, done: list[str]) -> None:
    """Answer as a process of checks does, with what a file of JSON holds for each check."""
    names = [n for n in ("first", "fits", "third", "last") if n not in done]
    texts = {"demands": [f"{n} holds" for n in names], "hints": [f"mend {n}" for n in names]}
    parent.send({"kind": "checks", "names": names, "fits": [n != "last" for n in names], **texts})
    for step in names:
        head = json.loads(Path(script).read_text()).get(step, outcome(step))
        if head == "exit":
            os.write(1, b"\n\x1b[31mfarewell\n\n")
            os._exit(3)
        if head == "sleep":
            time.sleep(100)
        parent.send(head)


def import_torch(parent: Parent) -> None:
    """Import torch, then answer."""
    import torch

    parent.send({"version": torch.__version__})
