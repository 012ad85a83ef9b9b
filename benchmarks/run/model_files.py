"""The trained part of a cell in a safetensors file.

The file holds tensors only: the state of every finished stage of training and of the module that
computes the logits. Texts, frozen weights and anything a method computes from training features are
rebuilt from the data set and the backbone, which the metadata of the file name. The metadata also
hold a checksum, which is verified when a file is read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from benchmarks.backbone.names import BackboneId
from benchmarks.errors import DataError, UserError
from benchmarks.safe_files import remove_leftovers, replacing
from benchmarks.sweep.cell import Cell
from methods.base import Predictor

State = dict[str, Tensor]
FORMAT = "longtail-vlm model 3"
_AGAIN = "run the cell again with --save-model --rerun always"


def model_file(out: Path, key: str) -> Path:
    """Return the path of the trained part of the cell with this key."""
    return out / "models" / f"{key}.safetensors"


@dataclass(frozen=True)
class SavedModel:
    """Content of a model file."""

    stages: tuple[State, ...]
    """State of the module of each training."""
    last: State
    """State of the module that computes the logits; empty if nothing is trained."""
    origin: dict[str, Any]
    """Method, configuration, data set, backbone and seeds."""


def save_model(
    file: Path,
    cell: Cell,
    data_root: Path,
    stages: Sequence[Mapping[str, Tensor]],
    predictor: Predictor,
) -> None:
    """Write a cell's trained part.

    Raises:
        DataError: the disk is full, or the folder cannot be written to.
    """
    last: State = predictor.logits.state_dict() if isinstance(predictor.logits, nn.Module) else {}
    twice = bool(stages) and _same(last, stages[-1])  # usually the module that was trained last
    tensors = {f"last/{name}": tensor for name, tensor in ({} if twice else last).items()}
    for i, stage in enumerate(stages):
        tensors |= {f"stage {i}/{name}": tensor for name, tensor in stage.items()}
    # Copies: tensors may share memory, which the format does not allow.
    tensors = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
    metadata = {"format": FORMAT, "origin": json.dumps(_origin(cell, data_root))}
    metadata["sha256"] = checksum(tensors, metadata)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(file.parent)
        with replacing(file) as stream:
            stream.write(save(tensors, metadata))
    except OSError as error:
        raise DataError(
            f"Cannot write {file}: {error.strerror or error}. What is finished is kept; the same "
            "command goes on from there."
        ) from error


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


def _same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(v, right[k]) for k, v in left.items())


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
    if not whole or metadata["format"] != FORMAT:
        raise UserError(f"{file}: damaged, or not a model of this version of the suite; {_AGAIN}.")
    parts: dict[str, State] = {}
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        parts.setdefault(part, {})[rest] = tensor
    last = parts.pop("last", None)
    count = max((int(part.partition(" ")[2]) + 1 for part in parts), default=0)
    stages = tuple(parts.get(f"stage {i}", {}) for i in range(count))
    if last is None:
        last = stages[-1] if stages else {}
    return SavedModel(stages, last, json.loads(metadata["origin"]))


def _origin(cell: Cell, data_root: Path) -> dict[str, Any]:
    """Return the specification of the cell with absolute paths."""
    knobs = dataclasses.asdict(cell.family)  # type: ignore[call-overload]
    return {
        "method": cell.method,
        "config": cell.config,
        "dataset": _absolute(cell.dataset_as_typed),
        "dataset_config": {name: _absolute(value) for name, value in knobs.items()},
        "backbone": _absolute_name(cell.backbone),
        "data_root": str(data_root.resolve()),
        "seed": cell.seed,
        "split_seed": cell.split_seed,
        "protocol": cell.protocol,
        "select": cell.select,
        "precision": cell.precision,
        "groups": _absolute(cell.partition_as_typed) or cell.groups,
        "transform": cell.transform,
        "image_size": cell.image_size,
    }


def _absolute_name(backbone: BackboneId) -> str:
    """Return the backbone's name with an absolute path if it has one."""
    if backbone.form in ("local-dir", "file"):
        return replace(backbone, source=str(Path(backbone.source).resolve())).typed
    return backbone.typed


def _absolute(value: Any) -> Any:
    """Return an absolute path for the name of a file, and any other value unchanged."""
    named = isinstance(value, str) and Path(value).suffix and Path(value).is_file()
    return str(Path(value).resolve()) if named else value


class Restored:
    """A `methods.base.Checkpoint` from which every training resumes as finished.

    Args:
        states: state of the module of each training.
    """

    def __init__(self, states: tuple[State, ...]) -> None:
        self._states = states

    def load(self) -> dict[str, Any] | None:
        """Return the state that the training loop saves after its last stage."""
        return {"stage": len(self._states), "finished": list(self._states)}

    def save(self, state: Mapping[str, Any]) -> None:
        """Do nothing."""

    def trained(self, stage: int, state: Mapping[str, Any]) -> None:
        """Do nothing."""

    @property
    def earlier_s(self) -> float:
        """No earlier training."""
        return 0.0

    @property
    def stages(self) -> tuple[Mapping[str, Any], ...]:
        """The restored states."""
        return self._states


def put_back(predictor: Predictor, last: State) -> None:
    """Load the saved state into the module that computes a predictor's logits.

    Raises:
        UserError: the state does not fit the module.
    """
    if not last:
        return
    try:
        assert isinstance(predictor.logits, nn.Module)
        with torch.no_grad():
            predictor.logits.load_state_dict(last)
    except (RuntimeError, AssertionError) as error:
        raise UserError("The saved model does not fit this version of its method.") from error
