"""Recipes in a sweep: what they set, what goes before them, and what the records say."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch

from benchmarks.errors import UserError
from benchmarks.protocol import EQUAL_BUDGET
from benchmarks.run import runner
from benchmarks.run.display import Silent
from benchmarks.run.options import RunOptions
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.recipe_files import Recipe, default_file, read_recipe, write_recipe
from benchmarks.sweep.settings import Choice, read_sweep
from results.schema import Record, Tuning
from results.store import Store
from tests.benchmarks.damage import damages, full_disk
from tests.benchmarks.small import FIELDS

SHOWN = "glyphs100_lt_ir8 (n_max=35, classes=4, test_per_class=4)"
FIELDS_SET = [f"glyphs100_lt.{name}={value}" for name, value in FIELDS.items()]
OTHER = Choice("glyphs100_lt", (("style_shift", 0.1),))
"""Another data set."""
Expand = Callable[..., list[Cell]]
Write = Callable[..., Path]


@pytest.fixture
def recipe(tmp_path: Path, clip_folder: Path) -> Write:
    """Writes a recipe of linear_probe on the small world and the small backbone."""
    from benchmarks.backbone.identify import identify

    def write(name: str = "probe.yaml", **changes: Any) -> Path:
        backbone = identify(f"local-dir:{clip_folder}").name
        values: dict[str, Any] = {
            "method": "linear_probe", "dataset": SHOWN, "backbone": backbone, "protocol": "",
            "origin": "tuned-on-small, 9 trials", "trials": 9, "fields": {"lr": 0.5, "epochs": 2},
            "tuning": {"best": 3},
        }  # fmt: skip
        written = Recipe(tmp_path / name, **(values | changes))
        write_recipe(written)
        assert read_recipe(written.file) == written
        return written.file

    return write


@pytest.fixture
def expand(clip_folder: Path, tmp_path: Path) -> Expand:
    """Cells of a sweep on the small world."""

    def cells(methods: Any, *assignments: str, **flags: Any) -> list[Cell]:
        text = [] if isinstance(methods, str) else methods
        flags = {
            "methods": methods, "datasets": "glyphs100_lt", "seeds": "0", "device": "cpu",
            "backbone": f"local-dir:{clip_folder}", "set": [*FIELDS_SET, *assignments],
        } | flags  # fmt: skip
        if text:
            flags["methods"] = text
        return plan.expand(read_sweep(None, flags)).cells

    return cells


def _own(*files: Path, name: str = "linear_probe", **fields: Any) -> Choice:
    return Choice(name, tuple(fields.items()), tuple(files))


# ---- what a recipe sets --------------------------------------------------------------------------


def test_a_recipe_sets_fields_of_its_method_alone(expand: Expand, recipe: Write) -> None:
    file = recipe()
    plain = {c.method: c.config for c in expand("linear_probe,logit_adjustment")}
    cells = {c.method: c for c in expand("linear_probe,logit_adjustment", recipes=[str(file)])}
    expected = plain["linear_probe"] | {"lr": 0.5, "epochs": 2}
    assert cells["linear_probe"].config == expected
    assert cells["linear_probe"].tuning == Tuning("tuned-on-small, 9 trials", 9, ("lr", "epochs"))
    assert cells["logit_adjustment"].config == plain["logit_adjustment"]
    assert cells["logit_adjustment"].tuning is None


def test_what_is_said_outright_goes_before_the_recipe(expand: Expand, recipe: Write) -> None:
    files = [str(recipe())]
    equal = expand("linear_probe", protocol="equal", recipes=files)[0]
    assert equal.config["epochs"] == 2  # the recipe goes before the protocol
    assert equal.config["batch_size"] == EQUAL_BUDGET["batch_size"]
    (by_yaml,) = expand([Choice("linear_probe", (("lr", 0.1),))], recipes=files)
    (by_flag,) = expand("linear_probe", "linear_probe.lr=0.1", recipes=files)
    for cell in (by_yaml, by_flag):
        assert (cell.config["lr"], cell.config["epochs"]) == (0.1, 2)
        assert cell.tuning is not None
        assert cell.tuning.fields == ("epochs",)
    both = ("linear_probe.lr=0.1", "linear_probe.epochs=1")
    assert expand("linear_probe", *both, recipes=files)[0].tuning is None  # nothing of it is left


def test_an_entry_of_a_sweep_has_recipes_of_its_own(
    expand: Expand, recipe: Write, tmp_path: Path
) -> None:
    shared, own = recipe(), recipe("own.yaml", fields={"lr": 0.7}, trials=4)
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(
        dedent(
            f"""
            methods:
              - linear_probe
              - linear_probe: {{recipe: {own}}}
              - linear_probe: {{recipe: [{own}], epochs: 3}}
              - linear_probe: {{recipe: none}}
            recipes: [{shared}]
            """
        )
    )
    methods = read_sweep(sweep, {}).methods
    cells = expand(methods, recipes=read_sweep(sweep, {}).recipes)
    found = [(c.config["lr"], c.config["epochs"], c.tuning and c.tuning.trials) for c in cells]
    assert found == [(0.5, 2, 9), (0.7, 10, 4), (0.7, 3, 4), (0.03, 10, None)]
    assert len({c.label for c in cells}) == 4


def test_a_recipe_is_for_one_data_set_backbone_and_protocol(expand: Expand, recipe: Write) -> None:
    file = str(recipe(protocol="paper"))
    two = expand("linear_probe", datasets=[Choice("glyphs100_lt"), OTHER], recipes=[file])
    assert [c.tuning is not None for c in two] == [True, False]
    assert expand("linear_probe", recipes=[file], protocol="paper")[0].tuning is not None
    cases: list[dict[str, Any]] = [
        {"protocol": "equal"},
        {"backbone": "glyph", "protocol": "paper"},
    ]
    cases += [{"datasets": [OTHER]}]
    for flags in cases:
        for methods, given in (("linear_probe", {"recipes": [file]}), ([_own(Path(file))], {})):
            with pytest.raises(UserError, match=r"probe\.yaml") as caught:
                expand(methods, **flags, **given)
            assert "\n" not in str(caught.value)


def test_a_recipe_that_is_for_nothing_in_the_sweep_is_refused(
    expand: Expand, recipe: Write
) -> None:
    with pytest.raises(UserError, match=r"is for lift on .* with .*, which is not in this sweep"):
        expand("linear_probe", recipes=[str(recipe(method="lift"))])
    with pytest.raises(UserError, match=r"which is not in this sweep"):
        expand([_own()], recipes=[str(recipe())])  # the only entry wants none


def test_an_entry_whose_recipes_leave_a_data_set_out_is_refused(
    expand: Expand, recipe: Write
) -> None:
    with pytest.raises(UserError, match=r"none of its .* is for linear_probe on .*shift=0.1"):
        expand([_own(recipe())], datasets=[Choice("glyphs100_lt"), OTHER])


def test_two_recipes_for_one_thing_are_refused(expand: Expand, recipe: Write) -> None:
    files = [str(recipe()), str(recipe("b.yaml"))]
    with pytest.raises(
        UserError, match=r"Two recipes for linear_probe .*probe\.yaml and .*b\.yaml"
    ):
        expand("linear_probe", recipes=files)


def test_a_field_that_does_not_fit_names_the_file(expand: Expand, recipe: Write) -> None:
    for fields, says in (({"rate": 1}, "'rate'"), ({"lr": "high"}, "lr: 'high'")):
        with pytest.raises(UserError, match=says) as caught:
            expand("linear_probe", recipes=[str(recipe(fields=fields))])
        assert "probe.yaml" in str(caught.value)


def test_a_recipe_is_for_rows_with_what_was_fixed_while_tuning(
    expand: Expand, recipe: Write
) -> None:
    file = recipe(tuning={"fixed": {"weight_decay": 0.1, "head": "cosine"}})
    for methods, assignments in (
        ([Choice("linear_probe", (("weight_decay", "1e-1"),))], ()),
        ("linear_probe", ("linear_probe.weight_decay=0.1",)),
        ([_own(file, weight_decay=0.1)], ()),
    ):
        given = {} if isinstance(methods, list) and methods[0].recipes else {"recipes": [str(file)]}
        (cell,) = expand(methods, *assignments, **given)
        assert cell.tuning is not None
        assert (cell.config["lr"], cell.config["weight_decay"]) == (0.5, 0.1)
    with pytest.raises(
        UserError, match=r"^linear_probe: .*probe\.yaml was tuned with weight_decay=0.1, .*=0.0005"
    ):
        expand("linear_probe", recipes=[str(file)])
    with pytest.raises(UserError, match=r"^linear_probe \(head=linear, w.* head=cosine, .*=linear"):
        expand([_own(file, head="linear", weight_decay=0.1)])
    # Where nothing of the recipe is left there is nothing that was tuned for another row.
    given_all = ("linear_probe.lr=0.1", "linear_probe.epochs=1")
    assert expand("linear_probe", *given_all, recipes=[str(file)])[0].tuning is None
    with pytest.raises(UserError, match=r"'rate'.*"):
        expand("linear_probe", recipes=[str(recipe("other.yaml", tuning={"fixed": {"rate": 1}}))])


@pytest.mark.parametrize("sweep", ["paper_table", "paper_table_adapters", "sage_ablation"])
def test_the_sweeps_that_come_with_the_suite_can_be_planned(
    sweep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).parents[3]
    monkeypatch.chdir(root)
    file = root / "configs" / f"{sweep}.yaml"
    assert plan.expand(read_sweep(file, {"device": "cpu"})).cells
    recipe = "configs/recipes/lift_text-both__glyphs100_lt__glyph.yaml"
    flags = {"methods": "lift", "datasets": "glyphs100_lt", "device": "cpu", "recipes": [recipe]}
    with pytest.raises(UserError, match=r"tuned with text=both, this row has text=names"):
        plan.expand(read_sweep(None, flags))


# ---- what the records say ------------------------------------------------------------------------


def test_a_record_says_which_recipe_and_what_it_cost(
    expand: Expand, recipe: Write, tmp_path: Path
) -> None:
    cells = expand("linear_probe,ncm", recipes=[str(recipe())])
    out = tmp_path / "runs"
    runner.run(cells, RunOptions(out=out, data_root=tmp_path, device=torch.device("cpu")), Silent())
    records = {r.method: r for r in Store(out).all()[0]}
    tuned, other = records["linear_probe"], records["ncm"]
    assert tuned.tuning == cells[0].tuning
    assert tuned.cost is not None
    assert tuned.cost.tuning_trials == 9
    assert (tuned.config["lr"], tuned.cost.epochs) == (0.5, 2)
    assert "lr, epochs from a recipe: tuned-on-small, 9 trials" in tuned.notes
    assert other.tuning is None
    assert other.cost is not None
    assert other.cost.tuning_trials == 0
    assert Record.from_json(tuned.to_json()) == tuned


def test_the_key_holds_the_trials_and_not_the_words(expand: Expand, recipe: Write) -> None:
    """The record says what tuning cost, so other trials are another cell; a reworded origin, a
    moved file or the same fields typed by hand are not the recipe's business."""

    def key(**changes: Any) -> str:
        return expand("linear_probe", recipes=[str(recipe(**changes))])[0].key

    by_hand = expand("linear_probe", "linear_probe.lr=0.5", "linear_probe.epochs=2")[0]
    assert key() == key(origin="elsewhere") == key(name="moved.yaml")
    assert len({key(), key(trials=10), key(fields={"lr": 0.6}), by_hand.key}) == 4
    assert key(trials=0) != by_hand.key


