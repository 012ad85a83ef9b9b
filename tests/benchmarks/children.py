"""Targets of the child processes that tests start."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

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
