from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from benchmarks.datasets.registry import DATASETS
from benchmarks.errors import UserError
from benchmarks.plugins.catalog import Catalog
from benchmarks.plugins.entries import first_line
from benchmarks.plugins.static_reader import read_docs
from methods.registry import METHODS

ROOT = Path(__file__).resolve().parents[3]

BUILT_IN = '''
    raise RuntimeError("listing must not run this file")

    @register("mine", paper="x", tasks=("single", "multi"))
    class Mine:
        """Purpose of the plug-in.

        And more of it.
        """

    @other("not a plug-in")
    class Other: ...

    class Helper: ...
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of built-in plug-ins."""
    path = tmp_path / "parts_of_this_test"
    path.mkdir()
    (path / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return path


@pytest.fixture
def catalog(folder: Path) -> Catalog:
    return Catalog("method", folder.name, folder, "an unused group")


def _write(file: Path, text: str) -> Path:
    file.write_text(dedent(text), encoding="utf-8")
    return file


# ---- built-ins -----------------------------------------------------------------------------------


def test_listing_reads_without_running(folder: Path, catalog: Catalog) -> None:
    file = _write(folder / "mine.py", BUILT_IN)
    _write(folder / "_private.py", BUILT_IN.replace("mine", "hidden"))
    assert list(catalog.entries()) == ["mine"]
    entry = catalog.entries()["mine"]
    assert entry.summary == "Purpose of the plug-in."
    assert entry.options == {"paper": "x", "tasks": ("single", "multi")}
    assert entry.file == file


def test_two_built_ins_of_one_name(folder: Path, catalog: Catalog) -> None:
    first = _write(folder / "a.py", BUILT_IN)
    second = _write(folder / "b.py", BUILT_IN)
    with pytest.raises(UserError, match="'mine' is registered twice") as caught:
        catalog.entries()
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def f(:", "not valid Python"),
        ("@register(NAME)\nclass A: ...", "line 1.*name first"),
        ("@register(name='a')\nclass A: ...", "line 1.*its name first"),
        ("@register('a', paper=PAPER)\nclass A: ...", "line 1.*literals only"),
    ],
)
def test_a_file_that_cannot_be_listed_is_named(
    folder: Path, catalog: Catalog, text: str, says: str
) -> None:
    file = _write(folder / "new_method.py", text)
    with pytest.raises(UserError, match=says) as caught:
        catalog.entries()
    assert str(file) in str(caught.value)


def test_an_unknown_name(folder: Path, catalog: Catalog) -> None:
    _write(folder / "mine.py", BUILT_IN)
    with pytest.raises(UserError, match=r"Unknown method 'mien'. Did you mean: mine\?"):
        catalog.get("mien")
    with pytest.raises(UserError, match="Did you mean: mine"):
        catalog.get("MINE")
    with pytest.raises(UserError, match="Known: mine"):
        catalog.get("xyz")


def test_a_module_that_does_not_import_is_named(folder: Path, catalog: Catalog) -> None:
    file = _write(folder / "mine.py", BUILT_IN)
    with pytest.raises(UserError, match=r"'mine'.*RuntimeError: listing must not run") as caught:
        catalog.get("mine")
    assert str(file) in str(caught.value)


def test_every_built_in_method_is_listed_as_it_registers_itself() -> None:
    for name, entry in METHODS.entries().items():
        info = METHODS.get(name).info  # type: ignore[attr-defined]
        assert info.name == name
        assert entry.options.items() <= vars(info).items()


@pytest.mark.parametrize("registry", ["methods.registry", "benchmarks.datasets.registry"])
def test_the_registries_list_without_torch(registry: str) -> None:
    kind = "METHODS" if registry.startswith("methods") else "DATASETS"
    code = (
        f"import sys; from {registry} import {kind}; assert len({kind}.entries()) > 2;"
        "assert not {'torch', 'open_clip', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# ---- a user's file -------------------------------------------------------------------------------

PLUGIN = '''
    from dataclasses import dataclass
    from methods.base import Method, Predictor, Task
    from methods.registry import register

    @register("{name}", paper="none", needs="features")
    @dataclass(frozen=True)
    class Mine(Method):
        """Mine."""

        value: int = {value}

        def fit(self, task: Task) -> Predictor:
            raise NotImplementedError
