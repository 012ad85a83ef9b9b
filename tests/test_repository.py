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
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

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
        "Containerfile",
        "mkdocs.yml",
        ".ci/run",
    ],
)
def test_top_level(name: str) -> None:
    assert (ROOT / name).exists()


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_readmes_two_commands_exist(target: str) -> None:
    assert f"make {target}" in (ROOT / "README.md").read_text("utf-8")
    assert f"\n{target}:" in (ROOT / "Makefile").read_text("utf-8")


def test_citation_file_follows_cff_1_2_and_agrees_with_the_project() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    # https://github.com/citation-file-format/citation-file-format/blob/1.2.0/schema-guide.md
    assert cited["cff-version"] == "1.2.0"
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert cited.keys() <= {
        "abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi",
        "identifiers", "keywords", "license", "license-url", "message", "preferred-citation",
        "references", "repository", "repository-artifact", "repository-code", "title", "type",
        "url", "version",
    }  # fmt: skip
    assert cited["type"] in ("software", "dataset")
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    names = [author["name"] for author in cited["authors"]]
    assert names == [author["name"] for author in project["authors"]]
    for page in ("README.md", "docs/references.bib"):
        entry = (ROOT / page).read_text("utf-8").partition("@software{longtail_vlm,")[2]
        entry = entry.partition("}\n\n")[0]
        assert re.search(rf"version += {{{re.escape(project['version'])}}}", entry), page
        assert f"{{{cited['title']}}}" in entry, page


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
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + extras["dev"]
    assert set(extras["docs"]) <= set(wanted)  # continuous integration builds the site
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


# ---- the container -------------------------------------------------------------------------------


def _engine() -> str | None:
    """A container engine that works here, not only its client."""
    for name in ("podman", "docker"):
        if shutil.which(name):
            try:
                subprocess.run([name, "info"], capture_output=True, check=True, timeout=20)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
                continue
            return name
    return None


def test_the_container_has_a_supported_python_and_runs_the_tests() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = (ROOT / "Containerfile").read_text("utf-8")
    image = re.search(r"^FROM python:(\S+)-slim$", text, re.M)
    assert image is not None
    assert SpecifierSet(project["requires-python"]).contains(image[1])
    assert text.endswith('\nCMD ["make", "test"]\n')
    kept = (ROOT / ".dockerignore").read_text("utf-8")
    assert ".git\n" not in kept  # tests look up the sources of earlier commits


@pytest.mark.slow
def test_the_container_is_built_and_passes_the_tests() -> None:
    engine = _engine()
    if engine is None:
        pytest.skip("no container engine runs here")
    tag = "longtail-vlm-test"
    build = [engine, "build", "-f", "Containerfile", "-t", tag, "."]
    for command in (build, [engine, "run", "--rm", tag]):
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
