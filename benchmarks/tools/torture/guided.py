"""Fuzzed inputs, guided by coverage: atheris changes the random numbers that reach new code.

    pip install -e '.[fuzz]'
    python -m benchmarks.tools.torture.guided CORPUS -max_total_time=600

CORPUS is a folder, made if necessary, that keeps the inputs which reached new code; the options
are libFuzzer's. A fault ends the search and leaves a file `crash-…` there: give it in the place of
CORPUS to repeat its case. The inputs and the judge are those of `fuzz.py`.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.tools.torture import fuzz, inputs

STARTS = 40
"""Inputs that a new corpus begins with."""
PACKAGES = ["run_benchmarks", "benchmarks", "reports", "results", "methods"]
"""Code whose coverage guides the search."""


class Given(Random):
    """Random numbers that are given as bytes; zeros when they are used up."""

    def __init__(self, content: bytes) -> None:
        super().__init__(0)
        self._content, self._used = content, 0

    def getrandbits(self, k: int, /) -> int:
        """The next bits, in whole bytes."""
        size = (k + 7) // 8
        taken = self._content[self._used : self._used + size].ljust(size, b"\0")
        self._used += size
        return int.from_bytes(taken, "little") >> (8 * size - k)

    def random(self) -> float:
        """The next two bytes as a number below 1."""
        return self.getrandbits(16) / 65536


class Fault(Exception):
    """A case ended badly."""


def try_one(content: bytes) -> None:
    """Run the case that the bytes describe.

    Raises:
        Fault: something is wrong with its end.
    """
    case = inputs.any_case(Given(content))
    with TemporaryDirectory(prefix="fuzz-") as folder:
        status, faults = fuzz.faults_of(case, Path(folder))
    if faults:
        raise Fault(f"{case.kind}, {case.words}, status {status}: {'; '.join(faults)}")


def main(arguments: list[str]) -> int:
    """Search until libFuzzer's options or a fault end it; return the exit status."""
    try:
        atheris: Any = importlib.import_module("atheris")
    except ModuleNotFoundError:
        print("error: atheris is not installed: pip install -e '.[fuzz]'", file=sys.stderr)
        return 2
    options = [word for word in arguments if word.startswith("-")]
    corpus = [Path(word) for word in arguments if not word.startswith("-")]
    if len(corpus) != 1:
        print("error: name one folder for the inputs, or one input.", file=sys.stderr)
        return 2
    if not corpus[0].exists():
        corpus[0].mkdir(parents=True)
        for i in range(STARTS):  # an empty corpus would begin with inputs of one byte
            (corpus[0] / f"start-{i}").write_bytes(Random(i).randbytes(512))
    keep = corpus[0] if corpus[0].is_dir() else corpus[0].parent
    with atheris.instrument_imports(include=PACKAGES), TemporaryDirectory(prefix="fuzz-") as folder:
        # Imports the modules of all verbs, which they import when they run.
        fuzz.try_cases(0, range(60), Path(folder))
    words = [sys.argv[0], f"-artifact_prefix={keep}/", "-max_len=4096"]
    atheris.Setup([*words, *options, str(corpus[0])], try_one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
