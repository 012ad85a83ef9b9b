"""Plug-ins that a child process imports. A child takes 0.2 seconds, so the long table is slow."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import metrics
from benchmarks.datasets.registry import DATASETS
from benchmarks.errors import UserError
from benchmarks.plugins import probe
from benchmarks.plugins.origins import InstalledPlugin
from benchmarks.processes import staying_here
from benchmarks.sweep import fingerprints
from benchmarks.sweep.fingerprints import fingerprint
from methods.registry import METHODS, info_of
from tests.benchmarks.plugins.hostile import SOUND, TABLE
from tests.benchmarks.small import forgetting_plugins

pytestmark = pytest.mark.children


def _state() -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "metrics": dict(vars(metrics)),
        "methods": {name: entry for name, entry in METHODS.entries().items() if entry.module},
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "path": list(sys.path),
        "modules": {name for name in sys.modules if "plugin_" in name},
        "handlers": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "recursion": sys.getrecursionlimit(),
        "output": (sys.stdout, sys.stderr),
    }


def refused(file: Path) -> str:
    """The line that refuses a plug-in file."""
    with pytest.raises(UserError) as caught:
        METHODS.load_file(file)
    line = str(caught.value)
    assert str(file) in line
    assert len(line) < 3000
    assert line.isprintable()
    return line


def test_a_described_plug_in_is_known_as_an_imported_one(
    plugin: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    def known() -> list[Any]:
        entry = METHODS.entry("mine")
        return [
            entry.file, entry.origin, entry.summary, entry.class_name, info_of("mine"),
            METHODS.fields("mine"), METHODS.attribute("mine", "space"), fingerprint("mine", {}),
        ]  # fmt: skip

    file = plugin("print('of a plug-in')\n" + SOUND)
    assert METHODS.load_file(file) == ["mine"]
    assert METHODS.described("mine")
    assert "mine" not in METHODS._classes
    described = known()
    assert capfd.readouterr() == ("", "")
    with staying_here():
        assert METHODS.load_file(file) == ["mine"]
    assert not METHODS.described("mine")
    assert known() == described
    assert METHODS.load_file(file) == ["mine"]  # and back
    assert METHODS.described("mine")


DATA_SET = '''
from benchmarks.datasets.base import Family
from benchmarks.datasets.registry import register as register_data


@register_data("mine_lt", task="single")
@dataclass(frozen=True)
class MineData(Family):
    """My data."""
'''


def test_a_file_with_a_data_set_is_imported_once_a_child_could(
    plugin: Callable[..., Path],
) -> None:
    assert METHODS.load_file(plugin(SOUND + DATA_SET)) == ["mine", "mine_lt"]
    assert not METHODS.described("mine")
    assert METHODS.get("mine").__name__ == "Mine"
    assert DATASETS.entry("mine_lt").summary == "My data."
    first = "import os\nif os.getppid() != " + str(os.getpid()) + ": os._exit(0)\n"
    assert "exit status 0" in refused(plugin(first + SOUND + DATA_SET, "other.py"))


def test_what_a_plug_in_imports_of_the_suite_is_not_its_own(plugin: Callable[..., Path]) -> None:
    file = plugin("import methods.lift, benchmarks.datasets.families.cifar\n" + SOUND)
    assert METHODS.load_file(file) == ["mine"]
    assert METHODS.entry("lift").origin is None


@pytest.fixture
def installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], None]]:
    """Install a package with one module and an entry point in a group."""

    def install(text: str, group: str) -> None:
        (tmp_path / "a_package_of_tests.py").write_text(text, encoding="utf-8")
        folder = tmp_path / "a_package_of_tests-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Name: a_package_of_tests\nVersion: 1\n")
        (folder / "entry_points.txt").write_text(f"[{group}]\nours = a_package_of_tests\n")

    monkeypatch.syspath_prepend(tmp_path)
    for catalog in (METHODS, DATASETS):
        monkeypatch.setattr(catalog, "_loaded_entry_points", False)
    with forgetting_plugins():
        for catalog in (METHODS, DATASETS):
            catalog._loaded_entry_points = False
        yield install
    sys.modules.pop("a_package_of_tests", None)


def test_an_installed_package_is_described(installed: Callable[[str, str], None]) -> None:
    installed(SOUND, "longtail_vlm.methods")
    assert METHODS.entry("lift").origin is None
    assert not METHODS._loaded_entry_points, "a method of the suite needs no package"
    assert METHODS.described("mine")
    assert "a_package_of_tests" not in sys.modules
    assert isinstance(METHODS.entry("mine").origin, InstalledPlugin)


def test_an_installed_package_that_does_not_import_is_left_out(
    installed: Callable[[str, str], None], caplog: pytest.LogCaptureFixture
) -> None:
    installed("import os; os._exit(0)", "longtail_vlm.methods")
    assert "lift" in METHODS.entries()
    (line,) = caplog.messages
    assert re.search(r"ours \(a_package_of_tests\) does not import.*status 0\. Mend or", line)
    assert line.endswith("uninstall a_package_of_tests 1.")


def test_an_installed_data_set_is_imported(installed: Callable[[str, str], None]) -> None:
    installed(SOUND + DATA_SET, "longtail_vlm.datasets")
    assert DATASETS.entry("mine_lt").summary == "My data."
    assert "a_package_of_tests" in sys.modules


def test_an_installed_package_may_have_several_modules(
    installed: Callable[[str, str], None], tmp_path: Path
) -> None:
    installed("", "longtail_vlm.methods")
    (tmp_path / "a_package_of_tests.py").unlink()
    folder = tmp_path / "a_package_of_tests"
    folder.mkdir()
    for name, text in (
        ("__init__", "from a_package_of_tests import method\n"),
        ("method", f"from .deep import x\n{SOUND}"),
        ("deep", "x = 1\n"),
    ):
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    assert METHODS.described("mine")
    assert METHODS.entry("mine").file == folder / "method.py"
    origin = METHODS.entry("mine").origin
    assert origin is not None
    assert origin.source == "a_package_of_tests 1"
    before = fingerprint("mine", {})
    (folder / "deep.py").write_text("x = 2\n", encoding="utf-8")
    fingerprints._fingerprint.cache_clear()
    assert fingerprint("mine", {}) != before
    assert "a_package_of_tests" not in sys.modules


def test_a_broken_entry_point_takes_nothing_from_a_sound_one(
    installed: Callable[[str, str], None], tmp_path: Path
) -> None:
    installed(SOUND, "longtail_vlm.methods")
    points = tmp_path / "a_package_of_tests-1.dist-info" / "entry_points.txt"
    lines = ["[longtail_vlm.methods]", "a = a_package_of_tests:gone", "b = a_package_of_tests"]
    points.write_text("\n".join(lines))
    with staying_here():
        origin = METHODS.entry("mine").origin
    assert isinstance(origin, InstalledPlugin)
    assert origin.package == "a_package_of_tests 1"


def test_an_entry_point_of_another_kind(
    installed: Callable[[str, str], None], caplog: pytest.LogCaptureFixture
) -> None:
    installed(SOUND, "longtail_vlm.datasets")
    assert "mine" not in {*DATASETS.entries(), *METHODS.entries()}
    assert "registers no data set, but a method" in caplog.text


# ---- imports that do harm ------------------------------------------------------------------------


def test_an_import_without_end(
    plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "LIMIT_S", 0.5)
    assert "takes longer than 0 seconds" in refused(plugin("while True: pass"))


def test_ctrl_c_ends_an_import(plugin: Callable[..., Path]) -> None:
    file = plugin("import os, signal, time\nos.kill(PARENT, signal.SIGINT)\ntime.sleep(99)")
    file.write_text(file.read_text().replace("PARENT", str(os.getpid())))
    with pytest.raises(KeyboardInterrupt):
        METHODS.load_file(file)


def test_a_description_of_a_method_of_the_suite(plugin: Callable[..., Path]) -> None:
    file = plugin(
        "from methods.registry import METHODS\n"
        "from benchmarks.plugins import catalog\n"
        "data = METHODS.description('ncm')\n"
        "catalog.describe = None\n"
        "catalog.written = lambda *a: data\n" + SOUND
    )
    assert "describes 'ncm' of the suite anew" in refused(file)


QUICK = [
    "ending: exit 0", "ending: crash", "files: writes to all", "files: closes all", "files: prints",
    "state: dtype", "class: docstring",
]  # fmt: skip
"""One of each kind, for every run of the tests."""


def _try(case: str, plugin: Callable[..., Path], capfd: pytest.CaptureFixture[str]) -> None:
    text, says = TABLE[case]
    before = _state()
    file = plugin("")
    file.write_bytes(text.encode("latin-1" if "latin" in text else "utf-8"))
    if says == "":
        assert "mine" in METHODS.load_file(file)
        assert METHODS.described("mine")
    elif says is None:
        with suppress(UserError):
            METHODS.load_file(file)
    else:
        assert says in refused(file)
    assert _state() == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("case", QUICK)
def test_a_harmful_import(
    case: str, plugin: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    _try(case, plugin, capfd)


@pytest.mark.slow
@pytest.mark.parametrize("case", sorted(set(TABLE) - set(QUICK)))
def test_every_harmful_import(
    case: str, plugin: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    _try(case, plugin, capfd)