# ---- files ---------------------------------------------------------------------------------------

GOOD = {
    "method": "lift", "dataset": "d", "backbone": "b", "origin": "paper", "fields": {"lr": 1},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"method": None}, "needs the key 'method'"),
        ({"fields": None}, "needs the key 'fields'"),
        ({"trails": 3}, "'trails'.*trials"),
        ({"trials": "many"}, "trials: 'many'"),
        ({"trials": -1}, "trials: -1 is less than 0"),
        ({"trials": 1e30}, r"trials: 1e\+30 is more than 100000"),
        ({"trials": float("inf")}, "trials: 'inf' is not a whole number"),
        ({"trials": float("nan")}, "trials: 'nan' is not a whole number"),
        ({"origin": "x" * 5000}, "origin: 5,000 characters, more than 1,000"),
        ({"fields": {}}, "fields: write a mapping"),
        ({"fields": [1]}, "fields: write a mapping"),
        ({"tuning": 3}, "tuning: write a mapping"),
        ({"tuning": {"fixed": [1]}}, "tuning: write a mapping"),
        ({"origin": 3}, "origin: '3' is not text"),
        ("- a\n- b", "a recipe is a mapping"),
        ("{", "not valid YAML"),
        (None, "Cannot read"),
    ],
)
def test_what_is_no_recipe_is_said_in_a_line(tmp_path: Path, change: Any, says: str) -> None:
    import yaml

    file = tmp_path / "r.yaml"
    if isinstance(change, str):
        file.write_text(change)
    elif change is not None:
        values = {k: v for k, v in {**GOOD, **change}.items() if v is not None}
        file.write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match=says) as caught:
        read_recipe(file)
    assert "r.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_by_hand_may_leave_out_protocol_and_trials(tmp_path: Path) -> None:
    import yaml

    (tmp_path / "r.yaml").write_text(yaml.safe_dump(GOOD))
    found = read_recipe(tmp_path / "r.yaml")
    assert (found.protocol, found.trials) == ("", 0)
    assert found.fits("lift", "d", "b", "paper")
    assert found.fits("lift", "d", "b", "equal")
    assert not dataclasses.replace(found, protocol="equal").fits("lift", "d", "b", "paper")


