from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.cli.parts.tuning.search import SearchOptions, tune
from benchmarks.sweep.settings import read_sweep
from methods.registry import METHODS
from tests.benchmarks.cli.parts.tuning.searches import PLUGIN, SMALL, Tune, Tuned


@pytest.fixture
def search(
    plugin: Callable[[str], Path],
    clip_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Tune:
    """A function that tunes a method on the small world, in an empty folder."""
    METHODS.load_file(plugin(PLUGIN))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def run(method: str = "mine", *assignments: str, **options: Any) -> Tuned:
        names = [name for name in ("trials", "fields", "folds", "write") if name in options]
        given = {"trials": 6} | {name: options.pop(name) for name in names}
        flags = {
            "methods": method, "datasets": "glyphs100_lt", "seeds": "0", "device": "cpu",
            "backbone": f"local-dir:{clip_folder}", "out": "o",
        } | options  # fmt: skip
        small = SMALL if "glyphs100_lt" in flags["datasets"] else []
        shown = io.StringIO()
        sweep = read_sweep(None, {**flags, "set": [*small, *assignments]})
        status = tune(sweep, SearchOptions(**given), Console(file=shown, width=200), debug=False)
        return Tuned(status, shown.getvalue(), Path(flags["out"]))

    return run
