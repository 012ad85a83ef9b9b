"""Labels and captions of a user's own images as tables, shards and Arrow files hold them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.datasets.files import characters
from benchmarks.datasets.files.characters import shown
from benchmarks.datasets.own.spec import Spec
from benchmarks.datasets.own.words import nfc

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
}
"""Name of a split in others' data -> split."""


def plain(value: Any) -> str:
    """A value as text; a missing one is blank."""
    return "" if value is None else str(value).strip()


def labels_of(value: Any, spec: Spec) -> tuple[tuple[str, ...], str]:
    """The labels in a value, and an error or an empty text.

    With `task: multi` the value is a list, or a text with separators.
    """
    if spec.task == "multi":
        parts = value if _is_list(value) else _split(plain(value), spec.separator)
        kept = dict.fromkeys(nfc(plain(part)) for part in parts)
        return tuple(label for label in kept if label), ""
    if _is_list(value):
        return (), "there is a list of labels, which needs `task: multi`"
    label = nfc(plain(value))
    return ((label,), "") if label else ((), "there is no label")


def unfit(labels: Iterable[str], caption: str) -> str:
    """An error in the words of an image, or an empty text."""
    for label in labels:
        if wrong := characters.trouble(label):
            return f"the label '{shown(label)}' {wrong}"
    wrong = characters.trouble(caption, characters.TEXT, lines=True)
    return f"the caption '{shown(caption)}' {wrong}" if wrong else ""


def _split(text: str, separator: str) -> list[str]:
    for character in separator[1:]:
        text = text.replace(character, separator[0])
    return text.split(separator[0])


def _is_list(value: Any) -> bool:
    return not isinstance(value, str) and hasattr(value, "__len__")
