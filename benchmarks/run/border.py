"""Messages between the process that fits a cell and the one that records it.

The fitting process runs code that nobody has read. Everything that it sends is JSON and raw float32
numbers; types, sizes and texts are checked here before a record is made of them.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.errors import NotApplicable, UserError
from methods.base import Predictor
from results.schema import Cost, Status

LONGEST_TEXT = 2000
"""Characters of a note or of an error that a record keeps."""
LONGEST_DETAILS = 60_000
"""Characters of a traceback that a log keeps."""
MOST_NOTES = 50
"""Notes of a cell that a record keeps."""
MOST_CURVES = 50
"""Curves of a cell that a record keeps."""
MOST_POINTS = 10_000
"""Points of one of them."""
Curves = dict[str, tuple[tuple[float, float], ...]]
"""Numbers by epoch: pairs of an epoch and a value, by the name of the curve."""
SLICE = 8 * 2**20
"""Bytes of logits in a message."""


@dataclass(frozen=True)
class Facts:
    """Facts about a loaded bench that records hold."""

    weights_id: str
    preprocess_hash: str
    hardware: str
    split_hash: str
    """Hash of the data set as the fitting process read it."""
    deterministic_algorithms: bool
    nearest: tuple[int, ...] = ()
    """(C,) class of the nearest name, see `nearest`."""


@dataclass(frozen=True)
class Measured:
    """Result of a cell before it is scored."""

    status: Status
    started: str
    """Time in UTC, in the format of records."""
    error: str = ""
    """One line; empty if the status is done."""
    details: str = ""
    """Traceback of a failed cell."""
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    curves: Curves = field(default_factory=dict)
    cost: Cost | None = None
    logits: Tensor | None = None
    """(N, C) float32 logits of the test images, on the CPU."""
    thresholds: tuple[float | None, ...] = ()
    """C logits from which on an image has the class, chosen on validation images; None for a class
    that is never predicted. Empty without validation images and for single-label data."""


@dataclass(frozen=True)
class Verdict:
    """Result of a batch as a whole."""

    changed: tuple[str, ...] = ()
    """Shared arrays that a method of the batch changed in place; its numbers are worthless."""
    restored: tuple[str, ...] = ()
    """Settings of the process that a method changed, and that were put back."""


def failure(error: BaseException, started: str) -> Measured:
    """Return the result of a cell whose method raised."""
    if isinstance(error, NotApplicable):
        return Measured("not_applicable", started, clean(_text(error)))
    line = _text(error)
    if not isinstance(error, UserError):  # a UserError's line needs no type
        line = f"{type(error).__name__}: {line}" if line else type(error).__name__
    return Measured("failed", started, clean(line), _details(error))


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:
        return "its message cannot be read"


def _details(error: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(error))
    except BaseException as second:
        text = f"{type(error).__name__}, whose traceback raises {type(second).__name__}\n"
    return clean(text, LONGEST_DETAILS, lines=True)


def clean(text: str, limit: int = LONGEST_TEXT, *, lines: bool = False) -> str:
    """Return a text that is safe to store and to print: no control characters, and not endless.

    Args:
        text: any text, also with halves of surrogate pairs.
        limit: characters to keep, from the beginning and the end.
        lines: keep line breaks; otherwise all whitespace becomes single spaces.
    """
    length = len(text)
    if length > limit:
        text = f"{text[: limit // 2]} … {text[-limit // 2 :]}"
    if not lines:
        text = " ".join(text.split())
    kept = "\n\t" if lines else ""
    text = "".join(c if c.isprintable() or c in kept else _escaped(c) for c in text)
    return text if length <= limit else f"{text} ({length:,} characters, shortened)"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def checked_notes(notes: Any) -> list[str]:
    """Return notes as records hold them.

    Raises:
        TypeError: they are not texts.
    """
    if isinstance(notes, str) or not isinstance(notes, Iterable):
        raise TypeError(f"notes must be a sequence of texts, not {type(notes).__name__}")
    found: list[str] = []
    for note in notes:
        if len(found) > MOST_NOTES:
            raise ValueError(f"more than {MOST_NOTES} notes")
        if not isinstance(note, str):
            raise TypeError(f"a note must be a text, not {type(note).__name__}")
        found.append(clean(note))
    return found


def checked_curves(curves: Any) -> Curves:
    """Return the curves of a task (or those of a message) as records hold them, by epoch.

    Raises:
        TypeError: they are not numbers by the name of a curve and by epoch.
        ValueError: a number is not finite, or there are too many.
    """
    found: Curves = {}
    for name, points in dict(curves).items():
        if not isinstance(name, str):
            raise TypeError(f"a curve has a name, not {clean(repr(name), 100)}")
        pairs = [*(points.items() if isinstance(points, dict) else points)]
        if len(found) == MOST_CURVES or len(pairs) > MOST_POINTS:
            raise ValueError(f"more than {MOST_CURVES} curves, or {MOST_POINTS} points of one")
        numbers_ = [(_number(at, name), _number(value, name)) for at, value in pairs]
        found[clean(name, 200)] = tuple(sorted(numbers_))
    return found


def checked_thresholds(thresholds: Any, classes: int) -> tuple[float | None, ...]:
    """Return the thresholds of a message.

    Raises:
        ValueError: they are neither absent nor one finite number, or None, for each class.
    """
    if not isinstance(thresholds, list | tuple) or len(thresholds) not in (0, classes):
        raise ValueError(f"thresholds {thresholds!r:.100}")
    return tuple(None if value is None else _number(value, "threshold") for value in thresholds)


def _number(value: Any, curve: str) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"curve {clean(curve, 100)}: {clean(repr(value), 100)} is not a number")
    if not math.isfinite(value):
        raise ValueError(f"curve {clean(curve, 100)} has a value that is not finite")
    return float(value)


def checked(predictor: Any) -> Predictor:
    """Return what a fit returned if it is a predictor with a sensible cost.

    Raises:
        TypeError: it is not, or a number is not a whole number.
        ValueError: a number is negative or absurd, or the views are unknown.
    """
    if not isinstance(predictor, Predictor):
        raise TypeError(f"every fit must return a Predictor, not {type(predictor).__name__}")
    for name, least in (
        ("trainable_params", 0), ("epochs", 0), ("images_seen", 0), ("fitted_together", 1)
    ):  # fmt: skip
        value = getattr(predictor, name)
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise TypeError(f"{name} must be a whole number, not {clean(repr(value), 100)}")
        if not least <= int(value) < 2**53:
            raise ValueError(f"{name} is {clean(repr(value), 100)}")
    if predictor.views not in ("whole", "five crops"):
        raise ValueError(f"views must be 'whole' or 'five crops', not {predictor.views!r:.100}")
    return predictor


# ---- as messages -----------------------------------------------------------------------------


def to_messages(measured: Measured) -> Iterator[tuple[dict[str, Any], memoryview | bytes]]:
    """Yield a result as messages of JSON and bytes: its fields, then its logits in slices."""
    fields = {f.name: getattr(measured, f.name) for f in dataclasses.fields(measured)}
    logits: Tensor | None = fields.pop("logits")
    cost: Cost | None = fields.pop("cost")
    head = {
        "kind": "measured",
        "fields": fields | {n: list(fields[n]) for n in ("notes", "remarks")},
        "cost": None if cost is None else dataclasses.asdict(cost),
        "shape": None if logits is None else list(logits.shape),
    }
    yield head, b""
    if logits is not None and logits.numel():
        flat = _bytes(logits.contiguous())
        for start in range(0, len(flat), SLICE):
            yield {"kind": "logits"}, flat[start : start + SLICE]


def from_messages(
    head: Mapping[str, Any], bodies: Iterator[bytes], shape: tuple[int, int]
) -> Measured:
    """Read what `to_messages` yields.

    Args:
        head: JSON of the first message.
        bodies: the further ones.
        shape: (N, C) that logits must have.

    Raises:
        ValueError: it is not what `to_messages` yields, or the logits are not finite.
    """
    try:
        given = dict(head["fields"])
        status = given.pop("status")
        if status not in ("done", "failed", "not_applicable"):
            raise ValueError(f"status {status!r:.100}")
        details = clean(given.pop("details"), LONGEST_DETAILS + 200, lines=True)
        notes, remarks = (tuple(checked_notes(given.pop(name))) for name in ("notes", "remarks"))
        curves = checked_curves(given.pop("curves"))
        thresholds = checked_thresholds(given.pop("thresholds"), shape[1])
        measured = Measured(
            status, clean(given.pop("started"), 40), clean(given.pop("error")), details,
            notes, remarks, curves, thresholds=thresholds,
        )  # fmt: skip
        if given:
            raise ValueError(f"unknown fields {list(given)!r:.100}")
        if status != "done":
            return measured
        if head["shape"] != list(shape):
            raise ValueError(f"logits of shape {head['shape']!r:.100}, expected {shape}")
        cost = Cost(**head["cost"])
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    logits = torch.empty(shape)
    flat = _bytes(logits)
    position = 0
    while position < len(flat):
        body = next(bodies)
        if not body or position + len(body) > len(flat):
            raise ValueError("logits of another size")
        flat[position : position + len(body)] = body
        position += len(body)
    if logits.numel() and not all(math.isfinite(end) for end in torch.aminmax(logits)):
        raise ValueError("logits hold NaN or infinite values")
    return dataclasses.replace(measured, cost=cost, logits=logits)


def _bytes(logits: Tensor) -> memoryview:
    """Return the bytes of a contiguous tensor, without a copy."""
    return logits.flatten().numpy().data.cast("B") if logits.numel() else memoryview(b"")
