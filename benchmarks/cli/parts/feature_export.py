"""Export of frozen features: which files, what goes into them, and the passes that are missing."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import backbones
from benchmarks import device as devices
from benchmarks.backbones import Backbone
from benchmarks.cli.parts.progress import ProgressDisplay
from benchmarks.datasets.base import DataSet
from benchmarks.errors import UserError, counted
from benchmarks.file_names import require_writable, safe
from benchmarks.inputs.export_files import SPLITS, Part, require_parquet, write_export
from benchmarks.inputs.features import FeatureStore, user_store
from benchmarks.protocol import FEATURES_VERSION
from benchmarks.run.bench import load_backbone
from benchmarks.run.data_sets import DataSets
from benchmarks.run.options import RunOptions
from benchmarks.run.provenance import suite_version
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.settings import Choice, Sweep

ENDINGS = (".parquet", ".safetensors")


def export(sweep: Sweep, to: Path, console: Console, *, overwrite: bool) -> int:
    """Write the features of a sweep's data sets, and compute those that are not stored.

    Args:
        sweep: its data sets, backbone, split seed, selection and transform are used.
        to: a file for one data set, or a folder.
        console: where to print.
        overwrite: replace files that exist.

    Returns:
        0.

    Raises:
        UserError: nothing was written, or only the files of the first data sets.
    """
    if len(sweep.split_seeds) > 1:
        raise UserError("--split-seed: one split at a time; give one number.")
    if sweep.data_root != Sweep().data_root and not os.path.isdir(sweep.data_root):
        raise UserError(f"--data-root {sweep.data_root}: no such folder.")
    backbones.fetch(sweep.backbone, offline=sweep.offline)
    # Any method that works on features would do: a cell tells data set, backbone and precision.
    planned = replace(sweep, methods=(Choice("zero_shot"),), seeds=(0,))
    cells = plan.expand(planned).cells
    files = files_of(cells, to)
    _refuse(files, overwrite=overwrite)
    if any(file.suffix == ".parquet" for file in files):
        require_parquet("write safetensors with --to FILE.safetensors.")
    options = RunOptions.of(sweep)
    devices.make_deterministic(options.deterministic)  # as in a run, which shares the features
    display = ProgressDisplay(console, len(cells), 0)
    data_sets, store = DataSets(options, display), user_store()
    backbone: Backbone | None = None
    lines = []
    with display:
        for cell, file in zip(cells, files, strict=True):
            data_sets.keep_for([cell])
            data = data_sets.for_fitting(cell)
            if backbone is None or backbone.id != cell.backbone:
                backbone = load_backbone(cell, options, display)
            parts = _parts(cell, data, backbone, store, display)
            write_export(file, parts, _about(cell, data, backbone))
            sizes = ", ".join(f"{len(part.ids)} {part.split}" for part in parts)
            width = parts[0].features.shape[1]
            lines.append(f"{cell.dataset}: {sizes} images, {counted(width, 'number')} each: {file}")
            store.forget()
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    return 0


def files_of(cells: list[Cell], to: Path) -> list[Path]:
    """Return the file to write for each of some data sets.

    Raises:
        UserError: no such format, or two data sets would be one file.
    """
    if to.is_dir() or not to.suffix:
        names = [safe(cell.dataset, 200) for cell in cells]
        names = [
            f"{name}-split-{cell.split_seed}" if cell.split_seed else name
            for name, cell in zip(names, cells, strict=True)
        ]
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise UserError(f"--to {to}: two data sets would be {twice[0]}.parquet; export one.")
        return [to / f"{name}.parquet" for name in names]
    if to.suffix not in ENDINGS:
        raise UserError(f"--to {to}: write FILE.parquet, FILE.safetensors or a folder.")
    if len(cells) > 1:
        raise UserError(f"--to {to}: a file holds one data set; name a folder for {len(cells)}.")
    return [to]


def _refuse(files: list[Path], *, overwrite: bool) -> None:
    """Refuse files that exist or cannot be written, before hours of work."""
    for file in files:
        if os.path.lexists(file) and not overwrite:
            raise UserError(f"{file} exists; --overwrite replaces it.")
        require_writable(file)


def _parts(
    cell: Cell, data: DataSet, backbone: Backbone, store: FeatureStore, display: ProgressDisplay
) -> list[Part]:
    """Return the rows of each split."""
    held_out = None if data.validation is None else data.validation()
    splits = zip(SPLITS, (data.train, held_out, data.test), strict=True)
    parts = []
    for name, split in splits:
        if split is not None:
            progress = partial(display.preparing, f"features of {data.name} {name}")
            features = store.images(backbone, split.images, progress).numpy()
            parts.append(Part(name, split.ids, split.labels, features))
    keys = [store.image_key(backbone, split.images) for split in (data.train, data.test)]
    store.add_to_index(cell.features_name, keys)
    return parts


def _about(cell: Cell, data: DataSet, backbone: Backbone) -> dict[str, Any]:
    """Return what the rows of a file are."""
    return {
        "suite": suite_version(),
        "dataset": cell.dataset,
        "dataset_version": cell.family.version,
        "dataset_config": cell.dataset_config,
        "task": data.task,
        "class_names": list(data.texts.class_names),
        "split_seed": cell.split_seed,
        "select": cell.select,
        "split_hash": data.split_hash,
        "backbone": cell.backbone.name,
        "weights_id": backbone.id.weights_id,
        "transform": cell.transform,
        "image_size": backbone.image_size,
        "preprocess_hash": backbone.preprocess_hash,
        "precision": backbone.precision,
        "features_version": FEATURES_VERSION,
        "notes": list(data.notes),
    }
