"""Modules beside a plug-in, packages as plug-ins, and the line when an import fails."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.errors import UserError
from benchmarks.plugins.neighbours import Home
from benchmarks.plugins.origins import PluginFile
from benchmarks.sweep import fingerprints
from benchmarks.sweep.fingerprints import fingerprint
from methods.registry import METHODS
from tests.benchmarks.plugins.hostile import SOUND
from tests.benchmarks.small import forgetting_plugins


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """Writes a file below a folder."""

    def write(name: str, text: str = "") -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    with forgetting_plugins():
        yield write


def imported(path: Path) -> ModuleType:
    """Import a plug-in as the suite does."""
    origin = PluginFile.at(path)
    origin.run()
    return sys.modules[origin.module]


Write = Callable[..., Path]


# ---- finding neighbours --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("import beside", "beside.x"),
        ("import beside as b", "b.x"),
        ("from beside import x", "x"),
        ("from beside import x as y", "y"),
        ("from beside import *", "x"),
        ("import sys, beside", "beside.x if sys.path else 0"),
        ("import group.inner", "group.inner.x + group.own - 1"),
        ("import group.inner as g", "g.x"),
        ("from group import inner", "inner.x"),
        ("from group.inner import x", "x"),
        ("from .beside import x", "x"),
        ("from . import beside", "beside.x"),
        ("from .group import inner", "inner.x"),
        ("try: import nothing_there\nexcept ImportError: import beside", "beside.x"),
        ("if 0: pass\nelse:\n  with open(__file__): import beside", "beside.x"),
    ],
)
@pytest.mark.parametrize("inside", [False, True], ids=["top", "in a function"])
def test_every_way_to_import_a_neighbour(write: Write, line: str, value: str, inside: bool) -> None:
    write("beside.py", "x = 7\n")
    write("group/__init__.py", "own = 1\n")
    write("group/inner.py", "import group\nfrom beside import x\nassert group.own == 1\n")
    if inside and "*" not in line:
        body = "\n".join(f"  {part}" for part in line.split("\n"))
        text = f"def value():\n{body}\n  return {value}\n"
    else:
        text = f"{line}\ndef value(): return {value}\n"
    assert imported(write("mine.py", text)).value() == 7


def test_two_plug_ins_have_neighbours_of_one_name_and_nobody_else_sees_them(write: Write) -> None:
    found = []
    for name in ("one", "two"):
        write(f"{name}/utils_of_tests.py", f"x = '{name}'\n")
        text = "import utils_of_tests\ndef later():\n  from utils_of_tests import x\n  return x\n"
        found.append(imported(write(f"{name}/mine.py", text)))
    assert [module.later() for module in found] == ["one", "two"]
    assert [module.utils_of_tests.x for module in found] == ["one", "two"]
    assert "utils_of_tests" not in sys.modules
    assert importlib.util.find_spec("utils_of_tests") is None


def test_names_of_python_and_of_the_suite_mean_theirs(write: Write) -> None:
    for name in ("random", "methods", "results"):
        write(f"{name}.py", "x = 'mine'\n")
    text = "import random, methods.registry\nfrom . import results\nfrom .random import x\n"
    module = imported(write("mine.py", text))
    assert module.random is sys.modules["random"]
    assert module.methods is sys.modules["methods"]
    assert (module.results.x, module.x) == ("mine", "mine")


def test_a_plug_in_may_be_called_like_the_package_that_it_imports(write: Write) -> None:
    module = imported(write("yaml.py", "import yaml\n"))
    assert module.yaml is sys.modules["yaml"]


def test_neighbours_may_import_each_other_and_the_plug_in(write: Write) -> None:
    write("beside.py", "import mine\ndef x(): return mine.value\n")
    assert imported(write("mine.py", "import beside\nvalue = 7\nx = beside.x\n")).x() == 7


def test_a_folder_that_is_imported_again_is_read_again(write: Write) -> None:
    file = write("mine.py", "from beside import x\n")
    for x in (1, 2):
        write("beside.py", f"x = {x}\n")
        assert imported(file).x == x
    assert not list(file.parent.rglob("__pycache__"))


def test_compiled_files_of_other_programs_are_not_used(write: Write) -> None:
    beside = write("beside.py", "x = 8\n")
    stamp = beside.stat()
    py_compile.compile(str(beside), doraise=True)
    write("beside.py", "x = 7\n")
    os.utime(beside, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert imported(write("mine.py", "from beside import x\n")).x == 7


# ---- packages ------------------------------------------------------------------------------------


def test_a_package_is_a_plug_in(write: Write) -> None:
    init = write("outer/group/__init__.py", "from group.method import Mine\n")
    write("outer/group/method.py", f"from .parts.numbers import x\nimport group.parts\n{SOUND}")
    write("outer/group/parts/__init__.py")
    write("outer/group/parts/numbers.py", "from .. import parts\nx = 7\n")
    write("outer/stranger.py", "x = 8\n")
    assert METHODS.load_file(init.parent) == ["mine"]
    assert METHODS.entry("mine").file == init.parent / "method.py"
    before = fingerprint("mine", {})
    write("outer/group/parts/numbers.py", "from .. import parts\nx = 8\n")
    fingerprints._fingerprint.cache_clear()
    assert METHODS.load_file(init) == ["mine"]
    assert fingerprint("mine", {}) != before


def test_what_is_around_a_package_is_no_part_of_it(write: Write) -> None:
    write("stranger.py")
    for line in ("import stranger", "from .. import stranger", "from ..stranger import x"):
        init = write("group/__init__.py", line)
        with pytest.raises(UserError, match=r"ImportError|ModuleNotFoundError"):
            METHODS.load_file(init.parent)
    folder = write("plain/mine.py").parent
    with pytest.raises(UserError, match=r"plain is a folder without __init__\.py: name a file"):
        METHODS.load_file(folder)


def test_a_home_is_a_folder_or_one_thing_in_it(write: Write) -> None:
    files = [write(name) for name in ("a.py", "b/__init__.py", "b/c.py", "d/e.py")]
    home = Home(files[0].parent)
    assert [home.file(name) for name in ("a", "b", "b.c", "d", "d.e")] == [
        *files[:3], None, files[3],
    ]  # fmt: skip
    assert home.means("a", files[1]) and not home.means("a", files[0])
    assert home.means("b.x", files[1]) and not home.means("os", files[0])
    only = Home(home.folder, "b")
    assert only.file("a") is None and only.file("b.c") == files[2]
    assert [only.holds(file) for file in files] == [False, True, True, False]
    assert Home(home.folder, "a").holds(files[0])
    assert [home.package_of(file) for file in files] == ["", ".b", ".b", ".d"]


# ---- imports that fail ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"mine.py": "\nx = 1 / 0"}, "ZeroDivisionError: division by zero (mine.py, line 2)"),
        (
            {"mine.py": "import beside", "beside.py": "\n\nimport yaml; yaml.safe_load('{')"},
            "(beside.py, line 3)",
        ),
        (
            {"mine.py": "import beside", "beside.py": "\ndef f(:"},
            "invalid syntax (beside.py, line 2)",
        ),
        (
            {"mine.py": "import beside.nothing", "beside.py": ""},
            "No module named 'beside.nothing'; 'beside' is not a package (mine.py, line 1)",
        ),
        (
            {"mine.py": "from methods.parts.heads import text_head"},
            "line 1): text_head is in methods.parts.image.finetune",
        ),
        (
            {"mine.py": "from methods.base import nothing_at_all"},
            "methods/base.py) (mine.py, line 1)",
        ),
        (
            {"mine.py": "from .nothing import x"}, "No module named 'nothing' (mine.py, line 1)",
        ),
        (
            {"mine.py": "from group.beside import x", "group/beside.py": "x = 1"},
            "No module named 'group' (mine.py, line 1): the folder group beside it needs an "
            "__init__.py",
        ),
        (
            {"mine.py": "from .group.beside import x", "group/beside.py": "x = 1"},
            "No module named 'group' (mine.py, line 1): the folder group beside it needs an "
            "__init__.py",
        ),
    ],
)  # fmt: skip
def test_a_failed_import_names_the_file_and_the_line(
    write: Write, files: dict[str, str], says: str
) -> None:
    written = [write(name, text) for name, text in files.items()]
    with pytest.raises(UserError) as caught:
        METHODS.load_file(written[0])
    line = str(caught.value)
    assert line.startswith(f"Plug-in {written[0]} does not import: ")
    assert line.endswith(says)


def test_a_plug_in_that_fails_after_it_registered_is_not_known(write: Write) -> None:
    with pytest.raises(UserError, match="ZeroDivisionError"):
        METHODS.load_file(write("mine.py", f"{SOUND}\n1 / 0\n"))
    assert "mine" not in METHODS.entries()
