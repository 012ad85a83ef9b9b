from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

import run_benchmarks
from tests.benchmarks.cli.commands import Command, Ended
from tests.benchmarks.small import DATA, forgetting_plugins, make_clip_folder

PLUGIN = '''
    import time
    from dataclasses import dataclass
    from pathlib import Path

    from methods.base import Method, Predictor
    from methods.registry import register

    @register("mine", paper="-", needs="features")
    @dataclass(frozen=True)
    class Mine(Method):
        """Mine."""

        def fit(self, task):
            if task.seed == 1 and not Path("go").exists():
                Path("waiting").touch()
                time.sleep(100)
            weight = task.normal_per_class("weight", 16)
            return Predictor(lambda batch: batch.inputs @ weight.T)
'''


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a small backbone."""
    return f"local-dir:{make_clip_folder(tmp_path_factory.mktemp('model') / 'small_clip')}"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the working directory."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def command(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """A function that runs a command line in this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: str) -> Ended:
        capsys.readouterr()
        with forgetting_plugins():  # as between processes
            status = run_benchmarks.main(list(words))
        return Ended(status, *capsys.readouterr())

    yield call


@pytest.fixture
def small(model: str) -> list[str]:
    """Flags of a tiny data set and backbone, with which every command is quick."""
    return [*DATA, "--backbone", model, "--device", "cpu", "--out", "runs"]


@pytest.fixture
def fast(small: list[str]) -> list[str]:
    """A sweep of four cells."""
    return ["--methods", "ncm,linear_probe", "--set", "linear_probe.epochs=1", *small]


@pytest.fixture
def mine(work: Path) -> Path:
    """A plug-in file with the method `mine`, whose seed 1 waits for a file called `go`."""
    file = work / "mine.py"
    file.write_text(dedent(PLUGIN))
    return file
