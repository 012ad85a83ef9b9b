"""Recipes that are tuned again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import run_benchmarks
from benchmarks.sweep.recipe_files import read_recipe
from benchmarks.sweep.recipe_state import state_of
from tests.benchmarks.cli.parts.tuning.searches import Tune
from tests.benchmarks.datasets.own_files import describe, tree


def _change(file: Path, **changes: Any) -> None:
    """Change a recipe as a user may: without its checksum."""
    values = yaml.safe_load(file.read_text("utf-8"))
    tuning = {**values["tuning"], **changes.pop("tuning", {})}
    text = yaml.safe_dump({**values, **changes, "tuning": tuning}, sort_keys=False)
    file.write_text(text, encoding="utf-8")


@pytest.fixture
def again(capsys: pytest.CaptureFixture[str]) -> Any:
    """Tune recipes again; returns the exit status and what was printed, as one line."""

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        status = run_benchmarks.main(["tune", "--again", *words])
        printed = capsys.readouterr()
        return status, " ".join((printed.out + printed.err).split())

    return run


def test_a_stale_recipe_is_renewed_with_its_settings(search: Tune, again: Any) -> None:
    ended = search("mine", "mine.width=5", trials=4, fields=("lr", "mode"), seeds="1")
    (file,) = Path("configs/recipes").iterdir()
    right = ended.recipe
    assert again("--device", "cpu")[1] == "No recipe in configs/recipes is stale."
    worst = {"best": 0, "source": "0" * 16}
    _change(file, fields={"lr": 0.01, "mode": "a"}, tuning=worst)
    assert state_of(read_recipe(file)) == "stale"
    status, said = again("--device", "cpu", "--out", "o")
    assert status == 0
    assert yaml.safe_load(file.read_text("utf-8")) == right
    best = right["tuning"]["best"]
    assert f"the winner is another, trial {best} (lr=" in said
    assert "instead of trial 0 (lr=0.01, mode=a)" in said
    assert "4/4" not in said  # the trials of the first search are there
    assert state_of(read_recipe(file)) == "current"


def test_a_recipe_that_is_named_is_renewed_whatever_its_state(
    search: Tune, again: Any, tmp_path: Path
) -> None:
    tree(tmp_path / "own/photos/train", {"crow": 20, "jay, blue": 10})
    tree(tmp_path / "own/photos/test", {"crow": 1, "jay, blue": 1})
    data = describe(tmp_path / "own", images="photos")
    file = Path("there.yaml")
    search(datasets=data, trials=2, folds=2, write=file)
    before = file.read_bytes()
    status, said = again("there.yaml", "--device", "cpu", "--out", "other")
    assert status == 0
    assert "there.yaml: the winner is the same, trial " in said
    assert file.read_bytes() == before
    assert not Path("configs").exists()


def test_a_recipe_without_its_flags_is_read_by_its_names(search: Tune, again: Any) -> None:
    file = Path("there.yaml")
    search(trials=1, write=file)
    values = yaml.safe_load(file.read_text("utf-8"))
    del values["tuning"]["flags"]
    file.write_text(yaml.safe_dump(values))
    status, said = again("there.yaml")
    assert status == 2
    assert "there.yaml does not say with which flags glyphs100_lt_ir8 (n_max=35" in said


@pytest.mark.parametrize(
    ("words", "changes", "says"),
    [
        (["--trials", "3"], {}, "each recipe says its own --trials"),
        (["--set", "mine.lr=1"], {}, "each recipe says its own --set"),
        ([], {"trials": 0}, "there.yaml is not the result of a search"),
        ([], {"tuning": {"source": ""}}, "there.yaml is not the result of a search"),
        ([], {"tuning": {"flags": [1]}}, "tuning, flags: write a mapping"),
        ([], {"tuning": {"flags": {"set": [1]}}}, "tuning, flags: write a mapping"),
        ([], {"tuning": {"flags": {"out": "x"}}}, "'out'"),
        ([], {"tuning": {"seeds": ["x"]}}, "'x' is not a seed"),
        ([], {"tuning": {"folds": -1}}, "folds: -1"),
        ([], {"dataset": "glyphs100_lt"}, "name another file with --write"),
    ],
)
def test_what_cannot_be_repeated_ends_in_one_line(
    search: Tune, again: Any, words: list[str], changes: dict[str, Any], says: str
) -> None:
    file = Path("there.yaml")
    search(trials=1, write=file)
    _change(file, **changes)
    before = file.read_bytes()
    status, said = again("there.yaml", *words)
    assert status == 2
    assert says in said
    assert said.startswith("error: ")
    assert len(re.findall("error", said)) == 1
    assert file.read_bytes() == before


def test_list_and_show_tell_the_state(search: Tune, capsys: pytest.CaptureFixture[str]) -> None:
    search(trials=1)
    (file,) = Path("configs/recipes").iterdir()
    for state in ("current", "stale"):
        capsys.readouterr()
        assert run_benchmarks.main(["list", "recipes"]) == 0
        assert re.search(rf"mine__.*\.yaml {state}", " ".join(capsys.readouterr().out.split()))
        assert run_benchmarks.main(["show", "mine"]) == 0
        assert f"({state})" in " ".join(capsys.readouterr().out.split())
        _change(file, tuning={"source": "0" * 16})
    Path("configs/recipes/broken.yaml").write_text("a: [")
    assert run_benchmarks.main(["list", "recipes"]) == 0
    assert "broken.yaml" in capsys.readouterr().out
