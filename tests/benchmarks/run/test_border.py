from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.errors import NotApplicable, UserError
from benchmarks.run.border import (
    LONGEST_TEXT,
    MOST_CURVES,
    MOST_NOTES,
    MOST_POINTS,
    SLICE,
    Measured,
    checked,
    checked_curves,
    checked_notes,
    clean,
    failure,
    from_messages,
    to_messages,
)
from methods.base import Predictor
from results.schema import Cost

COST = Cost(1, 2, 3, 0, 0.5, 0.25, 100.0, None)


def through(measured: Measured, shape: tuple[int, int]) -> Measured:
    """Send a result as the worker does and read it as the recording process does."""
    messages = list(to_messages(measured))
    head = json.loads(json.dumps(messages[0][0]))
    return from_messages(head, iter(bytes(body) for _, body in messages[1:]), shape)


def test_a_result_arrives_as_it_was_sent() -> None:
    logits = torch.randn(7, 3)
    sent = Measured(
        "done", "2026-01-01", notes=("one", "two"), curves={"loss": ((1.0, 0.5), (2.0, 0.25))},
        cost=COST, logits=logits, thresholds=(0.5, None, -1.25),
    )  # fmt: skip
    got = through(sent, (7, 3))
    assert got.logits is not None and torch.equal(got.logits, logits)
    assert dataclasses.replace(got, logits=None) == dataclasses.replace(sent, logits=None)


def test_many_logits_arrive_in_slices() -> None:
    logits = torch.arange(SLICE // 4 + 10.0).view(-1, 1)
    sent = Measured("done", "now", cost=COST, logits=logits)
    assert len(list(to_messages(sent))) == 3
    got = through(sent, tuple(logits.shape))  # type: ignore[arg-type]
    assert got.logits is not None and torch.equal(got.logits, logits)


@pytest.mark.parametrize("status", ["failed", "not_applicable"])
def test_a_failure_arrives_without_logits(status: Any) -> None:
    sent = Measured(status, "now", error="no luck", details="Traceback\n  line\n")
    assert through(sent, (7, 3)) == sent


def head(**changes: Any) -> dict[str, Any]:
    measured = Measured("done", "now", cost=COST, logits=torch.zeros(2, 2))
    (first, _), *_ = to_messages(measured)
    fields = changes.pop("fields", {})
    return first | {"fields": first["fields"] | fields} | changes


@pytest.mark.parametrize(
    "wrong",
    [
        {"fields": {"thresholds": [0.5]}},
        {"fields": {"thresholds": [0.5, "x"]}},
        {"fields": {"thresholds": {"a": 1, "b": 2}}},
        {"shape": [2, 3]},
        {"shape": None},
        {"cost": None},
        {"cost": {"fit_s": 1}},
        {"fields": {"status": "excellent"}},
        {"fields": {"notes": "text"}},
        {"fields": {"notes": [1]}},
        {"fields": {"error": 5}},
        {"fields": {"more": 1}},
        {"fields": {"notes": ["x"] * (MOST_NOTES + 2)}},
        {"fields": {"curves": [1]}},
        {"fields": {"curves": {"loss": [1, 2]}}},
        {"fields": {"curves": {"loss": [[1, "two"]]}}},
        {"fields": {"curves": {"loss": [[1, True]]}}},
        {"fields": {"curves": {"loss": [[1, float("nan")]]}}},
        {"fields": {"curves": {str(n): [] for n in range(MOST_CURVES + 1)}}},
        {"fields": {"curves": {"loss": [[n, 0] for n in range(MOST_POINTS + 1)]}}},
    ],
)
def test_what_is_not_a_result_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        from_messages(head(**wrong), iter([bytes(16)]), (2, 2))


@pytest.mark.parametrize(
    "bodies",
    [
        [bytes(20)],
        [bytes(8), b""],
        [np.full(4, np.nan, np.float32).tobytes()],
        [np.full(4, -np.inf, np.float32).tobytes()],
    ],
)
def test_logits_of_another_size_or_not_finite_are_refused(bodies: list[bytes]) -> None:
    assert from_messages(head(), iter([bytes(16)]), (2, 2)).logits is not None
    with pytest.raises(ValueError, match="logits"):
        from_messages(head(), iter(bodies), (2, 2))


def test_curves_are_sorted_by_epoch_and_their_names_are_cleaned() -> None:
    found = checked_curves({"lo\x1bss": {2: 0.5, 1: np.float32(0.25)}})
    assert found == {"lo\\x1bss": ((1.0, 0.25), (2.0, 0.5))}


def test_texts_are_cleaned() -> None:
    assert clean("two\nlines\tand  more ") == "two lines and more"
    assert clean("a\x1b[31mred\x07 \ud800 \u202e") == "a\\x1b[31mred\\x07 \\ud800 \\u202e"
    assert clean("kept\n\tas it is\r", lines=True) == "kept\n\tas it is\\r"
    assert clean("größer → 数") == "größer → 数"
    long = clean("x" * 30_000_000)
    assert len(long) < LONGEST_TEXT + 50
    assert "30,000,000 characters" in long


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def unusual() -> Iterator[tuple[BaseException, str]]:
    yield ValueError("bad\nluck"), "ValueError: bad luck"
    yield ValueError(), "ValueError"
    yield UserError("Use another value."), "Use another value."
    yield SystemExit(0), "SystemExit: 0"
    yield KeyboardInterrupt(), "KeyboardInterrupt"
    yield GeneratorExit(), "GeneratorExit"
    yield Unreadable(), "Unreadable: its message cannot be read"
    yield ValueError("\ud800\x1b"), "ValueError: \\ud800\\x1b"


@pytest.mark.parametrize(("error", "line"), list(unusual()))
def test_any_exception_is_a_line(error: BaseException, line: str) -> None:
    found = failure(error, "now")
    assert (found.status, found.error) == ("failed", line)
    assert json.dumps(found.details)
    assert found.details


def test_a_method_that_does_not_apply_has_not_failed() -> None:
    found = failure(NotApplicable("wants captions"), "now")
    assert (found.status, found.error, found.details) == ("not_applicable", "wants captions", "")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"trainable_params": 2.5}, TypeError),
        ({"trainable_params": float("nan")}, TypeError),
        ({"trainable_params": True}, TypeError),
        ({"trainable_params": torch.tensor(3)}, TypeError),
        ({"trainable_params": -1}, ValueError),
        ({"trainable_params": 10**400}, ValueError),
        ({"epochs": "3"}, TypeError),
        ({"images_seen": None}, TypeError),
        ({"fitted_together": 0}, ValueError),
        ({"views": "six crops"}, ValueError),
    ],
)
def test_a_cost_must_be_whole_numbers(changes: dict[str, Any], error: type[Exception]) -> None:
    fine = Predictor(lambda batch: batch.inputs, trainable_params=np.int64(5))  # type: ignore[arg-type]
    assert checked(fine) is fine
    with pytest.raises(error):
        checked(dataclasses.replace(fine, **changes))


def test_only_a_predictor_is_a_predictor() -> None:
    with pytest.raises(TypeError, match="not NoneType"):
        checked(None)


@pytest.mark.parametrize("notes", [5, "text", (5,), [b"x"], ["a"] * (MOST_NOTES + 2)])
def test_notes_are_texts(notes: Any) -> None:
    assert checked_notes(["a\nb"]) == ["a b"]
    with pytest.raises((TypeError, ValueError)):
        checked_notes(notes)
