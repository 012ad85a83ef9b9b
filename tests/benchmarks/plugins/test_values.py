"""Values of fields: strings become the annotated type, and what does not fit ends in one line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from benchmarks.errors import UserError
from benchmarks.plugins.values import apply_fields, choices, coerce


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("3", int, 3),
        ("1e3", int, 1000),
        (3.0, int, 3),
        ("0.1", float, 0.1),
        (2, float, 2.0),
        ("1e-3", float, 0.001),  # YAML 1.1 reads this as text
        ("true", bool, True),
        ("False", bool, False),
        (True, bool, True),
        ("text", str, "text"),
        ("none", int | None, None),
        (None, float | None, None),
        ("7", int | None, 7),
        ("a", Literal["a", "b"], "a"),
    ],
)
def test_values_become_the_annotated_type(value: Any, hint: Any, expected: Any) -> None:
    result = coerce(value, hint, "x")
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "hint", "says"),
    [
        ("1.5", int, "whole number"),
        ("many", int, "whole number"),
        (True, int, "whole number"),
        ("nan", int, "whole number"),
        ("inf", int, "whole number"),
        ("fast", float, "a number"),
        (False, float, "a number"),
        # No record can hold these: JSON has no NaN.
        ("nan", float, "a number"),
        ("inf", float, "a number"),
        (float("-inf"), float, "a number"),
        ([1], float, "a number"),
        ("yes", bool, "true or false"),
        (1, bool, "true or false"),
        (3, str, "text"),
        (["a"], str, "text"),
        ("c", Literal["a", "b"], "a, b"),
        (["a"], Literal["a", "b"], "a, b"),
        ("many", int | None, "whole number"),
    ],
)
def test_values_of_the_wrong_type_are_refused(value: Any, hint: Any, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        coerce(value, hint, "method m, field f")
    assert "method m, field f" in str(caught.value)


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (Literal["a", "b"], ["a", "b"]),
        (Literal[8, 16] | None, ["8", "16", "none"]),
        (int | None, []),
        (str, []),
        (tuple[str, ...], []),
    ],
)
def test_the_choices_that_an_annotation_leaves(hint: Any, expected: list[str]) -> None:
    assert choices(hint) == expected


@dataclass(frozen=True)
class Example:
    lr: float = 0.1
    epochs: int = 10
    mode: Literal["a", "b"] = "a"
    tags: tuple[str, ...] = field(default_factory=lambda: ("x",))


def test_fields_go_over_the_defaults() -> None:
    assert apply_fields("method m", Example, {"lr": "1", "mode": "b"}) == {
        "lr": 1.0,
        "epochs": 10,
        "mode": "b",
        "tags": ("x",),
    }


def test_an_unknown_field_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"field of method m 'epoch'.*epochs"):
        apply_fields("method m", Example, {"epoch": 1})


def test_a_field_without_default_has_to_be_set() -> None:
    @dataclass(frozen=True)
    class Needy:
        lr: float

    with pytest.raises(UserError, match="lr has no default"):
        apply_fields("method m", Needy, {})
    assert apply_fields("method m", Needy, {"lr": "2"}) == {"lr": 2.0}
