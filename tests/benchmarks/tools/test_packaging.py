"""The packages with generic names never reach site-packages: only editable installs are built."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest

from benchmarks.tools.packaging import checkout_only

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    "hook",
    [
        "get_requires_for_build_wheel",
        "prepare_metadata_for_build_wheel",
        "build_wheel",
        "get_requires_for_build_sdist",
        "build_sdist",
    ],
)
def test_wheels_and_archives_are_refused_with_one_line(hook: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        getattr(checkout_only, hook)(str(tmp_path))
    assert "`pip install -e .`" in str(ended.value)
    assert "\n" not in str(ended.value)
    assert not list(tmp_path.iterdir())


def test_pip_uses_this_backend() -> None:
    system = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]
    assert system["build-backend"] == "checkout_only"
    assert [ROOT / folder for folder in system["backend-path"]] == [
        Path(checkout_only.__file__).parent
    ]


@pytest.mark.slow
def test_pip_refuses_a_wheel_and_the_editable_one_has_no_package(tmp_path: Path) -> None:
    if int(version("setuptools").partition(".")[0]) < 77:
        pytest.skip("setuptools is older than pyproject.toml asks for")

    def python(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    apart = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(tmp_path)]
    refused = python("-m", "pip", "wheel", *apart, ".")
    assert refused.returncode == 1
    assert checkout_only.LINE in refused.stderr
    assert not list(tmp_path.iterdir())

    program = f"""
import sys
sys.path.insert(0, {str(Path(checkout_only.__file__).parent)!r})
import checkout_only
checkout_only.build_editable({str(tmp_path)!r})
"""
    assert python("-c", program).returncode == 0
    (wheel,) = tmp_path.iterdir()
    folders = {name.partition("/")[0] for name in ZipFile(wheel).namelist()}
    assert not folders & {"methods", "benchmarks", "results", "reports"}
    assert any(
        str(ROOT).encode() in ZipFile(wheel).read(name) for name in folders if name[-2:] == "py"
    )
