"""A command that submitit runs in a task of an array, and starts again after a time-out.

submitit pickles it, by value: a node needs submitit and the command, but not this package.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Any

_PATIENCE_S = 60.0
"""Seconds that an interrupted command has to write what it has; Slurm kills it after 90."""


class ArrayTask:
    """Runs a command; `submitit` calls `checkpoint` before it queues the task again.

    Args:
        command: the command and its arguments.
        folder: its working directory.
    """

    def __init__(self, command: Sequence[str], folder: str) -> None:
        self._command = list(command)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> None:
        """Run the command.

        Raises:
            RuntimeError: its exit status is not 0.
        """
        if not os.path.isdir(self._folder):
            raise RuntimeError(
                f"{self._folder} is not on {os.uname().nodename}: run `submit` in a folder that "
                "all nodes share."
            )
        # Slurm sends the signal to all processes of a task, and it ends those that do not know it.
        self._process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
        )
        while self._process.poll() is None:
            time.sleep(0.2)
        if self._process.returncode:
            raise RuntimeError(f"exit status {self._process.returncode}; its output says why")

    def checkpoint(self) -> Any:
        """Interrupt the command, which gives its cells back, and return the task to queue again."""
        from submitit.helpers import DelayedSubmission

        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            end = time.monotonic() + _PATIENCE_S
            while process.poll() is None and time.monotonic() < end:
                time.sleep(0.1)
        return DelayedSubmission(ArrayTask(self._command, self._folder))
