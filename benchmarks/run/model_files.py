"""A trained model in a safetensors file that holds all it needs but the backbone.

The tensors are those that the logits are computed with: trained weights, and whatever the method
computed from training features and texts. The metadata hold the function itself
(`function_writer`), and what a user of the model has to know: class names and prompts, the
backbone, thresholds of multi-label decisions, where the model is from. They also hold a checksum,
which is verified when a file is read. Frozen weights of the backbone are not in the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from benchmarks.backbone.names import BackboneId
from benchmarks.backbones import Backbone
from benchmarks.datasets.base import DataSet, TaskKind
from benchmarks.errors import DataError, UserError
from benchmarks.run.function_code import Names, UnknownCode
from benchmarks.run.function_reader import FunctionReader
from benchmarks.run.function_writer import FunctionWriter, Unsaveable
from benchmarks.safe_files import remove_leftovers, replacing
from benchmarks.sweep.cell import Cell
from methods.base import Predictor, Views
from methods.registry import METHODS, info_of
from results.json_form import PROSE, Length, build

FORMAT = "longtail-vlm model 4"
_AGAIN = "run the cell again with --save-model --rerun always"
Strings = Annotated[tuple[str, ...], Length(PROSE)]
Numbers = tuple[float | None, ...]


def model_file(out: Path, key: str) -> Path:
    """Return the path of the model of the cell with this key."""
    return out / "models" / f"{key}.safetensors"


@dataclass(frozen=True)
class About:
    """Facts about a model that its user has to know."""

    method: str
    config: dict[str, Any]
    label: Annotated[str, Length(PROSE)]
    """The method with the fields that its sweep set."""
    fingerprint: str
    """Hash of the method's source."""
    key: str
    """Key of the cell, which is the name of its record."""
    dataset: str
    task: TaskKind
    class_names: Strings
    """(C,) the user's own names of the classes; those in prompts if there are no others."""
    prompt_names: Strings
    """(C,) names of the classes in prompts."""
    templates: Strings
    descriptions: Strings
    """(C,) of the classes; empty if there are none."""
    train_counts: tuple[int, ...]
    """(C,) training images of each class."""
    upright: bool
    """Image files are turned by their EXIF orientation."""
    backbone: Annotated[str, Length(PROSE)]
    """By which it is loaded, with an absolute path if it has one."""
    weights_id: str
    precision: str
    transform: str
    image_size: int | None
    seed: int
    split_seed: int
    select: str
    needs: Literal["features", "images"]
    """Content of batches."""
    views: Views
    """Views of an image whose logits are averaged."""
    calibrated: bool
    """Multi-label: a sigmoid of the logits is meant to be a probability."""
    thresholds: Numbers = ()
    """C logits from which on an image has the class, by the highest F1 on validation images; None
    for a class that is never predicted. Empty without validation images and for single-label data.
    """

    def __post_init__(self) -> None:
        """Check the numbers of values.

        Raises:
            ValueError: they are not those of the classes.
        """
        each = (self.class_names, self.prompt_names, self.train_counts)
        optional = (self.descriptions, self.thresholds)
        numbers = {len(values) for values in each} | {len(values) for values in optional if values}
        if len(numbers) > 1:
            raise ValueError("names, counts, descriptions or thresholds of some classes only")

    @classmethod
    def of(
        cls,
        cell: Cell,
        data: DataSet,
        predictor: Predictor,
        thresholds: Numbers,
        *,
        calibrated: bool,
    ) -> About:
        """Describe the model of a cell.

        Args:
            cell: the cell.
            data: its data set.
            predictor: the result of its fit.
            thresholds: see the field.
            calibrated: see the field.
        """
        return cls(
            method=cell.method,
            config=dict(cell.config),
            label=cell.label,
            fingerprint=cell.fingerprint,
            key=cell.key,
            dataset=cell.dataset,
            task=data.task,
            class_names=data.class_keys or data.texts.class_names,
            prompt_names=data.texts.class_names,
            templates=data.texts.templates,
            descriptions=data.texts.descriptions or (),
            train_counts=tuple(data.counts.tolist()),
            upright=data.upright,
            backbone=_absolute(cell.backbone),
            weights_id=cell.backbone.weights_id,
            precision=cell.precision,
            transform=cell.transform,
            image_size=cell.image_size,
            seed=cell.seed,
            split_seed=cell.split_seed,
            select=cell.select,
            needs=predictor.needs or info_of(cell.method).needs,
            views=predictor.views,
            calibrated=calibrated,
            thresholds=thresholds,
        )


