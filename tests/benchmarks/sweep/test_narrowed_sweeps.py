"""A sweep's file under flags: recipes that may be unused then, and those that must be used."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from benchmarks.errors import UserError
from benchmarks.sweep import plan
from benchmarks.sweep.settings import read_sweep

ROOT = Path(__file__).parents[3]
RECIPES = ROOT / "configs" / "recipes"
LIFT = RECIPES / "lift__glyphs100_lt__glyph.yaml"
SCENES = RECIPES / "lift__glyphscenes_lt__glyph.yaml"
PROBE = RECIPES / "linear_probe__glyphs100_lt__glyph.yaml"
KNOB = {"set": ["glyphs100_lt.n_max=40"]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A sweep with shared recipes."""
    text = f"""
        methods: [lift, linear_probe]
        datasets: [glyphs100_lt, glyphscenes_lt]
        seeds: [0]
        device: cpu
        recipes: [{LIFT}, {SCENES}, {PROBE}]
        """
    (tmp_path / "sweep.yaml").write_text(dedent(text))
    return tmp_path / "sweep.yaml"


def _plan(file: Path, **flags: Any) -> tuple[dict[tuple[str, str], bool], list[str]]:
    """Return if each method is tuned on each data set, and what was said of unused recipes."""
    said: list[str] = []
    cells = plan.expand(read_sweep(file, flags), said.append).cells
    # The recipes of the project may be stale, which is said, too.
    said = [line for line in said if "tuned with another version" not in line]
    return {(c.method, c.family.name): c.tuning is not None for c in cells}, said


def test_recipes_of_methods_and_data_that_flags_leave_out_are_ignored(file: Path) -> None:
    tuned, said = _plan(file, methods="lift")
    assert tuned == {("lift", "glyphs100_lt"): True, ("lift", "glyphscenes_lt"): True}
    assert said == []
    tuned, said = _plan(file, datasets="glyphscenes_lt")
    assert tuned == {("lift", "glyphscenes_lt"): True, ("linear_probe", "glyphscenes_lt"): False}
    assert said == []


@pytest.mark.parametrize(
    "flags", [KNOB, {"datasets": "glyphs100_lt_ir10"}, {"backbone": "ViT-B-32/random"},
              {"protocol": "paper"}],
)  # fmt: skip
def test_a_recipe_that_no_longer_fits_is_reported(file: Path, flags: dict[str, Any]) -> None:
    tuned, said = _plan(file, **flags)
    assert not tuned["lift", "glyphs100_lt"]
    on = " under protocol equal"
    assert f"Not used: {LIFT} is for lift on glyphs100_lt with glyph{on}." in said
    assert f"Not used: {PROBE} is for linear_probe on glyphs100_lt with glyph{on}." in said


def test_recipes_named_by_flags_must_be_used(file: Path) -> None:
    for flags in (KNOB, {"methods": "linear_probe"}):
        with pytest.raises(UserError, match=r"lift__glyphs100_lt.*which is not in this sweep"):
            _plan(file, recipes=[str(LIFT)], **flags)


@pytest.mark.parametrize("flags", [{}, {"seeds": "3"}, {"out": "elsewhere"}])
def test_recipes_of_a_file_that_no_flag_narrows_must_be_used(
    file: Path, flags: dict[str, Any]
) -> None:
    file.write_text(file.read_text().replace("[lift, linear_probe]", "[lift]"))
    with pytest.raises(UserError, match=r"linear_probe__.*which is not in this sweep"):
        _plan(file, **flags)


def test_a_row_with_recipes_of_its_own_is_never_run_without(file: Path) -> None:
    text = file.read_text().replace("[lift,", f"[lift: {{recipe: [{LIFT}, {SCENES}]}},")
    file.write_text(text.replace(f"{LIFT}, {SCENES}, {PROBE}]\n", f"{PROBE}]\n"))
    with pytest.raises(UserError, match=r"^lift: none of its recipes .*n_max=40"):
        _plan(file, **KNOB)
    for datasets in ("glyphs100_lt", "glyphscenes_lt"):
        tuned, said = _plan(file, datasets=datasets)
        assert tuned["lift", datasets]
        assert said == []
    assert _plan(file, methods="linear_probe")[1] == []


@pytest.mark.parametrize(
    "flags", [{"methods": "lift"}, {"datasets": "glyphscenes_lt"}, {"methods": "lift", **KNOB}]
)
def test_the_paper_table_can_be_narrowed(
    flags: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert _plan(ROOT / "configs" / "paper_table_adapters.yaml", device="cpu", **flags)[0]


def test_internal_fields_of_a_sweep_are_not_yaml_keys(file: Path) -> None:
    for key in ("narrowed: true", "asked: [x]"):
        file.write_text(f"{key}\n")
        with pytest.raises(UserError, match="Unknown key"):
            read_sweep(file, {})
