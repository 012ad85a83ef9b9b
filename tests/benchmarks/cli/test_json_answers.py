"""Answers for programs: `--json` of every verb that has it."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli.parts.json_answer import print_json
from benchmarks.cli.parts.status_text import status_answer
from benchmarks.datasets.registry import DATASETS
from benchmarks.run.folder_status import Failure, FolderStatus, RunningCell
from benchmarks.run.runs import Run
from benchmarks.signs_of_life import Owner
from benchmarks.sweep import plan
from benchmarks.sweep.settings import read_sweep
from methods.registry import METHODS
from reports.compare.lines import KINDS
from results.store import Store
from tests.benchmarks.cli.commands import ROOT, Command, the_line
from tests.formats_page import lines_of
from tests.reports.compare.studies import study
from tests.results.factory import make_record, record_of, with_key

SWEEP = """
methods: [ncm, linear_probe, lift]
datasets: [glyphs100_lt, glyphscenes_lt]
protocol: equal
seeds: [0, 1]
device: cpu
out: runs
"""


def answer(command: Command, *words: str) -> Any:
    """The answer of a command that warns of nothing."""
    ended = command(*words, "--json")
    assert (ended.status, ended.err) == (0, "")
    return json.loads(ended.out)


def refuse_unlike_page(verb: str, *answers: Any, of: str = "") -> None:
    """Hold the keys of answers against their table in docs/formats.md, and their types.

    Args:
        verb: the section.
        *answers: answers that have all keys together.
        of: the kind of thing that they are about, where the section has several.
    """
    lines = [line for line in lines_of(verb) if line.get("of", "all") in ("all", of)]
    types = {line["key"]: line["type"] for line in lines}
    found: dict[str, set[str]] = {}
    for one in answers:
        for key, kind in leaves(one, types):
            found.setdefault(key, set()).add(kind)
    assert found.keys() == types.keys()
    for key, kinds in found.items():
        said = set(types[key].replace("number", "number or integer").split(" or "))
        assert said == {"any"} or kinds <= said, (key, kinds)


WORDS = {
    str: "text", int: "integer", float: "number", bool: "true", dict: "mapping", list: "list",
    type(None): "null",
}  # fmt: skip


def leaves(value: Any, stop: Container[str], key: str = "") -> Iterator[tuple[str, str]]:
    """Each value in an answer: its key, and its type in the words of the page."""
    if isinstance(value, dict) and key not in stop:
        for name, item in value.items():
            yield from leaves(item, stop, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list) and key not in stop:
        for item in value:
            yield from leaves(item, stop, f"{key}[]")
    else:
        yield key, WORDS[type(value)]


def test_every_kind_of_number_and_character_can_be_read_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hostile = "\x7f\x1b[31m\u202e\u2028\ud800 é"
    print_json({"text": hostile, "numbers": [0.1, -3, math.inf, None, True], "path": Path("a/b")})
    out = capsys.readouterr().out
    assert out.isascii() and "\x7f" not in out
    found = json.loads(out)
    assert found == {"text": hostile, "numbers": [0.1, -3, "inf", None, True], "path": "a/b"}


def test_the_keys_of_a_status_are_on_the_page() -> None:
    owner = Owner("node7", 1234, "node7-1234", 1.7e9)
    cell = RunningCell("k", "lift", owner)
    status = FolderStatus(
        planned=4, done=1, not_applicable=0, failures=(Failure("k", "lift", "boom"),),
        running=(cell,), left=1, runs=(Run(owner, "sweep", True, "t"),), seconds_left=1.5,
        other_records=0, problems=("bad.json",),
    )  # fmt: skip
    refuse_unlike_page("status", status_answer(Path("runs"), status))


# ---- list and show -------------------------------------------------------------------------------


def test_lists(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    found = answer(command, "list")
    assert list(found) == ["methods", "datasets", "backbones"]
    assert [item["name"] for item in found["methods"]] == sorted(METHODS.entries())
    assert [item["name"] for item in found["datasets"]] == sorted(DATASETS.entries())
    by_name = {item["name"]: item for item in found["methods"]}
    assert by_name["ncm"]["deterministic"] and not by_name["lift"]["deterministic"]
    assert (by_name["lift"]["needs"], by_name["lift"]["tasks"]) == ("images", ["single", "multi"])
    assert answer(command, "list", "methods") == {"methods": found["methods"]}
    monkeypatch.chdir(ROOT)
    refuse_unlike_page("list", found, answer(command, "list", "recipes"))


def test_a_recipe_that_cannot_be_read_is_told_beside_the_answer(
    command: Command, work: Path
) -> None:
    folder = work / "configs" / "recipes"
    folder.mkdir(parents=True)
    good = "prototype__glyphs100_lt__glyph.yaml"
    shutil.copy(ROOT / "configs" / "recipes" / good, folder)
    (folder / "bad.yaml").write_text("nothing: here\n")
    ended = command("list", "recipes", "--json")
    assert ended.status == 0 and "bad.yaml" in ended.err
    (recipe,) = json.loads(ended.out)["recipes"]
    assert (recipe["name"], recipe["method"], recipe["trials"]) == (good, "prototype", 8)
    assert recipe["state"] in ("current", "stale")


def test_the_card_of_a_method(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # which has recipes
    found = answer(command, "show", "lift")
    assert (found["kind"], found["name"], found["needs"]) == ("method", "lift", "images")
    fields = {field["name"]: field for field in found["fields"]}
    for name, field in METHODS.fields("lift").items():
        assert fields[name]["default"] == field.default
    assert fields["lr"]["range"] == {"low": 0, "high": None, "open": False}
    assert "adaptformer" in fields["adapter"]["choices"]
    reach = METHODS.attribute("lift", "space")["lr"]
    assert found["space"]["lr"] == {
        "distribution": type(reach).__name__, "low": reach.low, "high": reach.high
    }  # fmt: skip
    assert found["fingerprint"] in command("show", "lift").out
    coop = answer(command, "show", "coop")["reconstruction"]
    assert set(coop) == {"single", "multi"} and coop["multi"] and not coop["single"]
    refuse_unlike_page("show", found, of="method")


def test_a_field_without_a_default_is_required(command: Command, mine: Path) -> None:
    text = mine.read_text().replace("class Mine(Method):", "class Mine(Method):\n    size: int\n")
    mine.write_text(text)
    found = answer(command, "show", "mine", "--plugin", "mine.py")
    (field,) = (field for field in found["fields"] if field["name"] == "size")
    assert (field["default"], field["required"]) == (None, True)
    assert "required" in command("show", "mine", "--plugin", "mine.py").out


def test_the_card_of_a_data_set(command: Command) -> None:
    found = answer(command, "show", "cifar100_lt_ir50")
    assert (found["kind"], found["name"], found["task"]) == (
        "dataset",
        "cifar100_lt_ir50",
        "single",
    )
    assert "41 / 41 / 18" in " ".join(found["card"].values())
    imbalance = next(f["default"] for f in found["fields"] if f["name"] == "imbalance")
    assert (found["owner"], imbalance) == ("cifar100_lt", 50)
    choosing = answer(command, "show", "glyphscenes_lt")
    refuse_unlike_page("show", found, choosing, of="dataset")


# ---- plan ----------------------------------------------------------------------------------------


@pytest.fixture
def sweep(work: Path) -> Store:
    """A sweep in `sweep.yaml` of which one cell is done, and a file that is no record."""
    (work / "sweep.yaml").write_text(SWEEP)
    store = Store(work / "runs")
    cells = plan.expand(read_sweep(work / "sweep.yaml", {})).cells
    store.write(record_of(next(c for c in cells if c.method == "ncm")), {})
    return store


def test_a_plan(command: Command, sweep: Store) -> None:
    found = answer(command, "plan", "--config", "sweep.yaml")
    cells = found["cells"]
    assert len({cell["key"] for cell in cells}) == len(cells) == 10
    (done,) = (cell for cell in cells if not cell["to_run"])
    assert (done["method"], done["state"], done["seed"]) == ("ncm", "done", 0)
    assert [cell["seed"] for cell in cells if cell["label"] == "lift"] == [0, 1, 0, 1]
    assert all(cell["config"] == METHODS.get("ncm")().__dict__ for cell in cells[:1])
    todo = [cell for cell in cells if cell["to_run"]]
    assert found["to_run"] == len(todo) == 9
    assert {cell["basis"] for cell in todo} <= {"records", "reference", "operations"}
    total = sum(part["seconds"] for part in (*todo, *found["features"]))
    assert found["seconds"] == pytest.approx(total) and found["places"] == 1
    text = command("plan", "--config", "sweep.yaml").out
    assert "10 cells, 9 to run" in text


def test_remarks_on_a_plan_are_not_in_its_answer(
    command: Command, sweep: Store, work: Path
) -> None:
    (work / "runs" / "records" / "bad.json").write_text("{")
    words = ["--config", "sweep.yaml", "--datasets", "cifar100_lt", "--backbone", "RN50/random"]
    ended = command("plan", "--json", *words)
    assert ended.status == 0
    assert "Ignored: runs/records/bad.json" in ended.err
    (note,) = json.loads(ended.out)["notes"]
    assert note.startswith("cifar100_lt: ") and f"note: {note}" in ended.err
    ended = command("plan", "--json")
    assert "Quick start" in ended.err and json.loads(ended.out)["cells"]


def test_the_plan_of_an_empty_part(command: Command, sweep: Store) -> None:
    found = answer(command, "plan", "--config", "sweep.yaml", "--shard", "40/50")
    assert (found["cells"], found["to_run"], found["seconds"]) == ([], 0, 0)


# ---- compare -------------------------------------------------------------------------------------


@pytest.fixture
def compared(work: Path) -> None:
    """Five runs each of sage and lift with predictions in `runs`."""
    made = study(range(5), range(5))
    for record in made.records:
        Store(work / "runs").write(with_key(record), made.predictions[record.key])


def test_a_comparison_has_the_numbers_of_its_csv_file(command: Command, compared: None) -> None:
    words = ("compare", "runs", "--a", "sage", "--b", "lift", "--margin", "50", "--power", "5")
    ended = command(*words, "--json", "--out", "new.csv")
    assert ended.status == 0 and "Written: new.csv" in ended.err
    found = json.loads(ended.out)
    assert (found["confidence"], found["level"]) == (0.95, 0.05)
    with open("new.csv", encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [line["metric"] for line in lines] == [line["metric"] for line in found["comparisons"]]
    for ours, line in zip(found["comparisons"], lines, strict=True):
        assert list(ours) == list(line)
        for name in ("mean_a", "difference", "low", "p", "shown_from", "runs_needed", "tests"):
            assert ours[name] == (pytest.approx(float(line[name])) if line[name] else None)
        assert (ours["better"], str(ours["equivalent"])) == (line["better"], line["equivalent"])
        assert list(ours["runs"]) == [f"seed {seed}" for seed in range(5)]
        assert ours["difference"] == pytest.approx(sum(ours["runs"].values()) / 5)
    assert found["comparisons"][0]["better"] == "A"
    refuse_unlike_page("compare", found)


def test_the_columns_of_comparisons_are_on_the_page() -> None:
    words = {"truth": "true or false"}
    page = {line["column"]: line["type"] for line in lines_of("Comparisons")}
    assert page == {name: words.get(kind, kind) for name, kind in KINDS.items()}
    assert list(page) == list(KINDS)
    assert all(line["meaning"] for line in lines_of("Comparisons"))


def test_the_seeds_that_a_plan_needs(command: Command, sweep: Store, work: Path) -> None:
    made, same = study(), {"lift": "sage", "linear_probe": "lift"}
    for cell in plan.expand(read_sweep(work / "sweep.yaml", {})).cells:
        if cell.method in same and cell.family.task == "single":
            run = next(
                r for r in made.records if (r.method, r.seed) == (same[cell.method], cell.seed)
            )
            sweep.write(
                record_of(
                    cell, metrics=run.metrics, groups=run.groups, class_names=run.class_names
                ),
                made.predictions[run.key],
            )
    words = ("plan", "--config", "sweep.yaml", "--datasets", "glyphs100_lt", "--methods")
    found = answer(command, *words, "lift,linear_probe", "--power", "25")
    assert [line["metric"] for line in found["designs"]][:2] == ["overall", "many"]
    assert {line["b"] for line in found["designs"]} == {"lift"}  # the best row
    overall = found["designs"][0]
    text = command(*words, "lift,linear_probe", "--power", "25").out
    assert f"in overall of at least {overall['shown_from']:.2f} (linear_probe)" in text
    assert f"linear_probe: {overall['runs_needed']} seeds" in text
    absent = json.loads(
        command("plan", "--json", "--methods", "ncm", "--datasets", "cifar100_lt").out
    )
    refuse_unlike_page("plan", found, absent)


def test_an_unusable_command_prints_nothing_on_standard_output(
    command: Command, work: Path
) -> None:
    Store(work / "runs").write(make_record(), {})
    for words in (
        ("compare", "gone", "--a", "x", "--b", "y"),
        ("compare", "runs", "--a", "lift"),
        ("show", "lft"),
        ("plan", "--methods", "lft"),
        ("status", "gone"),
    ):
        ended = command(*words, "--json")
        the_line(ended)
        assert ended.out == ""
