"""Arrays that are stored with a cell: their form, and the reader of their file.

Single-label: `ids` (N,), `labels` (N,), `top5` (N, ≤5) class indices, `top5_prob` (N, ≤5) and
`true_prob` (N,). Multi-label: `ids` (N,), `labels` (N, C), `scores` (N, C) float32, from which
average precision is computed. Both: `logits` (N, C) if the run keeps them. If the data set asks for
a softmax, `scores` are the log-softmax of `logits`, and these are those before the method's
calibration. `right` (N,), whether the likeliest class is right, replaces `top5` where
`results.correctness` keeps no more.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.average_precision import average_precisions
from benchmarks.errors import one_line
from benchmarks.metrics import single_label_outcome
from results.record_file import open_regular
from results.schema import Record

Arrays = dict[str, NDArray[Any]]
LARGEST = 8 * 2**30
"""Bytes of one array once it is unpacked."""
_ROUNDING = 1e-3
"""Room for the rounding of float32 probabilities and of percentages."""


class PredictionsError(ValueError):
    """Predictions that are damaged or not those of their record; the message names no file."""


@dataclass(frozen=True)
class _Form:
    """The form of one array."""

    kinds: str
    """Kinds of NumPy's types: i and u for integers, f for floats, U for texts."""
    shape: str
    """A letter for each axis: N samples, C classes, K at most 5."""
    highest: float | None = None
    """The values are from 0 to this; None for any but NaN."""
    classes: bool = False
    """The values are class indices."""


_PROBABILITY = 1.0 + _ROUNDING
_OF_EVERY_TASK = {"ids": _Form("U", "N"), "logits": _Form("f", "NC")}
_OPTIONAL = {"logits", "right", "top5_prob", "true_prob"}
_FORMS: Mapping[str, Mapping[str, _Form]] = {
    "single": {
        **_OF_EVERY_TASK,
        "labels": _Form("iu", "N", classes=True),
        "right": _Form("b", "N"),
        "top5": _Form("iu", "NK", classes=True),
        "top5_prob": _Form("f", "NK", _PROBABILITY),
        "true_prob": _Form("f", "N", _PROBABILITY),
    },
    "multi": {
        **_OF_EVERY_TASK,
        "labels": _Form("iu", "NC", 1),
        "scores": _Form("f", "NC"),
    },
}


def read(
    file: Path, record: Record, sha256: str | None, only: Collection[str] | None = None
) -> Arrays:
    """The arrays in a file of predictions.

    Args:
        file: an .npz file.
        record: the finished cell that they are of.
        sha256: checksum of the file in the cell's record; None in old records.
        only: names of the arrays to read. Those that the cell's task has must be there.

    Raises:
        PredictionsError: the file is damaged, or belongs to another cell.
        OSError: it is absent or cannot be read.
    """
    with open_regular(file) as stream:
        if sha256 is not None:
            if hashlib.file_digest(stream, "sha256").hexdigest() != sha256:
                raise PredictionsError("it is not the file that was written with the record")
            stream.seek(0)
        arrays = unpacked(stream, only)
    for name in _FORMS[record.task].keys() & set(only or ()) - _OPTIONAL:
        if name not in arrays:
            raise PredictionsError(f"'{name}' is missing")
    check(arrays, record)
    if sha256 is None:
        check_metrics(arrays, record)
    return arrays


def check(arrays: Mapping[str, NDArray[Any]], record: Record) -> None:
    """Refuse arrays of a wrong type, shape or range; arrays of other names are not checked.

    Raises:
        PredictionsError: the array and what is wrong with it.
    """
    classes = len(record.groups.membership) if record.groups is not None else None
    samples: int | None = None
    for name, form in _FORMS[record.task].items():
        if name not in arrays:
            continue
        array = arrays[name]
        if array.dtype.kind not in form.kinds or array.ndim != len(form.shape):
            raise PredictionsError(
                f"'{name}' is {array.dtype} of {array.ndim} dimensions, which is not its form"
            )
        samples = len(array) if samples is None else samples
        most = {"N": (samples, samples), "C": (classes, classes), "K": (0, 5)}
        for axis, size in zip(form.shape, array.shape, strict=True):
            low, high = most[axis]
            if low is not None and high is not None and not low <= size <= high:
                raise PredictionsError(f"'{name}' has the shape {array.shape}, not {form.shape}")
        highest = form.highest
        if form.classes and classes is not None:
            highest = classes - 1
        if array.dtype.kind != "U" and array.size and not _inside(array, highest):
            raise PredictionsError(f"'{name}' has values out of range")
    if "top5_prob" in arrays and (arrays["top5_prob"].sum(-1) > _PROBABILITY).any():
        raise PredictionsError("'top5_prob' has probabilities that sum to more than 1")


def _inside(array: NDArray[Any], highest: float | None) -> bool:
    low, high = array.min(), array.max()  # NaN if there is one
    if highest is None:
        return not np.isnan(high)
    return bool(low >= 0 and high <= highest)


def unpacked(stream: BufferedReader, only: Collection[str] | None) -> Arrays:
    """The arrays of an .npz archive; Python objects in it are refused, not made.

    Raises:
        PredictionsError: it is damaged, or an array is too large.
    """
    try:
        with warnings.catch_warnings(), np.load(stream, allow_pickle=False) as data:
            warnings.simplefilter("error", UserWarning)  # about headers that Python 2 wrote
            names = [name for name in data.files if only is None or name in only]
            for name in names:
                if data.zip.getinfo(f"{name}.npy").file_size > LARGEST:
                    raise PredictionsError(f"'{name}' has more than {LARGEST:,} bytes")
            return {name: data[name] for name in names}
    except PredictionsError:
        raise
    # Damage shows as an error of the archive, of its compression, or of NumPy's parsers of headers,
    # which tokenize and evaluate Python: no list of them is complete.
    except Exception as error:
        raise PredictionsError(one_line(error)) from error


def check_metrics(arrays: Arrays, record: Record) -> None:
    """Refuse predictions that give other values by class than those of the record.

    Raises:
        PredictionsError: they do.
    """
    if record.metrics is None or record.groups is None:
        return
    labels = arrays.get("labels")
    if labels is None:
        return
    if record.task == "multi" and "scores" in arrays:
        values = 100.0 * average_precisions(arrays["scores"], labels)
    elif record.task == "single" and ("right" in arrays or "top5" in arrays):
        right = arrays["right"] if "right" in arrays else arrays["top5"][:, 0] == labels
        values = single_label_outcome(right, labels, np.array(record.groups.membership)).values
    else:
        return
    said = np.array(record.metrics.per_class, dtype=float)  # None becomes NaN
    if not np.allclose(values, said, rtol=0, atol=_ROUNDING, equal_nan=True):
        raise PredictionsError("they give other values by class than the record has")
