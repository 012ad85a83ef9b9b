"""A plug-in in a package of its own, installed by pip into a fresh environment."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.benchmarks.plugins.hostile import SOUND

ROOT = Path(__file__).resolve().parents[3]
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "tail-methods"
version = "1.2"

[project.entry-points."longtail_vlm.methods"]
tail = "tail_methods"
{broken}

[tool.setuptools]
packages = ["tail_methods", "tail_methods.parts"]
"""


@pytest.mark.slow
@pytest.mark.parametrize("editable", [False, True], ids=["copied", "editable"])
def test_a_package_in_a_fresh_environment(tmp_path: Path, editable: bool) -> None:
    project, home = tmp_path / "project", tmp_path / "environment"
    for name, text in {
        "pyproject.toml": PROJECT.format(broken='gone = "tail_methods.gone"'),
        "tail_methods/__init__.py": "from tail_methods import method",
        "tail_methods/method.py": f"from .parts.numbers import x\n{SOUND}",
        "tail_methods/parts/__init__.py": "",
        "tail_methods/parts/numbers.py": "x = 1",
    }.items():
        file = project / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    (packages,) = home.glob("lib/python*/site-packages")
    # What this environment has is there too, but not the plug-in.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    subprocess.run(
        [
            sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index",
            "--no-build-isolation", "--no-deps", "--quiet",
            *(["--editable"] if editable else []), str(project),
        ],
        check=True,
    )  # fmt: skip

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(python), "run_benchmarks.py", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    listed = run("list", "methods", "--json")
    assert listed.returncode == 0
    sources = {one["name"]: one["source"] for one in json.loads(listed.stdout)["methods"]}
    assert sources["mine"] == "tail-methods 1.2"
    assert sources["lift"] is None
    (line,) = listed.stderr.splitlines()
    assert line.startswith("Left out: The installed plug-in gone (tail_methods.gone) does not imp")
    assert line.endswith("Mend or uninstall tail-methods 1.2.")

    def fingerprint() -> str:
        return str(json.loads(run("show", "mine", "--json").stdout)["fingerprint"])

    before = fingerprint()
    (numbers,) = (project if editable else packages).rglob("tail_methods/parts/numbers.py")
    numbers.write_text("x = 2", encoding="utf-8")
    assert fingerprint() != before
    assert run("check", "mine").stdout.count("passed") > 10
