"""Numbers that no run could use are refused by the range of their field."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.datasets.registry import DATASETS
from benchmarks.errors import UserError
from benchmarks.plugins.ranges import OpenShare, Range, Share
from benchmarks.plugins.values import apply_fields, check_fields
from benchmarks.sweep import plan
from benchmarks.sweep.recipe_files import read_recipe
from benchmarks.sweep.settings import read_sweep
from methods.registry import METHODS
from methods.space import OneOf

ROOT = Path(__file__).resolve().parents[3]
BUILT_IN = sorted(METHODS.entries(scan_only=True))

REFUSED = [
    ("lift", "epochs", 0, "0 is less than 1"),
    ("lift", "batch_size", "-4", "-4 is less than 1"),
    ("lift", "lr", "-0.1", "-0.1 is less than 0"),
    ("crt", "head_lr", -1, "-1 is less than 0"),
    ("lws", "scale_lr", -1, "-1 is less than 0"),
    ("lift", "weight_decay", "-1e-3", "-1e-3 is less than 0"),
    ("lift", "tau", -0.5, "-0.5 is less than 0"),
    ("lift", "bottleneck", -1, "-1 is less than 0"),
    ("lift", "prompts", 0, "0 is less than 1"),
    ("coop", "contexts", 0, "0 is less than 1"),
    ("sage", "attention_width", 8, "8 is less than 16"),
    ("sage", "attention_width", "1e9", "1e9 is more than 4096"),
    ("sage", "max_guides", 0, "0 is less than 2"),
    ("sage", "max_nats", -1, "-1 is less than 0"),
    ("clip_adapter", "ratio", -0.1, "-0.1 is less than 0"),
    ("clip_adapter", "ratio", 2, "2 is more than 1"),
    ("clip_adapter", "reduction", 0, "0 is less than 1"),
    ("crt", "head_share", 0, "0 is not above 0"),
    ("crt", "head_share", "1.0", "1.0 is not below 1"),
    ("lws", "scale_share", 1, "1 is not below 1"),
    ("prototype", "classifier_share", 0, "0 is not above 0"),
    ("prototype", "prototype_share", 1.5, "1.5 is more than 1"),
    ("prototype", "shrinkage", 1.5, "1.5 is more than 1"),
    ("prototype", "pull", -1, "-1 is less than 0"),
    ("prototype", "matching_scale", 0, "0 is not above 0"),
    ("prototype", "scale", -30, "-30 is not above 0"),
    ("prototype", "text_weight", -1, "-1 is less than 0"),
    ("lmpt", "cse_weight", 1.1, "1.1 is more than 1"),
    ("lmpt", "margin", -0.2, "-0.2 is less than 0"),
    ("lmpt", "gamma", -2, "-2 is less than 0"),
    ("lmpt", "db_mu", 2, "2 is more than 1"),
    ("coop", "db_neg_scale", 0, "0 is not above 0"),
    ("tip_adapter", "shots", -1, "-1 is less than 0"),
    ("tip_adapter", "alpha", -1, "-1 is less than 0"),
    ("tip_adapter", "beta", -1, "-1 is less than 0"),
    ("clip_lora", "rank", 0, "0 is less than 1"),
    ("clip_lora", "dropout", 1.5, "1.5 is more than 1"),
    ("coop", "asl_gamma_pos", -1, "-1 is less than 0"),
    ("lmpt", "bal_power", -1, "-1 is less than 0"),
    ("linear_probe", "bal_divisor", -1, "-1 is less than 0"),
    ("hgltr", "kl", -1, "-1 is less than 0"),
    ("hgltr", "mse", -1, "-1 is less than 0"),
    ("hgltr", "tau_soft", -1, "-1 is less than 0"),
    ("lift", "mask", 2, "2 is more than 1"),
    ("lt_soups", "ratios", 31, "31 is more than 30"),
    ("lt_soups", "branches", 0, "0 is less than 1"),
    ("lt_soups", "merge", 1.5, "1.5 is more than 1"),
    ("lt_soups", "steps", -1, "-1 is less than 0"),
    ("lt_soups", "ema", 2, "2 is more than 1"),
]


@pytest.mark.parametrize(("name", "field", "value", "says"), REFUSED)
def test_a_number_out_of_range_is_refused(name: str, field: str, value: Any, says: str) -> None:
    with pytest.raises(UserError) as caught:
        apply_fields(f"method {name}", METHODS.get(name), {field: value})
    assert str(caught.value) == f"method {name}, field {field}: {says}."


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_number_of_a_method_has_a_range_that_is_enforced(name: str) -> None:
    cls = METHODS.get(name)
    for field, declared in METHODS.fields(name).items():
        if declared.hint not in (int, float):
            continue
        assert declared.range is not None, field
        assert field in {field for _, field, _, _ in REFUSED}
        for value in outside(declared.range):
            with pytest.raises(UserError, match=f"^{name}, field {field}: .* is "):
                apply_fields(name, cls, {field: value})


def outside(limits: Range) -> list[float]:
    return [limits.low - 1, *([limits.high + 1] if limits.high is not None else [])]


@pytest.mark.parametrize("name", sorted(DATASETS.entries(scan_only=True)))
def test_the_ranges_of_a_data_set_are_enforced(name: str) -> None:
    cls, fields = DATASETS.get(name), DATASETS.fields(name)
    ranges = {field: f.range for field, f in fields.items() if f.range is not None}
    assert ("imbalance" in ranges) == ("imbalance" in fields)
    for field, limits in ranges.items():
        for value in outside(limits):
            with pytest.raises(UserError, match=f"^{name}, field {field}: .* is "):
                apply_fields(name, cls, {field: value})
            with pytest.raises(UserError, match=f"field {field}: .* is "):
                check_fields(name, cls(**{field: value}))


def test_the_ends_belong_to_a_range_unless_it_is_open() -> None:
    assert Range(1).complaint(1) is Range(1).complaint(1e9) is None
    assert Share.complaint(0) is Share.complaint(1) is None
    assert (Share.complaint(-0.1), Share.complaint(1.1)) == ("less than 0", "more than 1")
    assert OpenShare.complaint(1e-9) is OpenShare.complaint(1 - 1e-9) is None
    assert (OpenShare.complaint(0), OpenShare.complaint(1)) == ("not above 0", "not below 1")


@pytest.mark.parametrize("name", BUILT_IN)
def test_defaults_and_the_ends_of_every_space_lie_inside(name: str) -> None:
    cls = METHODS.get(name)
    apply_fields(name, cls, {f.name: f.default for f in dataclasses.fields(cls)})
    for field, drawn in cls.space.items():  # type: ignore[attr-defined]
        ends = drawn.options if isinstance(drawn, OneOf) else (drawn.low, drawn.high)
        for end in ends:
            apply_fields(name, cls, {field: end})


def test_the_recipes_of_the_repository_lie_inside() -> None:
    files = sorted((ROOT / "configs" / "recipes").glob("*.yaml"))
    assert files
    for file in files:
        recipe = read_recipe(file)
        apply_fields(str(file), METHODS.get(recipe.method), recipe.fields)


PLUGIN = '''
from __future__ import annotations
from dataclasses import dataclass
from typing import Annotated

from benchmarks.plugins.ranges import NonNegative, Share
from methods.lift import Lift
from methods.registry import register


@register("ranged", paper="-", needs="images")
@dataclass(frozen=True)
class Ranged(Lift):
    """A number with a range, one without, and those of LIFT."""

    margin: Annotated[float, NonNegative] = 0.5
    ratio: Annotated[float | None, Share] = None
    gamma: float = 1.0
    tau: float = 1.0
'''


def test_a_plug_in_has_the_ranges_that_it_declares_or_inherits(
    plugin: Callable[..., Path],
) -> None:
    METHODS.load_file(plugin(PLUGIN))
    cls = METHODS.get("ranged")
    fields = {"margin": "0", "ratio": "none", "gamma": -3, "tau": "-1"}
    assert apply_fields("ranged", cls, fields).items() >= {
        ("margin", 0.0), ("ratio", None), ("gamma", -3.0), ("tau", -1.0)
    }  # fmt: skip
    for field, value in (("margin", -1), ("ratio", 2), ("epochs", 0)):
        with pytest.raises(UserError, match=f"field {field}: {value} is"):
            apply_fields("ranged", cls, {field: value})


# ---- wherever a field can be set -----------------------------------------------------------------


def _refused(where: dict[str, Any], file: Path | None = None) -> str:
    flags = {"datasets": "glyphs100_lt", "device": "cpu", **where}
    with pytest.raises(UserError) as caught:
        plan.expand(read_sweep(file, flags))
    return str(caught.value)


def test_flags_files_and_recipes_are_all_checked(tmp_path: Path) -> None:
    says = "field max_guides: 0 is less than 2."
    flags = {"methods": "sage", "set": ["sage.max_guides=0"]}
    assert _refused(flags) == f"method sage, {says}"
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text("methods: [sage: {max_guides: 0}]")
    assert _refused({}, sweep) == f"method sage, {says}"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "{method: sage, dataset: glyphs100_lt, backbone: glyph, origin: here, "
        "fields: {max_guides: 0}}"
    )
    flags = {"methods": "sage", "recipes": str(recipe)}
    assert _refused(flags) == f"method sage in {recipe}, {says}"
