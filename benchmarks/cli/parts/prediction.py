"""The classes that a finished cell's saved model predicts for a user's images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from torch import Tensor

from benchmarks import device
from benchmarks.cli.parts.messages import warn
from benchmarks.cli.parts.progress import ProgressDisplay
from benchmarks.datasets.base import Split
from benchmarks.datasets.checking import damaged
from benchmarks.datasets.files.image_files import SUFFIXES, FileImages
from benchmarks.datasets.files.links import Links
from benchmarks.errors import DataError, UserError, counted
from benchmarks.file_names import is_hidden, may_write
from benchmarks.inputs.features import user_store
from benchmarks.run.bench import Bench
from benchmarks.run.data_sets import DataSets
from benchmarks.run.model_files import model_file, read_model
from benchmarks.run.options import RunOptions
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.settings import Choice, Sweep
from benchmarks.visible import visible
from methods.registry import METHODS
from reports.csv_text import cell
from results import record_file
from results.schema import Record, RecordError

TOP = 5
"""Number of classes written for each image of single-label data."""


def predict(
    record_file: Path, images: Path, out: Path, console: Console, flags: dict[str, Any]
) -> int:
    """Write the predictions of a cell's model for every image under a folder.

    Single-label: the five most likely classes with their probabilities (softmax). Multi-label: one
    column of logits for each class.

    Args:
        record_file: the cell's record, OUT/records/KEY.json; OUT/models/ holds the trained part.
        images: the folder; its subfolders are included.
        out: a CSV file.
        console: where to print.
        flags: `data_root`, `device`, `offline` and `plugin` from the command line.

    Returns:
        0, or 1 if some images could not be read.

    Raises:
        UserError: no such record or model, data or weights other than the record's, or no images.
    """
    for file in flags["plugin"]:
        METHODS.load_file(file)
    record = _read(record_file)
    file = model_file(record_file.parent.parent, record.key)
    model = read_model(file)
    names = ("method", "seed", "split_seed")
    if any(model.origin[name] != getattr(record, name) for name in names):
        raise UserError(
            f"{file}: the model of another cell; run the cell again with --save-model "
            "--rerun always."
        )
    files = image_files(images)
    _refuse_unwritable(out)
    cell = _cell(record, model.origin, flags)
    if cell.key != record.key:
        warn(console, f"The code of {cell.method} has changed since this record was made.")
    options = RunOptions(
        out=record_file.parent.parent,
        data_root=Path(flags["data_root"] or model.origin["data_root"]),
        device=device.pick(flags["device"]),
        offline=flags["offline"],
    )
    display = ProgressDisplay(console, 1, 0)
    with display:
        data = DataSets(options, display).for_fitting(cell)
        bench = Bench.load(cell, data, options, user_store(), display)
        split, problems = _readable(images, files, record, upright=bench.upright)
        predictor = bench.restored(cell, model)
        logits = bench.logits(cell, predictor, split)
    table = table_of(logits, split.ids, record)
    try:
        table.to_csv(out, index=False)
    except OSError as error:
        raise UserError(f"Cannot write {out}: {error.strerror or error}.") from error
    console.print(f"{counted(len(split), 'image')}: {out}", markup=False, soft_wrap=True)
    for problem in problems:
        warn(console, f"Left out: {problem}")
    return 1 if problems else 0


def _refuse_unwritable(out: Path) -> None:
    """Refuse an output file that cannot be written, before hours of work."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write {out}: {error.strerror or error}.") from error
    if not may_write(out):
        raise UserError(f"Cannot write {out}: it is a folder or write-protected.")


def image_files(folder: Path) -> list[str]:
    """Paths of the images under a folder, sorted, with slashes, without hidden ones.

    Raises:
        UserError: no such folder, or no images in it.
        DataError: a link in it leads out of it.
    """
    if not os.path.isdir(folder):
        what = "is a file, not a folder" if os.path.isfile(folder) else "no such folder"
        raise UserError(f"--images {folder}: {what}.")
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    found = sorted(
        path.as_posix()
        for path in paths
        if path.suffix.lower() in SUFFIXES and not any(map(is_hidden, path.parts))
    )
    links = Links(folder)
    for file in found:
        if (folder / file).is_symlink():
            links.check(folder / file)
    if not found:
        raise UserError(f"--images {folder}: no images in it ({', '.join(SUFFIXES)}).")
    return found


