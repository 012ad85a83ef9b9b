"""The saved model that a command line names, and the backbone that it was made with."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.parts.flags import OFFLINE, add_plugin
from benchmarks.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.backbones import Backbone
    from benchmarks.run.model_files import SavedModel
    from reports.table import Row, Table
    from results.schema import Record

SUFFIX = ".safetensors"


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a folder of runs with the row of a table, or a model file."""
    add = parser.add_argument
    add(
        "model",
        type=Path,
        metavar="DIR|MODEL",
        help="folder of a run with --save-model, or a file of its models/",
    )
    add("--method", metavar="ROW", help="a row, as the tables label it, or a method's name")
    add("--dataset", metavar="D", help="its data set, as the tables name it")
    add("--seed", type=int, metavar="N", help="seed of the run (default: the first)")
    add(
        "--backbone",
        metavar="NAME",
        help="where the same weights are on this machine (default: where they were)",
    )
    add("--offline", action="store_true", help=OFFLINE)
    add_plugin(parser)


def find_model(options: argparse.Namespace, console: Console) -> SavedModel:
    """Return the model that a command line names.

    Raises:
        UserError: no such row, several, or no model of it.
    """
    from benchmarks.cli.parts.messages import warn
    from benchmarks.run.model_files import read_model
    from methods.registry import METHODS

    if options.model.suffix == SUFFIX:
        for file in options.plugin:
            METHODS.load_file(file)
        model = read_model(options.model)
    else:
        model = read_model(_file_of_row(options, console))
    if _of_other_code(model):
        warn(console, f"The code of {model.about.method} has changed since this model was made.")
    return model


def _of_other_code(model: SavedModel) -> bool:
    from benchmarks.sweep.fingerprints import fingerprint

    return fingerprint(model.about.method, model.about.config) != model.about.fingerprint


@contextmanager
def fitting(model: SavedModel) -> Iterator[None]:
    """Turn an error of a model that another version of its method made into one line.

    Raises:
        UserError: the present code does not fit the model.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, RuntimeError, AssertionError) as error:
        if not _of_other_code(model):
            raise
        raise UserError(
            f"{model.file} does not fit the present code of {model.about.method}: run the cell "
            "again with --save-model."
        ) from error


def _file_of_row(options: argparse.Namespace, console: Console) -> Path:
    """The model file of the row, data set and seed of a command line."""
    from benchmarks.cli.parts.records import load_records
    from benchmarks.run.model_files import model_file
    from reports.aggregate import build_tables
    from reports.folders import of_datasets

    loaded = load_records([options.model], options.plugin, console)
    records = loaded.records
    if options.dataset is not None:
        records = of_datasets(records, [options.dataset])
    # All records of a table, since its labels depend on them.
    tables = build_tables(records, stale=loaded.stale, allow_mixed=True)
    files = {record.key: model_file(options.model, record.key) for record in records}
    table, row = _row(tables, options.method, files)
    runs = [record for record in row.done if files[record.key].is_file()]
    if not runs:
        raise UserError(
            f"{options.model} has no saved model of '{row.label}' on {table.dataset}: run it again "
            "with --save-model --rerun always."
        )
    run = _of_seed(runs, options.seed, f"'{row.label}' on {table.dataset}")
    if len(runs) > 1:
        seeds = ", ".join(str(record.seed) for record in runs)
        console.print(f"seed {run.seed} of {seeds}", style="dim", markup=False, soft_wrap=True)
    return files[run.key]


def _row(
    tables: Sequence[Table], wanted: str | None, files: Mapping[str, Path]
) -> tuple[Table, Row]:
    """The row that a label names; without one, the only row with a model.

    Raises:
        UserError: no such row, or several.
    """
    from reports.compare.rows import find_row, unknown_variant

    if wanted is None:
        every = [(table, row) for table in tables for row in table.rows]
        found = [one for one in every if any(files[r.key].is_file() for r in one[1].done)]
        if not found:
            raise UserError("No run here has a saved model: run it again with --save-model.")
    else:
        found = [(t, row) for t in tables if (row := find_row(t, wanted)) is not None]
        if not found:
            raise unknown_variant(tables, wanted)
    if len(found) > 1:
        rows = {row.label for _, row in found}
        flag = "--method" if len(rows) > 1 else "--dataset"
        names = rows if len(rows) > 1 else {table.dataset for table, _ in found}
        if len(rows) == len(names) == 1:
            backbones = ", ".join(sorted(table.backbone for table, _ in found))
            raise UserError(f"Runs with several backbones: {backbones}. Name a file of models/.")
        choices = "; ".join(f"'{name}'" for name in sorted(names))
        raise UserError(f"Several rows have a saved model, name one with {flag}: {choices}.")
    return found[0]


def _of_seed(runs: Sequence[Record], seed: int | None, what: str) -> Record:
    """The run of a seed, by default the first; one without randomness serves every seed.

    Raises:
        UserError: there is none.
    """
    if seed is None or (len(runs) == 1 and runs[0].deterministic):
        return runs[0]
    for record in runs:
        if record.seed == seed:
            return record
    raise UserError(
        f"No saved model of {what} with seed {seed}. "
        f"Known: {', '.join(str(record.seed) for record in runs)}."
    )


def backbone_of(
    model: SavedModel, options: argparse.Namespace, device: str, precision: str | None = None
) -> Backbone:
    """Load the backbone of a model; download it if it is missing, unless offline.

    Args:
        model: the model.
        options: `backbone` and `offline` of the command line.
        device: where to put it.
        precision: None for that of the run.

    Raises:
        UserError: it is not here, or its weights are others.
    """
    from benchmarks import backbones
    from benchmarks.device import pick

    about = model.about
    name = options.backbone or about.backbone
    hint = "" if options.backbone else " If the same weights are elsewhere, name them: --backbone."
    try:
        backbone = backbones.load(
            name,
            device=pick(device),
            precision=precision or about.precision,
            transform=about.transform,
            image_size=about.image_size,
            offline=options.offline,
        )
    except UserError as error:
        raise UserError(f"{error}{hint}") from error
    if backbone.id.weights_id != about.weights_id:
        raise UserError(
            f"{name}: other weights than those that {model.file} was made with ({about.backbone})."
        )
    return backbone
