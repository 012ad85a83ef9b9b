"""Predictions of a saved model for a user's images: tables and answers with the user's names."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from benchmarks.cli.parts.progress import ProgressDisplay
from benchmarks.cli.parts.saved_models import backbone_of
from benchmarks.datasets.base import Split
from benchmarks.datasets.checking import damaged
from benchmarks.datasets.files.image_files import SUFFIXES, FileImages
from benchmarks.datasets.files.links import Links
from benchmarks.datasets.own.tree import files_under, is_image
from benchmarks.errors import DataError, UserError
from benchmarks.inputs.features import user_store
from benchmarks.inputs.samples import SplitSamples
from benchmarks.run.logits import logits_of_all
from benchmarks.run.model_files import About, SavedModel
from benchmarks.visible import visible
from reports.csv_text import cell

EVEN = 0.5
"""Probability from which on an image has a class, where no validation images chose thresholds."""


@dataclass(frozen=True)
class Found:
    """Predictions of a model for N images."""

    about: About
    files: tuple[str, ...]
    logits: Tensor
    """(N, C)."""
    left_out: tuple[str, ...]
    """A line on each image that cannot be read."""

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """(N, C): softmax over the classes, or for multi-label data sigmoids."""
        logits = self.logits.double()
        found = logits.sigmoid() if self.about.task == "multi" else logits.softmax(-1)
        return np.asarray(found.numpy())

    @cached_property
    def thresholds(self) -> NDArray[np.float64]:
        """(C,) multi-label: logits from which on an image has the class; infinite for never."""
        chosen = self.about.thresholds or [0.0] * len(self.about.class_names)
        return np.array([np.inf if value is None else value for value in chosen])

    @cached_property
    def decisions(self) -> NDArray[np.bool_]:
        """(N, C) multi-label: True for the classes that an image has."""
        return np.asarray(self.logits.double().numpy() >= self.thresholds)


def predicted(
    model: SavedModel, images: Images, options: argparse.Namespace, console: Console
) -> Found:
    """Predict the classes of images.

    Args:
        model: the model.
        images: the images.
        options: `backbone`, `device` and `offline` of the command line.
        console: where to print the progress.

    Raises:
        UserError: the weights are not here or are others, or no image can be read.
    """
    about = model.about
    with (display := ProgressDisplay(console, 1, 0)):
        display.preparing(f"loading backbone {about.backbone}")
        backbone = backbone_of(model, options, options.device)
        predictor = model.predictor(backbone)
        split, problems = _readable(images, about)
        samples = SplitSamples(split, backbone, user_store(), lambda done, total: None)
        classes = len(about.class_names)
        logits = logits_of_all(predictor, samples, backbone, about.needs, classes)
    return Found(about, split.ids, logits, tuple(problems))


# ---- images --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Images:
    """The images of a command line."""

    root: Path
    """Folder that the paths start from."""
    files: tuple[str, ...]


def found_images(typed: Sequence[Path]) -> Images:
    """Find the images of a command line: files, and those under folders.

    The paths of one folder's images start from the folder, all others are as they are typed.

    Raises:
        UserError: no such file, or a folder without images.
        DataError: a link in a folder leads out of it.
    """
    if len(typed) == 1 and typed[0].is_dir():
        return Images(typed[0], tuple(image_files(typed[0])))
    files: list[str] = []
    for path in typed:
        if path.is_dir():
            files += (str(path / file) for file in image_files(path))
        elif path.is_file():
            files.append(str(path))
        else:
            raise UserError(f"{path}: no such file or folder.")
    return Images(Path(), tuple(dict.fromkeys(files)))


def image_files(folder: Path) -> list[str]:
    """Paths of the images under a folder, sorted, with slashes, without hidden ones.

    Raises:
        UserError: there are none.
        DataError: a link in it leads out of it, or a folder in it cannot be listed.
    """
    found = sorted(file for file, _ in files_under(folder, Links(folder)) if is_image(file))
    if not found:
        raise UserError(f"{folder}: no images in it ({', '.join(SUFFIXES)}).")
    return found


def _readable(images: Images, about: About) -> tuple[Split, list[str]]:
    """The readable images as a split with placeholder labels, and a line on each of the others.

    Raises:
        DataError: none can be read.
    """
    problems = damaged(FileImages(images.root, images.files, about.upright))
    kept = tuple(file for i, file in enumerate(images.files) if i not in problems)
    if not kept and len(images.files) == 1:
        raise DataError(problems[0])
    if not kept:
        raise DataError(f"None of the {len(images.files)} images can be read: {problems[0]}")
    shape = (len(kept), len(about.class_names)) if about.task == "multi" else (len(kept),)
    labels = np.zeros(shape, dtype=np.int64)
    return Split(FileImages(images.root, kept, about.upright), labels, kept), [*problems.values()]


# ---- output --------------------------------------------------------------------------------------


def said(found: Found) -> str:
    """A line on the model, and on the thresholds of multi-label decisions."""
    about = found.about
    line = f"{about.label} on {about.dataset}, seed {about.seed}"
    if about.task == "single":
        return line
    if about.thresholds:
        return f"{line}; thresholds: highest F1 of each class on validation images"
    line += f"; threshold: probability {EVEN} (thresholds of their own need --select val)"
    return line if about.calibrated else f"{line}; {about.method} learns no probabilities"


def table_of(found: Found, top: int) -> pd.DataFrame:
    """The table to write: one row for each image.

    Single-label: `class` and `probability`, and the next likeliest classes behind them.
    Multi-label: `classes`, those that the image has, and the probability of each class.

    No name is one that a spreadsheet program would compute: `=x.png` is written as `./=x.png`.

    Args:
        found: the predictions.
        top: single-label: number of classes of each image.
    """
    paths = [visible(f) if cell(f) == visible(f) else f"./{visible(f)}" for f in found.files]
    columns: dict[str, Any] = {"file": paths}
    values = found.probabilities
    if found.about.task == "multi":
        names = np.array(distinct([cell(name) for name in found.about.class_names]))
        columns["classes"] = ["; ".join(names[row]) for row in found.decisions]
        return pd.DataFrame(columns | dict(zip(names, values.round(6).T, strict=True)))
    names = np.array([cell(name) for name in found.about.class_names])
    for rank, best in enumerate(_likeliest(values, top).T):
        end = "" if rank == 0 else f"_{rank + 1}"
        columns[f"class{end}"] = names[best]
        columns[f"probability{end}"] = values[np.arange(len(best)), best].round(6)
    return pd.DataFrame(columns)


def answer(found: Found, top: int) -> dict[str, Any]:
    """The answer in JSON (docs/formats.md).

    Args:
        found: the predictions.
        top: number of the likeliest classes of each image.
    """
    about, values = found.about, found.probabilities
    multi = about.task == "multi"
    source = "validation" if about.thresholds else "even"

    def entry(image: int, c: int) -> dict[str, Any]:
        least = found.thresholds[c]
        return {
            "class": about.class_names[c],
            "probability": float(values[image, c]),
            "predicted": bool(found.decisions[image, c]) if multi else None,
            "threshold": float(1 / (1 + np.exp(-least))) if multi and least < np.inf else None,
        }

    images = [
        {"file": file, "classes": [entry(i, int(c)) for c in best]}
        for i, (file, best) in enumerate(zip(found.files, _likeliest(values, top), strict=True))
    ]
    return {
        "method": about.label,
        "dataset": about.dataset,
        "backbone": about.backbone,
        "seed": about.seed,
        "task": about.task,
        "thresholds": source if multi else None,
        "images": images,
        "left_out": list(found.left_out),
    }


def _likeliest(values: NDArray[np.float64], top: int) -> NDArray[np.int64]:
    """(N, K) the likeliest classes of each image; of equal ones the first in class order."""
    return np.argsort(-values, axis=1, kind="stable")[:, :top]


def distinct(names: Sequence[str]) -> list[str]:
    """Class names as columns; one that several have gets its index, from 0: `mouse (3)`.

    The same goes for a class with the name of another column.
    """
    times = Counter(["file", "classes", *names])
    return [f"{name} ({i})" if times[name] > 1 else name for i, name in enumerate(names)]


def write_csv(table: pd.DataFrame, out: Path) -> None:
    """Write a table.

    Raises:
        UserError: the disk is full.
    """
    try:
        table.to_csv(out, index=False)
    except OSError as error:
        raise UserError(f"Cannot write {out}: {error.strerror or error}.") from error
