"""Provenance of a record: code, versions, hardware, weights, texts, split."""

from __future__ import annotations

import importlib.metadata
import subprocess
from functools import cache
from pathlib import Path

from benchmarks.run.border import Facts
from benchmarks.run.versions import versions
from results.schema import Provenance


def provenance(
    facts: Facts,
    *,
    text_hash: str,
    split_hash: str,
    fingerprint: str,
    started: str,
    finished: str,
) -> Provenance:
    """Return the provenance of a record made now on the bench that `facts` describe."""
    commit, dirty = _git()
    return Provenance(
        git=commit,
        dirty=dirty,
        versions=versions(),
        hardware=facts.hardware,
        weights_id=facts.weights_id,
        preprocess_hash=facts.preprocess_hash,
        text_hash=text_hash,
        split_hash=split_hash,
        fingerprint=fingerprint,
        started=started,
        finished=finished,
        deterministic_algorithms=facts.deterministic_algorithms,
    )


def suite_version() -> str:
    """Return the version of the suite with its commit, such as `0.1.0, commit 1a7811f (changed)`.

    Changed means that tracked files differ from the commit.
    """
    try:
        version = importlib.metadata.version("longtail-vlm")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout without an installation
        version = "unknown"
    commit, dirty = _git()
    return f"{version}, commit {commit[:12]}{' (changed)' if dirty else ''}"


@cache
def _git() -> tuple[str, bool]:
    """Return the commit and True if tracked files differ from it; ("unknown", True) without git."""
    root = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return "unknown", True