'''


@pytest.fixture
def method(plugin: Callable[[str, str], Path]) -> Callable[..., Path]:
    """Write a plug-in with one method; returns its file."""

    def write(name: str, file: str = "mine.py", value: int = 1) -> Path:
        return plugin(PLUGIN.format(name=name, value=value), file)

    return write


def test_a_plug_in_file(method: Callable[..., Path]) -> None:
    file = method("a_new_one")
    assert METHODS.load_file(file) == ["a_new_one"]
    assert METHODS.get("a_new_one")().value == 1
    assert METHODS.entries()["a_new_one"].file == file
    assert METHODS.entries()["a_new_one"].summary == "Mine."


def test_a_plug_in_file_with_a_data_set(plugin: Callable[[str, str], Path]) -> None:
    text = '''
        from dataclasses import dataclass
        from benchmarks.datasets.base import Family
        from benchmarks.datasets.registry import register

        @register("my_data_lt", task="single")
        @dataclass(frozen=True)
        class MyData(Family):
            """My data."""
    '''
    assert METHODS.load_file(plugin(text, "data.py")) == ["my_data_lt"]
    assert DATASETS.entries()["my_data_lt"].summary == "My data."


def test_a_plug_in_file_loaded_again_replaces_itself(method: Callable[..., Path]) -> None:
    METHODS.load_file(method("again", value=1))
    assert METHODS.load_file(method("again", value=22)) == ["again"]
    assert METHODS.get("again")().value == 22


def test_plug_in_files_may_share_a_file_name(method: Callable[..., Path]) -> None:
    for name, value in (("one", 1), ("two", 2)):
        METHODS.load_file(method(name, f"{name}/mine.py", value))
    for name, value in (("one", 1), ("two", 2)):
        cls = METHODS.get(name)
        assert cls().value == value
        assert sys.modules[cls.__module__].__file__ == str(METHODS.entries()[name].file)


def test_a_plug_in_cannot_take_a_used_name(method: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"Two methods .* 'lift'.*methods/lift\.py.*mine\.py"):
        METHODS.load_file(method("lift"))
    METHODS.load_file(method("own"))
    with pytest.raises(UserError, match="Two methods are called 'own'"):
        METHODS.load_file(method("own", "other.py"))


def test_a_class_that_is_not_a_dataclass(method: Callable[..., Path]) -> None:
    file = method("plain")
    text = file.read_text(encoding="utf-8").replace("@dataclass(frozen=True)\n", "")
    for use in (lambda: METHODS.load_file(_write(file, text)), lambda: METHODS.get("plain")):
        with pytest.raises(UserError, match=r"'plain'.*@dataclass\(frozen=True\) under @regi"):
            use()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("missing.py", None, "No plug-in file at"),
        ("broken.py", "def f(:", "SyntaxError"),
        ("raises.py", "raise ValueError('a\\nb')", "ValueError: a b"),
        ("leaves.py", "raise SystemExit(3)", "SystemExit"),
        ("imports.py", "import no_such_package", "no_such_package"),
        ("nothing.py", "x = 1", "registers no method"),
        ("notes.txt", "x = 1", r"must end in \.py"),
    ],
)
def test_a_plug_in_file_that_cannot_be_used(
    tmp_path: Path, name: str, text: str | None, says: str
) -> None:
    file = tmp_path / name
    if text is not None:
        _write(file, text)
    with pytest.raises(UserError, match=says) as caught:
        METHODS.load_file(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


# ---- documentation -------------------------------------------------------------------------------


def test_documentation_is_read_from_the_source(tmp_path: Path) -> None:
    file = _write(
        tmp_path / "m.py",
        '''
        class A:
            x: int = 1
            """Meaning of x,
            in two lines."""
            y: int = 2
            z: int = 3
            """Meaning of z."""
        class B:
            x: int = 1
            """Another x."""
        ''',
    )
    assert read_docs(file, "A") == {"x": "Meaning of x, in two lines.", "z": "Meaning of z."}
    assert [first_line(d) for d in (None, "", "\n a \n b", "c")] == ["", "", "a", "c"]