@pytest.mark.parametrize(
    "value",
    ["recipe: 3", "recipe: [1]", "recipe: {a: 1}", "recipe: ''", "recipe: true", "recipe: [none]",
     "recipe:", "recipe: null", "recipe: [[a.yaml]]"],
)  # fmt: skip
def test_what_is_no_file_of_a_recipe(tmp_path: Path, value: str) -> None:
    (tmp_path / "s.yaml").write_text(f"methods: [lift: {{{value}}}]")
    wanted = "write a file, a list of files or none, not"
    with pytest.raises(UserError, match=f"methods, recipe of lift: {wanted}"):
        read_sweep(tmp_path / "s.yaml", {})
    (tmp_path / "s.yaml").write_text(value.replace("recipe", "recipes"))
    with pytest.raises(UserError, match=f"s.yaml, recipes: {wanted}"):
        read_sweep(tmp_path / "s.yaml", {})


def test_a_recipe_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    """Reading a pipe waits for ever, and reading a device fills the memory."""
    os.mkfifo(tmp_path / "recipe.yaml")
    with pytest.raises(UserError, match=r"Cannot read .*recipe\.yaml: a pipe or a device"):
        read_recipe(tmp_path / "recipe.yaml")


def test_no_recipe_is_said_by_none(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("{methods: [lift: {recipe: none}], recipes: none}")
    sweep = read_sweep(tmp_path / "s.yaml", {})
    assert (sweep.methods[0].recipes, sweep.recipes) == ((), ())
    for value in ("a.yaml", "[a.yaml]"):
        (tmp_path / "s.yaml").write_text(f"{{methods: [lift: {{recipe: {value}}}]}}")
        assert read_sweep(tmp_path / "s.yaml", {}).methods[0].recipes == (Path("a.yaml"),)
    with pytest.raises(UserError, match="--recipe: write a file"):
        read_sweep(None, {"recipes": [""]})


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Cannot write"):
        write_recipe(Recipe(tmp_path / "file" / "r.yaml", "m", "d", "b", "", "o", 1, {"a": 1}))


def test_names_of_files_are_safe() -> None:
    file = default_file("lift", "glyphs100_lt (n_max=200)", "ViT-B-16/../openai")
    assert file.as_posix() == "configs/recipes/lift__glyphs100_lt-n_max-200__ViT-B-16-openai.yaml"


def test_a_damaged_recipe_is_refused_by_name(recipe: Write) -> None:
    file = recipe()
    expected = read_recipe(file)
    refused = 0
    for damage in damages(file, flips=60, seed=0):
        try:
            assert read_recipe(file) == expected, damage  # a bit of the comments
        except UserError as error:
            assert str(file) in str(error), damage
            refused += 1
    assert refused > 30
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("lr: 0.5", "lr: 0.6"), encoding="utf-8")
    with pytest.raises(UserError, match="delete the line with its SHA-256"):
        read_recipe(file)
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(line for line in lines if "SHA-256" not in line), encoding="utf-8")
    assert read_recipe(file).fields["lr"] == 0.6


def test_a_recipe_that_cannot_be_written_leaves_the_earlier_one(recipe: Write) -> None:
    file = recipe()
    expected = read_recipe(file)
    with full_disk(room=100), pytest.raises(UserError, match=rf"Cannot write {file}: File too"):
        recipe(trials=10)
    assert read_recipe(file) == expected
    assert [path.name for path in file.parent.iterdir() if path.suffix == ".tmp"] == []
