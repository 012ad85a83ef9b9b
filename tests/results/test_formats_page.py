"""docs/formats.md says of every field of a record, and of every array, what it is."""

from __future__ import annotations

import types
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from results import correctness, predictions
from results.correctness import CorrectnessBits, bits_of
from results.schema import SCHEMA_VERSION, Record
from tests.formats_page import lines_of
from tests.results.factory import make_record

WORDS = {str: "text", int: "integer", float: "number", bool: "true or false"}


def written(cls: Any, before: str = "") -> dict[str, str]:
    """Each field of a dataclass, with its parts in their places, and its type in words."""
    found = {}
    hints = typing.get_type_hints(cls)
    for field in fields(cls):
        hint = hints[field.name]
        inner = [part for part in typing.get_args(hint) if is_dataclass(part)]
        if inner:
            found |= written(inner[0], f"{before}{field.name}.")
        else:
            found[f"{before}{field.name}"] = in_words(hint)
    return found


def in_words(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return f"{', '.join(args[:-1])} or {args[-1]}"
    if origin in (typing.Union, types.UnionType):
        (one,) = (part for part in args if part is not types.NoneType)
        return f"{in_words(one)} or null"
    if origin is tuple:
        kind, _, absent = in_words(args[0]).partition(" ")
        return f"list of {kind}s {absent}".rstrip()
    if origin is dict:
        return "mapping" if args[1] is Any else f"mapping of {in_words(args[1])}s"
    return WORDS[hint]


def test_every_field_of_a_record_is_on_the_page_with_its_type() -> None:
    page = {line["field"]: line["type"] for line in lines_of("Records")}
    assert page == written(Record)
    assert list(page) == list(written(Record))


def test_every_field_of_a_record_has_a_meaning_and_every_number_a_unit() -> None:
    no_unit = {"seed", "split_seed", "schema_version", "nearest"}
    for line in lines_of("Records"):
        assert line["meaning"], line
        counts = line["type"].startswith(
            ("integer", "number", "list of integers", "list of numbers")
        )
        assert bool(line["unit"]) == (counts and line["field"] not in no_unit), line
    (version,) = (line for line in lines_of("Records") if line["field"] == "schema_version")
    assert version["meaning"] == str(SCHEMA_VERSION)


KINDS = {"i": "integer", "iu": "integer", "u": "integer", "f": "float", "U": "text", "b": "bool"}


def test_every_array_of_predictions_is_on_the_page() -> None:
    page = {(line["array"], line["data"]): line for line in lines_of("Predictions")}
    found = {}
    for task, forms in predictions._FORMS.items():
        for name, form in forms.items():
            everywhere = name in predictions._OF_EVERY_TASK
            data = "all" if everywhere else f"{task}-label"
            found[name, data] = (f"({', '.join(form.shape)}{',' * (len(form.shape) == 1)})",
                                 KINDS[form.kinds])  # fmt: skip
    del found["right", "single-label"]  # made from correct.npz, never written with a cell
    assert {where: (line["shape"], line["type"]) for where, line in page.items()} == found
    assert all(line["contents"] for line in page.values())


def test_every_array_of_correct_npz_is_on_the_page(tmp_path: Path) -> None:
    labels, scores = np.eye(6, dtype=int)[[0, 1, 2, 3, 4, 5, 0]], np.eye(6)[[0, 1, 2, 3, 4, 5, 1]]
    ids = np.array([f"{n}.jpg" for n in range(7)])
    known: dict[str, tuple[str, str]] = {}
    for task, arrays in {
        "single": {"labels": labels.argmax(1), "top5": scores.argmax(1)[:, None]},
        "multi": {"labels": labels, "scores": scores.astype(np.float32)},
    }.items():
        record = make_record(task=task, metrics=None)  # whose values are not held against the bits
        correctness.write(tmp_path / task, {record.key: bits_of(record, {"ids": ids, **arrays})})
        assert CorrectnessBits(tmp_path / task).has(record.key)
        with np.load(tmp_path / task) as data:
            sizes = {1: "R", 7: "N", 6: "C", 32: "32"}
            for name in data.files:
                shape = [sizes[n] for n in data[name].shape]
                if name == "right_0":
                    shape = ["R", "N / 8"]
                text = f"({', '.join(shape)}{',' * (len(shape) == 1)})"
                before = known.get(name, (text, ""))[0]
                known[name] = (
                    text if before == text else f"{before} or {text}", KINDS[data[name].dtype.kind]
                )  # fmt: skip
    page = {line["array"]: (line["shape"], line["type"]) for line in lines_of("correct.npz")}
    assert page == known
