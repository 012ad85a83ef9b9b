"""Give records the source fingerprints of a later commit that computes the same numbers.

    python -m benchmarks.tools.carry_over DIR --from COMMIT --to COMMIT

A change of the code makes records stale even if it cannot change their numbers: a function moved to
a file of its own, a better name. Whoever knows that two commits compute the same numbers carries
the records over instead of computing them again. That they do is the user's claim; the tool proves
the rest. A record is carried over only if its key is the one that the sources of `--from` gave it,
as computed by these very sources, and it gets the key that the sources of `--to` give it, computed
in the same way. All other records stay as they are.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError, counted
from results.identity import cell_key
from results.schema import Record
from results.store import Store

ROOT = Path(__file__).resolve().parents[2]
_ASK = """
import inspect, json, sys
from methods.registry import METHODS
try:
    from benchmarks.sweep.fingerprints import fingerprint
except ImportError:  # until fingerprints were made of tokens
    from methods.registry import fingerprint
wanted = len(inspect.signature(fingerprint).parameters)
known = METHODS.entries()
print(json.dumps([
    fingerprint(*one[:wanted]) if one[0] in known else None for one in json.load(sys.stdin)
]))
"""
"""Run within the sources of a commit: the fingerprints of methods with their configurations."""


def carry_over(out: Path, before: str, after: str, repository: Path = ROOT) -> tuple[int, int]:
    """Carry the records of a folder over from one commit to another.

    Args:
        out: folder that holds `records/`, as `--out` of a run.
        before: commit whose sources made the records.
        after: commit that computes the same numbers.
        repository: checkout that has both commits.

    Returns:
        Number of records carried over, and of the others.

    Raises:
        UserError: no such commit, its sources do not run, or there are no readable records.
    """
    records, problems = Store(out).all()
    if problems:
        raise UserError(f"{problems[0]} (nothing is carried over)")
    if not records:
        raise UserError(f"No records under {out}: name a folder that a run wrote to with --out.")
    asked = [(record.method, record.config) for record in records]
    old, new = (fingerprints_at(commit, asked, repository) for commit in (before, after))
    done = 0
    for record, was, will_be in zip(records, old, new, strict=True):
        if was and will_be and record.key == cell_key(record.identity, was):
            _rename(out, record, cell_key(record.identity, will_be), will_be)
            done += 1
    return done, len(records) - done


def fingerprints_at(
    commit: str, asked: Sequence[tuple[str, dict[str, Any]]], repository: Path = ROOT
) -> list[str | None]:
    """Source fingerprints of methods, computed by the sources of a commit.

    Args:
        commit: any name that git knows it by.
        asked: methods with their configurations.
        repository: checkout that has the commit.

    Returns:
        One for each method; None if the commit does not have it.

    Raises:
        UserError: no such commit, or its sources do not run.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "sources.tar"
        _run(
            ["git", "archive", "-o", str(archive), commit, "methods", "benchmarks"],
            repository, f"git has no sources of {commit} in {repository}",
        )  # fmt: skip
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        answer = _run(
            [sys.executable, "-c", _ASK], Path(folder), f"The sources of {commit} do not run",
            json.dumps(asked),
        )  # fmt: skip
    found: list[str | None] = json.loads(answer)
    return found


def _run(command: Sequence[str], folder: Path, problem: str, stdin: str = "") -> str:
    # Without PYTHONPATH: modules are those of the folder, not of the checkout.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environment, input=stdin, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise UserError(f"{problem}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def _rename(out: Path, record: Record, key: str, fingerprint: str) -> None:
    """Give a record and the files beside it another key."""
    provenance = record.provenance
    if provenance is not None:
        provenance = dataclasses.replace(provenance, fingerprint=fingerprint)
    Store(out).rename(record.key, dataclasses.replace(record, key=key, provenance=provenance))
    for file in sorted(out.glob(f"*/{record.key}.*")):  # a saved model, a log
        file.rename(file.with_name(f"{key}{file.suffix}"))


def main() -> int:
    """Carry over the records that the command line names; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tools.carry_over", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folder", metavar="DIR", type=Path, help="holds records/")
    parser.add_argument("--from", dest="before", metavar="COMMIT", required=True)
    parser.add_argument("--to", dest="after", metavar="COMMIT", required=True)
    chosen = parser.parse_args()
    try:
        done, others = carry_over(chosen.folder, chosen.before, chosen.after)
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{chosen.folder}: {counted(done, 'record')} carried over, {others} left as they were.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