@dataclass(frozen=True)
class SavedModel:
    """Content of a model file."""

    file: Path
    about: About
    function: Mapping[str, Any]
    """Form and nodes of `Predictor.logits`."""
    tensors: Mapping[str, Tensor]

    def predictor(self, backbone: Backbone) -> Predictor:
        """Return the predictor that was saved.

        Args:
            backbone: the one that it was made with.

        Raises:
            UserError: the present source of the method has other parts.
        """
        about = self.about
        reader = FunctionReader(
            self.function["nodes"], self.tensors, _names(about.method), backbone
        )
        try:
            logits = reader.value(self.function["form"])
        except UnknownCode as error:
            raise UserError(
                f"{self.file}: {about.method} has no {error} in this version of its source; "
                f"{_AGAIN}."
            ) from error
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise UserError(f"{self.file}: its parts do not fit together; {_AGAIN}.") from error
        return Predictor(logits, views=about.views, needs=about.needs)


def save_model(file: Path, about: About, predictor: Predictor, backbone: Backbone) -> SavedModel:
    """Write a model.

    Raises:
        Unsaveable: the predictor holds what a file cannot.
        DataError: the disk is full, or the folder cannot be written to.
    """
    writer = FunctionWriter(_names(about.method), backbone)
    form = writer.form(predictor.logits)
    function = {"form": form, "nodes": writer.nodes}
    try:
        texts = {
            "format": FORMAT,
            "about": json.dumps(asdict(about), allow_nan=False),
            "function": json.dumps(function, allow_nan=False),
        }
        build(About, json.loads(texts["about"]), "about")  # as `read_model` will
    except (TypeError, ValueError) as error:
        raise Unsaveable(str(error)) from error
    metadata = texts | {"sha256": checksum(writer.tensors, texts)}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(file.parent)
        with replacing(file) as stream:
            stream.write(save(writer.tensors, metadata))
    except OSError as error:
        raise DataError(
            f"Cannot write {file}: {error.strerror or error}. What is finished is kept; the same "
            "command goes on from there."
        ) from error
    return SavedModel(file, about, json.loads(texts["function"]), writer.tensors)


def checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 checksum of everything in a model file but the checksum itself."""
    digest = hashlib.sha256()
    for name in sorted(metadata.keys() - {"sha256"}):
        digest.update(json.dumps([name, metadata[name]]).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_model(file: Path) -> SavedModel:
    """Return the model in a file that `save_model` wrote.

    Raises:
        UserError: the file is missing, damaged or of another kind.
    """
    if not file.is_file():
        raise UserError(f"No {file}: {_AGAIN}.")
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = dict(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        whole = metadata.get("sha256") == checksum(tensors, metadata)
    except Exception as error:  # of many types: the file may hold anything
        raise UserError(f"{file}: damaged, or not a safetensors file; {_AGAIN}.") from error
    other = f"{file}: damaged, or not a model of this version of the suite; {_AGAIN}."
    if not whole or metadata.get("format") != FORMAT:
        raise UserError(other)
    try:
        about = build(About, json.loads(metadata["about"]), "about")
        function = json.loads(metadata["function"])
        if not isinstance(function, dict) or function.keys() != {"form", "nodes"}:
            raise ValueError("no function")
    except (KeyError, ValueError, RecursionError) as error:
        raise UserError(other) from error
    return SavedModel(file, about, function, tensors)


def _names(method: str) -> Names:
    return Names(METHODS.get(method).__module__)


def _absolute(backbone: BackboneId) -> str:
    """Return the backbone's name with an absolute path if it has one."""
    if backbone.form in ("local-dir", "file"):
        return replace(backbone, source=str(Path(backbone.source).resolve())).typed
    return backbone.typed
