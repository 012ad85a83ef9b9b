"""Packages that cannot be imported, and errors that are none of theirs."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import pytest

import run_benchmarks
from benchmarks.packages import missing, why_unusable


def raised(name: str) -> BaseException:
    """The error of an import."""
    with pytest.raises(BaseException) as caught:
        importlib.import_module(name)
    return caught.value


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("raise RuntimeError('operator torchvision::nms does not exist')", "torchvision::nms"),
        ("raise ImportError('libGL.so.1: cannot open shared object file')", "libGL.so.1"),
        ("raise ValueError('numpy.dtype size changed, may indicate')", "numpy.dtype size changed"),
        ("raise AttributeError", "(AttributeError)"),
    ],
)
def test_a_package_that_does_not_fit(
    statement: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer, inner = f"outer_{tmp_path.name}", f"inner_{tmp_path.name}"
    for name in (outer, inner):
        (tmp_path / name).mkdir()
    (tmp_path / outer / "__init__.py").write_text(f"import {inner}.part")
    (tmp_path / inner / "__init__.py").touch()
    (tmp_path / inner / "part.py").write_text(f"def f():\n  {statement}\nf()")
    monkeypatch.syspath_prepend(tmp_path)
    line = why_unusable(raised(outer))
    assert line.startswith(f"the Python package '{inner}' cannot be imported by ")
    assert says in line
    assert "do not fit each other" in line
    assert "\n" not in line


def test_a_limit_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "raise ImportError('libtorch_cpu.so: failed to map segment from shared object')"
    (tmp_path / "large_package.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert "raise the limit of memory (`ulimit -v`)" in why_unusable(raised("large_package"))


def test_a_python_without_a_library() -> None:
    line = why_unusable(ModuleNotFoundError("No module named '_lzma'", name="_lzma"))
    assert "was built without its module '_lzma'" in line
    assert "pip" not in line


def test_errors_of_the_suite_and_of_plug_ins(tmp_path: Path) -> None:
    assert why_unusable(ModuleNotFoundError("x", name="methods.none")) == ""
    assert why_unusable(ValueError("raised by a function")) == ""
    file = tmp_path / "my_plugin.py"
    file.write_text("raise RuntimeError('mine')")
    spec = importlib.util.spec_from_file_location("my_plugin", file)
    assert spec is not None and spec.loader is not None
    with pytest.raises(RuntimeError) as caught:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert why_unusable(caught.value) == ""


def test_a_folder_that_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run_benchmarks.main(["list", "methods"]) == 2
    assert capsys.readouterr().err.startswith("error: the current folder has been removed")


def test_a_folder_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trackers leave folders that are called as their packages are."""
    folder, package = f"wandb_{tmp_path.name}", f"torch_{tmp_path.name}"
    for name in (folder, package):
        (tmp_path / name).mkdir()
    (tmp_path / package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert missing([folder, package, "no_such_package", "json"]) == [folder, "no_such_package"]
