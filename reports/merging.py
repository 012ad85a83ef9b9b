"""Texts of several runs that differ in numbers alone, as one text with ranges of numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"(?<![\w./-])[-+−]?\d+(?:[.,]\d+)*(?![\w/]|[.,]\d)")
"""A number that is no part of a name or a version."""


def merged(runs: Sequence[Sequence[str]]) -> list[list[str]]:
    """The texts of each run, where equal ones stay and similar ones become one text.

    "4% of the terms" in one run and "11% of the terms" in another are "4 to 11% of the terms" in
    both. A run that has several such texts counts something else with each: they stay.

    Args:
        runs: the texts of each run.
    """
    similar: dict[Form, list[set[str]]] = {}
    for place, texts in enumerate(runs):
        for text in texts:
            by_run = similar.setdefault(_form(text), [set() for _ in runs])
            by_run[place].add(text)
    ranges = {}
    for form, by_run in similar.items():
        if all(len(own) < 2 for own in by_run):
            ranges[form] = _with_ranges(form, [text for own in by_run for text in own])
    return [[ranges.get(_form(text)) or text for text in texts] for texts in runs]


Form = tuple[str, ...]
"""The parts of a text before, between and behind its numbers."""


def _form(text: str) -> Form:
    return tuple(_NUMBER.split(text))


def _with_ranges(form: Form, texts: Sequence[str]) -> str:
    """The form that all texts share with the range of each number; "" if one has no value."""
    numbers = zip(*(_NUMBER.findall(text) for text in texts), strict=True)
    try:
        found = [_range(values) for values in numbers]
    except ValueError:
        return ""
    return "".join(part for pair in zip(form, [*found, ""], strict=True) for part in pair)


def _range(values: Sequence[str]) -> str:
    ordered = sorted(set(values), key=lambda text: float(text.replace(",", "").replace("−", "-")))
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"
