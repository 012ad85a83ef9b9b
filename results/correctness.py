"""The file of correctness bits: what paired intervals need of many runs, small enough to commit.

Predictions are too large for version control (400 kB a run on 5,000 images). A paired comparison
needs little of them: for single-label data one bit an image, whether the likeliest class is right;
for multi-label data the order of the images within each class, as far as average precision depends
on it. `correct.npz` beside `records/` has these for every run of the folder, and sample ids and
labels once for each set of test images. An interval computed from it is that computed from the
predictions, but for the rounding of float64 sums of average precisions.

Of a class's order average precision sees only which positives and how many negatives come before
each positive, so neighbouring negatives share a place. That leaves at most 2 P + 1 places for P
positives, mostly one byte an image and class, which packs to a tenth of the scores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.safe_files import replacing
from results.predictions import Arrays, PredictionsError, check, check_metrics, unpacked
from results.record_file import open_regular
from results.schema import Record

FILE = "correct.npz"
"""Name of the file, in the folder that holds `records/`."""
NEEDED = frozenset({"ids", "labels", "top5", "scores"})
"""Predictions that the bits are made from, if present."""
_SUM = "sha256"


def bits_of(record: Record, predictions: Mapping[str, NDArray[Any]]) -> Arrays:
    """The arrays that comparisons need of a run, in the order of its sample ids.

    Args:
        record: the finished cell.
        predictions: its arrays `ids`, `labels` and `top5` or, for multi-label data, `scores`.

    Returns:
        `ids` (N,) and `labels`; for single-label data `right` (N,), for multi-label data `scores`
        (N, C) float32, minus the place of each image within the class.

    Raises:
        PredictionsError: they give other values by class than the record has.
    """
    order = np.argsort(predictions["ids"], kind="stable")
    labels = predictions["labels"][order].astype(np.int64)
    found = {"ids": predictions["ids"][order], "labels": labels}
    if record.task == "multi":
        found["scores"] = _as_scores(_places(predictions["scores"][order], labels))
    else:
        found["right"] = predictions["top5"][order, 0] == labels
    check_metrics(found, record)
    return found


def write(file: Path, runs: Mapping[str, Arrays]) -> None:
    """Write the bits of runs; the same runs give the same bytes.

    Args:
        file: replaced if it exists.
        runs: key of each cell with its arrays from `bits_of`.

    Raises:
        OSError: the disk is full or the folder cannot be written to.
    """
    sets: dict[str, dict[str, Arrays]] = {}
    for key, run in sorted(runs.items()):
        sets.setdefault(_sum_of({n: run[n] for n in ("ids", "labels")}), {})[key] = run
    arrays: Arrays = {}
    for number, members in enumerate(sets.values()):
        first = next(iter(members.values()))
        most = int(first["labels"].max(initial=0))
        own: Arrays = {
            "keys": np.array(list(members)),
            "ids": first["ids"],
            "labels": first["labels"].astype(np.min_scalar_type(most)),
        }
        if "right" in first:
            own["right"] = np.stack([np.packbits(run["right"]) for run in members.values()])
        else:
            places = np.stack([-run["scores"].T for run in members.values()])
            own["places"] = places.astype(np.min_scalar_type(int(places.max(initial=0))))
        arrays |= {f"{name}_{number}": array for name, array in own.items()}
    checksum = np.frombuffer(bytes.fromhex(_sum_of(arrays)), dtype=np.uint8)
    with replacing(file) as stream:
        np.savez_compressed(stream, **arrays, **{_SUM: checksum})  # type: ignore[arg-type]


class CorrectnessBits:
    """The content of a file of bits.

    Args:
        file: a file that `write` wrote.

    Raises:
        PredictionsError: the file is damaged.
        OSError: it is absent or cannot be read.
    """

    def __init__(self, file: Path) -> None:
        with open_regular(file) as stream:
            self._arrays = unpacked(stream, None)
        checksum = self._arrays.pop(_SUM, np.zeros(0, np.uint8))
        if checksum.tobytes().hex() != _sum_of(self._arrays):
            raise PredictionsError("the checksum is not that of its content")
        self._place: dict[str, tuple[int, int]] = {}
        for number in range(sum(name.startswith("keys_") for name in self._arrays)):
            self._check_set(number)
            keys = self._arrays[f"keys_{number}"].tolist()
            self._place |= {key: (number, row) for row, key in enumerate(keys)}

    def _check_set(self, number: int) -> None:
        """Refuse arrays of one set of images that do not fit each other."""
        try:
            keys, ids, labels = (self._arrays[f"{n}_{number}"] for n in ("keys", "ids", "labels"))
            name = "right" if labels.ndim == 1 else "places"
            runs = self._arrays[f"{name}_{number}"]
        except KeyError as error:
            raise PredictionsError(f"{error} is missing") from None
        packed = (len(keys), -(-len(ids) // 8))
        wanted = packed if name == "right" else (len(keys), *labels.T.shape)
        unsigned = runs.dtype.kind == "u" and (name == "places" or runs.dtype == np.uint8)
        if keys.dtype.kind != "U" or keys.ndim != 1 or not unsigned or runs.shape != wanted:
            raise PredictionsError(f"'{name}_{number}' has the shape {runs.shape}, not {wanted}")

    def has(self, key: str) -> bool:
        """True if the file has the bits of a cell."""
        return key in self._place

    def get(self, record: Record) -> Arrays:
        """The arrays of a run that the file has, as `bits_of` returns them.

        Raises:
            PredictionsError: they are not of the record's task and classes, or give other values
                by class than it has.
        """
        number, row = self._place[record.key]
        ids, labels = (self._arrays[f"{name}_{number}"] for name in ("ids", "labels"))
        found: Arrays = {"ids": ids, "labels": labels.astype(np.int64)}
        packed = self._arrays.get(f"right_{number}")
        if packed is not None:
            found["right"] = np.unpackbits(packed[row], count=len(ids)).astype(bool)
        else:
            found["scores"] = _as_scores(self._arrays[f"places_{number}"][row].T)
        check(found, record)
        check_metrics(found, record)
        return found


def _places(scores: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int64]:
    """(N, C) place of each image within each class, from 0, the highest score.

    Images of equal score share a place. So do negatives with no positive between them.
    """
    places = np.zeros(scores.shape, dtype=np.int64)
    for c in range(scores.shape[1]):
        distinct, block = np.unique(-scores[:, c], return_inverse=True)
        negative = np.ones(len(distinct), dtype=bool)
        negative[block[labels[:, c] > 0]] = False
        joined = np.append(False, negative[1:] & negative[:-1])
        places[:, c] = (np.cumsum(~joined) - 1)[block]
    return places


def _as_scores(places: NDArray[Any]) -> NDArray[np.float32]:
    return -places.astype(np.float32)  # exact below 2 ** 24


def _sum_of(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
