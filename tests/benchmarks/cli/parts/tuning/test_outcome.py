"""The recipe that `tune` writes, how a search continues, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import run_benchmarks
from benchmarks.errors import UserError
from benchmarks.sweep.recipe_files import read_recipe
from tests.benchmarks.cli.parts.tuning.searches import SMALL, Tune


def test_the_best_trial_becomes_the_recipe(search: Tune) -> None:
    ended = search(trials=8)
    scores = {t["trial"]: t["score"] for t in ended.trials}
    best = ended.recipe["tuning"]["best"]
    assert scores[best] == max(scores.values())
    chosen = ended.trials[best]
    assert chosen["lr"] > 0.1  # such is the method
    assert ended.recipe["fields"] == {n: chosen[n] for n in ("lr", "width", "mode", "epochs")}
    name = "glyphs100_lt_ir8 (n_max=35, classes=4, test_per_class=4)"
    assert ended.recipe["dataset"] == name
    assert ended.recipe["origin"] == f"tuned-on-{name}, 8 trials"
    assert ended.recipe["trials"] == 8
    se = ended.trials[best]["se"]
    assert re.search(rf"(?m)^ *{best} .*{scores[best]:.2f} ± {se:.2f} +best", ended.shown)
    (file,) = Path("configs/recipes").iterdir()
    assert re.fullmatch(r"mine__[\w.-]+__local-dir-small_clip-\w+\.yaml", file.name)
    assert read_recipe(file).fields == ended.recipe["fields"]


def test_the_first_of_equal_trials_wins(search: Tune) -> None:
    assert search("mine", "mine.lr=1", trials=5).recipe["tuning"]["best"] == 0


def test_the_recipe_is_written_to_the_given_file(search: Tune) -> None:
    search(write=Path("there/x.yaml"), trials=2)
    assert read_recipe(Path("there/x.yaml")).method == "mine"
    assert not Path("configs").exists()


def test_a_failed_trial_is_reported_and_never_best(search: Tune) -> None:
    ended = search("mine", "mine.limit=0.05", trials=8)
    failed = {t["trial"] for t in ended.trials if "failed" in t}
    assert failed == {t["trial"] for t in ended.trials if t["lr"] > 0.05} != set()
    assert ended.recipe["tuning"]["best"] not in failed
    assert "diverged" in ended.shown
    assert ended.status == 0


def test_a_trial_counts_only_if_all_its_seeds_finish(search: Tune) -> None:
    ended = search("shaky", seeds="0,1", trials=8)
    assert {t["trial"] for t in ended.trials if "failed" in t} == {
        t["trial"] for t in ended.trials if t["lr"] > 0.1
    }
    assert ended.recipe["fields"]["lr"] < 0.1


def test_without_a_finished_trial_there_is_no_recipe(search: Tune) -> None:
    ended = search("mine", "mine.limit=0")
    assert ended.status == 1
    assert "so no recipe was written: ValueError: diverged" in ended.shown
    assert not Path("configs").exists()


def test_an_interrupted_search_continues_to_the_same_recipe(search: Tune) -> None:
    whole = search("mine", "mine.interrupt=5", out="whole")
    expected = whole.recipe
    (file,) = Path("configs/recipes").iterdir()
    file.unlink()

    ended = search("mine", "mine.interrupt=0.05")
    assert ended.status == 130
    done = ended.store.all()[0]
    assert 0 < len(done) < 6
    assert f"{len(done)} of 6 runs are done" in ended.shown
    assert not list(Path("configs/recipes").iterdir())

    Path("go").touch()
    again = search("mine", "mine.interrupt=0.05")
    assert again.status == 0
    assert f"{len(done) + 1}/6" in again.shown
    assert f"{len(done)}/6" not in again.shown  # finished trials are not repeated
    expected["tuning"]["fixed"] = {"interrupt": 0.05}
    assert again.recipe == expected
    more = search("mine", "mine.interrupt=0.05", trials=7)
    assert "7/7" in more.shown
    assert "6/7" not in more.shown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing"], "Unknown method 'nothing'"),
        (["mine,lift"], "one method"),
        (["mine", "--datasets", ""], "no name given"),
        (["fixed"], "fixed declares no search space"),
        (["mine", "--trials", "0"], "--trials: 0"),
        (["mine", "--trials", "few"], "--trials"),
        (["mine", "--fields", "rate"], "'rate'"),
        (["mine", "--fields", "lr", "--set", "mine.lr=1"], "lr is fixed by --set"),
        (["mine", "--fields", "epochs", "--protocol", "equal"], "epochs is fixed by protocol"),
        (["mine", "--set", "mine.lr=high"], "lr: 'high'"),
        (["mine", "--datasets", "plain_lt"], "plain_lt has no validation images"),
        (["mine", "--datasets", "trap_lt,plain_lt", "--write", "x.yaml"], "--write"),
        (["mine", "--data-root", "nowhere"], "nowhere: no such folder"),
        (["mine", "--out", "file"], "Cannot write to file"),
        (
            ["fixed", "--datasets", "glyphscenes_lt"],
            "is for single-label data, but glyphscenes_lt is multi-label data",
        ),
        (["mine", "--select", "val"], "--select"),
    ],
)
def test_bad_searches_end_in_one_line(
    search: Tune, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    small = [word for a in SMALL for word in ("--set", a)] if "--datasets" not in words else []
    data = ["--datasets", "glyphs100_lt"] if "--datasets" not in words else []
    assert run_benchmarks.main(["tune", *words, *data, *small, "--device", "cpu"]) == 2
    line = capsys.readouterr().err
    assert says in line
    assert line.count("\n") == 1
    assert not Path("configs").exists()


def test_a_recipe_is_overwritten_only_by_a_continued_search(search: Tune) -> None:
    file, say = Path("there.yaml"), {"write": Path("there.yaml")}
    search("mine", "mine.width=5", trials=2, **say)
    search("mine", "mine.width=5", trials=3, **say)
    search("mine", "mine.width=5", trials=3, **say)
    before = file.read_bytes()
    assert read_recipe(file).trials == 3
    for words, options, says in (
        (("mine", "mine.width=5"), {"trials": 2}, "comes from 3 trials, more than the 2 requested"),
        (("mine", "mine.width=4"), {}, "was tuned with width=5 fixed, not width=4"),
        (("mine",), {}, "was tuned with width=5 fixed, not nothing"),
        (("mine", "mine.width=5"), {"fields": ("lr",)}, "sets lr, mode, epochs, this .* tunes lr"),
        (("mine", "mine.width=5"), {"protocol": "equal"}, "under protocol paper, not for .* equal"),
        (("mine", "mine.width=5"), {"datasets": "trap_lt"}, "not for mine on trap_lt"),
        (("linear_probe",), {}, "is for mine on .*, not for linear_probe on"),
    ):
        with pytest.raises(UserError, match=rf"there.yaml .*{says}.*--write") as caught:
            search(*words, **({"trials": 4} | options), **say)
        assert "\n" not in str(caught.value)
        assert file.read_bytes() == before


@pytest.mark.parametrize("text", ["notes", "methods: [lift]", "", "a: [", "by hand"])
def test_a_file_that_no_search_wrote_is_never_overwritten(search: Tune, text: str) -> None:
    file = Path("there.yaml")
    if text == "by hand":
        search(trials=2, write=file)
        text = file.read_text().replace("\ntrials: 2", "\ntrials: 0")
    file.write_text(text)
    with pytest.raises(
        UserError, match=r"there.yaml .*is not (a recipe|the result of a search).*--write"
    ):
        search(trials=2, write=file, out="other")
    assert file.read_text() == text
    assert not Path("other").exists()  # refused before anything runs


def test_one_trial_is_singular(search: Tune) -> None:
    ended = search(trials=1)
    assert "1 trial, measured" in ended.shown
    assert ended.recipe["origin"].endswith(", 1 trial")


def test_show_prints_the_space(search: Tune, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_benchmarks.main(["show", "mine"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "tunable lr 0.0001 to 1 (log), width 1 to 9, mode a | b, epochs 7 | 8" in shown


def test_tune_requires_data_sets(search: Tune, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_benchmarks.main(["tune", "mine"]) == 2
    assert "--datasets" in capsys.readouterr().err


def test_trials_near_the_best_are_named(search: Tune) -> None:
    ended = search(trials=8)
    tuning = ended.recipe["tuning"]
    best, near = tuning["best"], tuning["within_one_se"]
    same = {t["trial"] for t in ended.trials if t["lr"] > 0.1}  # such is the method
    assert same - {best} != set()
    assert same - {best} <= set(near)
    assert best not in near
    shown = " ".join(ended.shown.split())
    names = f"{', '.join(map(str, near[:-1]))} and {near[-1]}"
    assert f"Trials {names} are within one standard error of it" in shown
    assert ended.shown.count("within 1 SE") == len(near)


def test_the_expected_best_score_is_that_of_the_random_trials(search: Tune) -> None:
    ended = search(trials=6)
    random = [t["score"] for t in ended.trials[1:]]  # trial 0 is the default
    expected = ended.recipe["tuning"]["expected_best"]
    assert list(expected) == [1, 2, 4, 5]
    assert expected[1] == pytest.approx(sum(random) / 5, abs=0.01)
    assert expected[1] < expected[2] < expected[5] < max(random)
    shown = ", ".join(f"{n}: {value:.2f}" for n, value in expected.items())
    assert f"Expected best score of n random trials (Dodge et al. 2019): {shown}." in " ".join(
        ended.shown.split()
    )