def table_of(logits: Tensor, files: Sequence[str], record: Record) -> pd.DataFrame:
    """The table to write for (N, C) logits: one row for each image.

    No name is one that a spreadsheet program would compute: `=x.png` is written as `./=x.png`.
    """
    names = np.array(_distinct([cell(name) for name in record.class_names]))
    paths = [
        visible(file) if cell(file) == visible(file) else f"./{visible(file)}" for file in files
    ]
    columns: dict[str, Any] = {"path": paths}
    if record.task == "multi":
        return pd.DataFrame(columns | dict(zip(names, logits.numpy().T, strict=True)))
    probabilities, top = logits.double().softmax(-1).topk(min(TOP, len(names)))
    for rank in range(top.shape[1]):
        columns[f"class_{rank + 1}"] = names[top[:, rank]]
        columns[f"probability_{rank + 1}"] = probabilities[:, rank].numpy().round(6)
    return pd.DataFrame(columns)


def _distinct(names: Sequence[str]) -> list[str]:
    """Class names; one that several classes share gets its index, from 0: `mouse (3)`.

    The same goes for a class with the name of the column of paths.
    """
    times = Counter(["path", *names])
    return [f"{name} ({i})" if times[name] > 1 else name for i, name in enumerate(names)]


def _read(file: Path) -> Record:
    try:
        record = record_file.read(file).record
    except (OSError, RecordError) as error:
        raise UserError(
            f"{file} cannot be read as a record ({record_file.reason(error)}); records are "
            "OUT/records/KEY.json."
        ) from error
    if record.status != "done":
        raise UserError(f"{file}: the cell is not done ({record.error}).")
    return record


def _cell(record: Record, origin: dict[str, Any], flags: dict[str, Any]) -> Cell:
    """The record's cell, planned again from what the model file holds.

    Raises:
        UserError: its data, weights or method are missing or have changed.
    """
    sweep = Sweep(
        methods=(Choice(record.method, tuple(origin["config"].items()), ()),),
        datasets=(Choice(origin["dataset"], tuple(origin["dataset_config"].items())),),
        seeds=(origin["seed"],),
        split_seeds=(origin["split_seed"],),
        backbone=origin["backbone"],
        data_root=Path(flags["data_root"] or origin["data_root"]),
        protocol=origin["protocol"],
        select=origin["select"],
        precision=origin["precision"],
        groups=origin["groups"],
        transform=origin["transform"],
        image_size=origin.get("image_size"),
        device=flags["device"],
        offline=flags["offline"],
    )
    (cell,) = plan.expand(sweep).cells
    cell = replace(cell, tuning=record.tuning)
    if cell.identity != record.identity:
        provenance = record.provenance
        weights = provenance is None or provenance.weights_id != cell.backbone.weights_id
        raise UserError(
            f"The {'weights' if weights else 'data set'} of {cell.method} on {cell.dataset} with "
            f"{cell.backbone.name} changed after this record was made: run the cell again."
        )
    return cell


def _readable(
    folder: Path, files: Sequence[str], record: Record, *, upright: bool
) -> tuple[Split, list[str]]:
    """The readable images as a split with placeholder labels, and a line on each of the others.

    Raises:
        DataError: none can be read.
    """
    problems = damaged(FileImages(folder, tuple(files), upright))
    kept = tuple(file for i, file in enumerate(files) if i not in problems)
    if not kept:
        raise DataError(f"{folder}: none of its {len(files)} images can be read.")
    shape = (len(kept), len(record.class_names)) if record.task == "multi" else (len(kept),)
    split = Split(FileImages(folder, kept, upright), np.zeros(shape, dtype=np.int64), kept)
    return split, list(problems.values())
