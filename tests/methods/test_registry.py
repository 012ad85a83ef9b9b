"""Finding methods without importing them, and plug-in files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.errors import UserError
from benchmarks.plugins.catalog import Catalog
from methods import registry
from methods.base import Method
from methods.registry import METHODS
from tests.benchmarks.small import forgetting_plugins

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = '''
from dataclasses import dataclass
from methods.base import Method, Predictor, Task
from methods.registry import register
{imports}

@register("{name}", paper="A. Author 2026", needs="features", deterministic=True)
@dataclass(frozen=True)
class Mine(Method):
    """One line."""

    lr: float = 0.5

    def fit(self, task: Task) -> Predictor:
        {body}
        return Predictor(lambda batch: batch.inputs[:, : task.num_classes])
'''


def plugin(folder: Path, name: str = "mine", imports: str = "", body: str = "pass") -> Path:
    file = folder / f"{name}_plugin.py"
    file.write_text(PLUGIN.format(name=name, imports=imports, body=body), encoding="utf-8")
    return file


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with forgetting_plugins():
        yield


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of methods/ that the registry reads instead."""
    folder = tmp_path / "methods"
    shutil.copytree(ROOT / "methods", folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(registry, "METHODS", Catalog("method", "methods", folder, "none"))
    return folder


# ---- listing ------------------------------------------------------------------------------------


def test_every_file_in_methods_is_found_with_its_card():
    contract = {"__init__", "base", "registry", "space"}
    files = {f.stem for f in (ROOT / "methods").glob("*.py")} - contract
    builtin = {n: e for n, e in METHODS.entries().items() if e.module is not None}
    assert {entry.file.stem for entry in builtin.values()} == files
    assert {"zero_shot", "lift", "sage", "lmpt"} <= set(builtin)
    assert all(issubclass(METHODS.get(name), Method) for name in builtin)


@pytest.mark.parametrize(
    "code",
    [
        "from methods.registry import METHODS; assert 'lift' in METHODS.entries()",
        "from benchmarks.sweep.fingerprints import fingerprint; assert fingerprint('lift', {})",
        "import runpy; sys.argv = ['run_benchmarks.py', 'list', 'methods']\n"
        "try: runpy.run_path('run_benchmarks.py', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code",
    ],
    ids=["entries", "fingerprint", "command line"],
)
def test_listing_imports_no_torch(code):
    check = "\nfor name in ('torch', 'open_clip', 'methods.base', 'methods.lift'):\n"
    check += "    assert name not in sys.modules, name"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}{check}"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_gets_the_nearest_ones():
    with pytest.raises(
        UserError, match=r"Unknown method 'linear_prob'\. Did you mean: linear_probe"
    ):
        METHODS.get("linear_prob")
    with pytest.raises(UserError, match=r"Known: clap, clip_adapter, clip_lora, …"):
        METHODS.get("qqqq")


# ---- plug-in files ------------------------------------------------------------------------------


def test_a_plugin_file_registers_its_method(tmp_path):
    file = plugin(tmp_path)
    assert METHODS.load_file(file) == ["mine"]
    cls, entry = METHODS.get("mine"), METHODS.entries()["mine"]
    assert cls(lr=0.1).lr == 0.1 and issubclass(cls, Method)
    assert cls.info.name == "mine" and cls.info.deterministic and cls.info.tasks == ("single",)
    assert (
        entry.file == file and entry.summary == "One line." and entry.options["needs"] == "features"
    )


def test_a_plugin_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"No plug-in file at .*nothing\.py"):
        METHODS.load_file(tmp_path / "nothing.py")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n", "registers no method"),
        ("import not_a_module_at_all\n", "ModuleNotFoundError.*not_a_module_at_all"),
        ("def broken(:\n", "SyntaxError"),
        ("raise ValueError('why')\n", "ValueError: why"),
    ],
    ids=["no registration", "import error", "syntax error", "any error"],
)
def test_a_plugin_that_cannot_be_used(tmp_path, source, message):
    file = tmp_path / "bad.py"
    file.write_text(source, encoding="utf-8")
    known = set(METHODS.entries())
    with pytest.raises(UserError, match=message) as caught:
        METHODS.load_file(file)
    assert str(file) in str(caught.value)
    assert set(METHODS.entries()) == known


def test_a_name_that_is_taken_is_refused(tmp_path):
    builtin = METHODS.get("lift")
    with pytest.raises(
        UserError, match=r"Two methods are called 'lift': .*lift\.py and .*plugin\.py"
    ):
        METHODS.load_file(plugin(tmp_path, name="lift"))
    assert METHODS.get("lift") is builtin
    other = tmp_path / "other"
    other.mkdir()
    METHODS.load_file(plugin(tmp_path))
    with pytest.raises(UserError, match="Two methods are called 'mine'"):
        METHODS.load_file(plugin(other))


def test_two_files_of_methods_with_one_name_are_refused(tree):
    shutil.copy(tree / "lift.py", tree / "lift_copy.py")
    with pytest.raises(UserError, match=r"'lift' is registered twice: .*lift\.py and .*_copy\.py"):
        registry.METHODS.entries()
