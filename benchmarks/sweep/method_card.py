"""The card of a method: what is declared of it, without importing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.plugins.fields import Fields
from benchmarks.plugins.static_reader import read_docs
from methods.registry import METHODS, info_of


@dataclass(frozen=True)
class MethodCard:
    """Facts on a method, and its fields."""

    summary: str
    facts: Mapping[str, str]
    """By name, none of them empty."""
    fields: Fields
    docs: Mapping[str, str]
    """Documentation of the fields that have some."""


def method_card(name: str) -> MethodCard:
    """The card of the method `name`.

    Raises:
        UserError: no such method.
    """
    info, entry = info_of(name), METHODS.entry(name)
    space = METHODS.attribute(name, "space")
    facts = {
        "paper": info.paper,
        "needs": info.needs,
        "tasks": ", ".join(info.tasks),
        "random": "no: one run serves for every seed" if info.deterministic else "yes",
        "reconstruction": _by_kind({task: info.reconstruction_on(task) for task in info.tasks}),
        "tunable": ", ".join(f"{field} {reach}" for field, reach in space.items()),
        "exempt": "; ".join(f"{check} ({why})" for check, why in info.exempt.items()),
    }
    return MethodCard(
        summary=entry.summary,
        facts={fact: text for fact, text in facts.items() if text},
        fields=METHODS.fields(name),
        docs=read_docs(entry.file, entry.class_name),
    )


def _by_kind(texts: Mapping[str, str]) -> str:
    """Texts by kind of data in one line; the kinds are named if the texts differ."""
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{kind}-label: {text}" for kind, text in texts.items() if text)
