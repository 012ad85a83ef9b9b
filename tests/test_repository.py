"""Files that a fresh clone needs for its two commands to work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
LARGEST_FILE = 8 * 2**20


@pytest.mark.parametrize(
    "name",
    [
        "methods",
        "benchmarks",
        "results",
        "reports",
        "tests",
        "docs",
        "configs",
        "run_benchmarks.py",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CITATION.cff",
        ".ci/run",
    ],
)
def test_top_level(name: str) -> None:
    assert (ROOT / name).exists()


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_readmes_two_commands_exist(target: str) -> None:
    assert f"make {target}" in (ROOT / "README.md").read_text("utf-8")
    assert f"\n{target}:" in (ROOT / "Makefile").read_text("utf-8")


def test_no_large_file_is_tracked() -> None:
    git = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if git.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in git.stdout.decode().split("\0") if name]
    large = [str(f) for f in files if f.is_file() and f.stat().st_size > LARGEST_FILE]
    assert not large


def test_constraints_pin_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    versions = {_canonical(p.name): str(p.specifier).removeprefix("==") for p in pins}
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    for requirement in map(Requirement, wanted):
        version = versions[_canonical(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} but pinned to {version}"


# ---- how the Makefile finds a Python -------------------------------------------------------------


def _choose(path: Path) -> str:
    """Python that `make` would make its environment with, if PATH were only `path`."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "PYTHON"))}
    command = [make, "-n", "-B", ".venv/.ready"]
    run = subprocess.run(
        command, cwd=ROOT, env=environment | {"PATH": str(path)}, capture_output=True, check=True
    )
    found = re.search(r'python="(.*?)"', run.stdout.decode())
    assert found is not None
    return found[1]


def _command(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_make_passes_over_pythons_that_do_not_run(tmp_path: Path) -> None:
    _command(tmp_path / "python3.13", "echo 'python3.13: command not found' >&2; exit 127")
    _command(tmp_path / "python3.12", "exit 1  # an unsupported version")
    _command(tmp_path / "python3", f'exec "{sys.executable}" "$@"')
    assert _choose(tmp_path) == str(tmp_path / "python3")


def test_make_finds_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    _command(tmp_path / "python3", "exit 127")
    assert _choose(tmp_path) == ""


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
