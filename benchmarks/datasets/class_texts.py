"""Texts of a data set's classes without its images, for reports of records."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from benchmarks.datasets import registry as datasets
from benchmarks.datasets.base import Family, Texts
from benchmarks.datasets.files.glyph_world import GlyphWorld
from benchmarks.datasets.files.texts import WithTexts
from benchmarks.errors import UserError


def configured(name: str, knobs: Mapping[str, Any]) -> Family | None:
    """The family of a data set as a record names it, with its knobs.

    Args:
        name: name of the data set in the record, with its knobs in brackets.
        knobs: the knobs in the record.

    Returns:
        None if the data set is not one of the suite.

    Raises:
        UserError: the knobs are not those of today's data set.
    """
    plain = name.partition(" (")[0]
    if datasets.is_own(plain) or datasets.without_ratio(plain) not in datasets.DATASETS.entries():
        return None
    family, fields = datasets.resolve(plain)
    known = {field.name for field in dataclasses.fields(family)}  # type: ignore[arg-type]
    given = {field: value for field, value in knobs.items() if field in known}
    try:
        return family(**{**fields, **given})
    except (TypeError, ValueError) as error:
        raise UserError(f"{name}: {error}") from error


def class_texts(name: str, knobs: Mapping[str, Any]) -> Texts | None:
    """The texts of a data set as a record names it.

    Args:
        name: name of the data set in the record, with its knobs in brackets.
        knobs: the knobs in the record.

    Returns:
        None if the data set is not one of the suite, or its class names come with its images.

    Raises:
        UserError: the knobs are not those of today's data set, or a file of descriptions is not
            here.
    """
    found = configured(name, knobs)
    if isinstance(found, GlyphWorld | WithTexts):
        return found.class_texts()
    return None
