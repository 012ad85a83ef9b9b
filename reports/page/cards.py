"""Cards of methods and class texts, as far as today's code knows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.datasets.class_texts import class_texts
from benchmarks.errors import UserError
from benchmarks.plugins.fields import MISSING
from benchmarks.sweep.method_card import method_card
from methods.registry import METHODS
from results.schema import Record


def method_cards(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The card of each method that is registered: its summary, facts and fields."""
    known = METHODS.entries()
    return {name: _card(name) for name in sorted(set(names)) if name in known}


def _card(name: str) -> dict[str, Any]:
    card = method_card(name)
    fields = [
        [f, "required" if field.default is MISSING else str(field.default), card.docs.get(f, "")]
        for f, field in card.fields.items()
    ]
    return {"summary": card.summary, "facts": dict(card.facts), "fields": fields}


def descriptions(record: Record) -> tuple[str, ...]:
    """(C,) descriptions of a record's classes, empty if they are not known.

    A record holds the hash of the texts, not the descriptions. They are those of today's code, if
    their hash is that of the record.
    """
    try:
        texts = class_texts(record.dataset, record.dataset_config)
    except (UserError, OSError):  # a data set or a file of descriptions that is not here
        return ()
    if texts is None or texts.descriptions is None or record.provenance is None:
        return ()
    return texts.descriptions if texts.digest == record.provenance.text_hash else ()
