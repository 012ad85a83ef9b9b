"""Compact JSON: values that many records share once, and arrays as base64."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.visible import visible


class Pool:
    """Values by index, each once: a thousand records have a few configurations."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._index: dict[str, int] = {}

    def add(self, value: Any) -> int:
        """The index of a value of JSON types."""
        text = json.dumps(value, sort_keys=True)
        if text not in self._index:
            self._index[text] = len(self.values)
            self.values.append(value)
        return self._index[text]


def packed(array: NDArray[Any]) -> str:
    """The bytes of an array in base64, low bytes first; the reader knows the type."""
    little = array.astype(array.dtype.newbyteorder("<"))
    return base64.b64encode(np.ascontiguousarray(little).tobytes()).decode("ascii")


def bits(array: NDArray[np.bool_]) -> str:
    """One bit for each value, the first is the lowest of the first byte, in base64."""
    return packed(np.packbits(array, bitorder="little"))


def script_json(data: Any) -> str:
    """JSON that neither ends the `script` element around it nor changes the direction of text.

    Control characters in texts become visible escapes.
    """
    text = json.dumps(_visible(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Behind `<`, a browser may see the end of the script or the beginning of a comment.
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible(key): _visible(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_visible(item) for item in value]
    return value
