"""The verb `new-method`: what it writes works as it is."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.cli.parts import scaffold
from benchmarks.cli.parts.scaffold import write_method
from benchmarks.plugins.catalog import Catalog
from benchmarks.plugins.static_reader import read_docs
from methods.registry import METHODS
from tests.benchmarks.cli.commands import Command
from tests.benchmarks.small import forgetting_plugins

LINES = 40


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the suite's own, for the files that are written."""
    monkeypatch.setattr(scaffold, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def tested() -> Iterator[Callable[[Path], None]]:
    """Runs the tests in a file."""

    def run(file: Path) -> None:
        spec = importlib.util.spec_from_file_location("written", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found = [test for name, test in vars(module).items() if name.startswith("test_")]
        assert found
        for test in found:
            test()

    with forgetting_plugins():
        yield run


@pytest.mark.parametrize("needs", ["features", "images"])
def test_what_is_written_passes_its_own_test(
    command: Command, tested: Callable[[Path], None], needs: str
) -> None:
    ended = command("new-method", "my_idea", "--needs", needs, "--outside", "a folder")
    file, test = Path("a folder/my_idea.py"), Path("a folder/test_my_idea.py")
    assert ended.out.splitlines() == [
        str(file), str(test), f"Next: python run_benchmarks.py check --plugin '{file}'",
    ]  # fmt: skip
    assert len(file.read_text("utf-8").splitlines()) <= LINES
    tested(test)
    assert METHODS.load_file(file) == ["my_idea"]
    assert METHODS.entry("my_idea").options["needs"] == needs
    file.unlink()
    with pytest.raises(AssertionError):
        tested(test)


@pytest.mark.parametrize("needs", ["features", "images"])
def test_among_the_methods_of_the_suite_it_is_listed_without_an_import(
    command: Command, suite: Path, needs: str
) -> None:
    ended = command("new-method", "my_idea", "--needs", needs)
    file, test = suite / "methods" / "my_idea.py", suite / "tests" / "methods" / "test_my_idea.py"
    assert ended.out.splitlines()[:2] == [str(file), str(test)]
    assert ended.out.splitlines()[2] == "Next: python run_benchmarks.py check my_idea"
    catalog = Catalog("method", "methods", file.parent, "none")
    assert catalog.entry("my_idea").options == {"paper": "unpublished", "needs": needs}
    assert {"lr", "tau", "epochs", "batch_size"} <= catalog.fields("my_idea").keys()
    assert "lr" in catalog.attribute("my_idea", "space")
    assert "tau" in read_docs(file, "MyIdea")
    assert '"check", "my_idea"' in test.read_text("utf-8")
    assert '"methods" / "my_idea.py"' in test.read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("my-idea", "'my_idea' would do"),
        ("MyIdea", "'myidea' would do"),
        ("my idea!", "'my_idea' would do"),
        ("2nd", "small letters, digits and _"),
        ("class", "small letters"),
        ("", "small letters"),
        ("été", "small letters"),
        ("x" * 101, "small letters"),
        ("../x", "'x' would do"),
        ("all", "means something else"),
        ("lift", "A method is called 'lift' already"),
        ("cifar100_lt", "A data set is called 'cifar100_lt' already"),
        ("base", r"base\.py exists already"),
        ("conftest", "pytest would take conftest.py for a file of tests"),
        ("test_idea", "pytest would take test_idea.py"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(
    command: Command, suite: Path, name: str, says: str
) -> None:
    (suite / "methods").mkdir()
    (suite / "methods" / "base.py").touch()
    before = sorted(suite.rglob("*"))
    ended = command("new-method", name)
    assert ended.status == 2
    assert says.replace("\\", "") in ended.err
    assert ended.err.count("\n") == 1
    assert sorted(suite.rglob("*")) == before


@pytest.mark.parametrize("name", ["random", "torch", "results"])
def test_a_plug_in_hides_no_package_from_the_files_beside_it(
    command: Command, work: Path, name: str
) -> None:
    ended = command("new-method", name, "--outside", "mine")
    assert (ended.status, f"'{name}' is a Python package" in ended.err) == (2, True)
    assert not (work / "mine").exists()


def test_nothing_is_overwritten_and_nothing_left_behind(command: Command, work: Path) -> None:
    (work / "test_mine.py").write_text("x = 1\n")
    ended = command("new-method", "mine", "--outside", ".")
    assert (ended.status, "test_mine.py exists" in ended.err) == (2, True)
    assert [path.name for path in work.iterdir()] == ["test_mine.py"]
    (work / "file").touch()
    assert "Cannot write" in command("new-method", "mine", "--outside", "file/folder").err
    assert command("new-method", "other", "--outside", "new/folder").status == 0
    shutil.rmtree(work / "new")


def test_a_class_is_not_called_like_what_it_imports(tmp_path: Path) -> None:
    for name in ("learner", "task", "cosine_head"):
        file, _ = write_method(name, "features", tmp_path)
        text = file.read_text("utf-8")
        assert f"class {''.join(map(str.capitalize, name.split('_')))}Method(Learner):" in text
