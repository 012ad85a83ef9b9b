"""Fields of an imported class, and annotations that cannot be meant."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

import run_benchmarks
from benchmarks.errors import UserError
from benchmarks.plugins.fields import MISSING, Field, fields_of
from benchmarks.plugins.ranges import Count, NonNegative, Positive, Range, Share
from methods.registry import METHODS


@dataclasses.dataclass
class Knobs:
    a: int
    b: Annotated[float, NonNegative] = 0.5
    c: Annotated[int | None, Count] = None
    d: Annotated[float, Share] | None = 1.0
    e: Literal["x", 2] = 2
    f: tuple[int, ...] = dataclasses.field(default_factory=tuple)


@dataclasses.dataclass
class More(Knobs):
    b: float = -1.0


def test_types_defaults_and_ranges() -> None:
    fields = fields_of(Knobs)
    assert fields == {
        "a": Field(int, MISSING),
        "b": Field(float, 0.5, NonNegative),
        "c": Field(int | None, None, Count),
        "d": Field(float | None, 1.0, Share),
        "e": Field(Literal["x", 2], 2),
        "f": Field(tuple[int, ...], ()),
    }
    assert list(fields) == list("abcdef")


def test_a_subclass_inherits_ranges_and_may_drop_them() -> None:
    assert fields_of(More) == fields_of(Knobs) | {"b": Field(float, -1.0)}


@pytest.mark.parametrize("name", sorted(METHODS.entries(scan_only=True)))
def test_types_and_defaults_of_methods_are_those_of_dataclasses(name: str) -> None:
    cls: Any = METHODS.get(name)
    hints = typing.get_type_hints(cls)
    assert {name: (field.hint, field.default) for name, field in fields_of(cls).items()} == {
        f.name: (hints[f.name], f.default) for f in dataclasses.fields(cls)
    }


def test_only_numbers_are_held_to_a_range() -> None:
    field = Field(int | None, 1, Positive)
    assert field.complaint(0) == "not above 0"
    for value in (1, None, "none", False):
        assert field.complaint(value) is None
    assert Field(int, 0).complaint(-9) is None


def test_an_empty_range_is_refused() -> None:
    for low, high in ((2, 1), (1, 1)):
        with pytest.raises(ValueError, match=f"a range from {low} to {high} is empty"):
            Range(low, high)


# ---- plug-ins whose annotations cannot be meant --------------------------------------------------

PLUGIN = """
from __future__ import annotations
from dataclasses import dataclass
from typing import Annotated, Literal

from benchmarks.plugins.ranges import NonNegative, Positive, Range, Share
from methods.base import Method
from methods.registry import register


@register("annotated", paper="-", needs="features")
@dataclass(frozen=True)
class Mine(Method):
    value: {annotation}

    def fit(self, task): ...
"""


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        ("Annotated[float, NonNegatve] = 1.0", "NameError: name 'NonNegatve' is not defined"),
        ("Annotated[float, 'Positive'] = 1.0", "field value: Annotated takes one range .*'Pos"),
        ("Annotated[float, Range] = 1.0", "field value: Annotated takes one range .*Range'"),
        ("Annotated[float, Positive, Share] = 1.0", "Annotated takes one range .*Range.*Range"),
        ("Annotated[str, Positive] = 'a'", "field value: a range is for int or float, not .*str"),
        ("Annotated[bool, Share] = True", "field value: a range is for int or float"),
        ("Annotated[Literal[1, 2], Share] = 1", "field value: a range is for int or float"),
        ("Annotated[float, NonNegative] = -0.1", "field value: its default -0.1 is less than 0"),
        ("Annotated[float, Share] | None = 1.5", "field value: its default 1.5 is more than 1"),
    ],
)
def test_a_wrong_annotation_is_one_line(
    plugin: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    annotation: str,
    says: str,
) -> None:
    file = plugin(PLUGIN.format(annotation=annotation))
    for use in (lambda: METHODS.load_file(file), lambda: METHODS.get("annotated")):
        with pytest.raises(UserError, match=says) as caught:
            use()
        line = str(caught.value)
        assert line.startswith(f"The method 'annotated' ({file}) declares a field wrongly: ")
        assert "\n" not in line
    assert run_benchmarks.main(["check", "--plugin", str(file)]) == 2
    printed = " ".join(capsys.readouterr().err.split())
    assert re.search(says, printed), printed


def test_an_empty_range_in_a_plug_in_is_one_line(plugin: Callable[..., Path]) -> None:
    file = plugin(PLUGIN.format(annotation="float = 1.0") + "\nWIDE = Range(3, 2)\n")
    with pytest.raises(UserError, match=r"does not import: ValueError: a range from 3 to 2"):
        METHODS.load_file(file)
