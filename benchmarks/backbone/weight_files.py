"""Checkpoint files of CLIP models in all common formats, loaded strictly.

open_clip's reader is too lenient for a benchmark: it resizes position embeddings that do not fit
and invents a bias that is missing. Here every parameter of the model equals that of the file. No
code of a file runs: pickles are read by torch's reader of plain tensors, and TorchScript archives
as data (`torchscript`).
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.backbone import torchscript, trainer_files
from benchmarks.errors import counted

_SCALAR = np._core.multiarray.scalar  # type: ignore[attr-defined]
PLAIN: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(code)) for code in ("f4", "f8", "i4", "i8", "bool")),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    (_SCALAR, "numpy.core.multiarray.scalar"),
]
"""Types beside torch's own that trainers put into checkpoints: they hold data alone."""
OPENAI_EXTRAS = {"input_resolution", "context_length", "vocab_size"}
"""Entries besides the weights that only the state dicts published by OpenAI contain."""


@dataclass(frozen=True)
class Weights:
    """The weights in a checkpoint file."""

    tensors: Mapping[str, Tensor]
    openai: bool
    """True if the file is in the format of OpenAI's release, trained with QuickGELU."""


def read(file: Path, entry: str = "") -> Weights:
    """Read a file: safetensors, TorchScript, or a state dict, possibly inside a checkpoint.

    Args:
        file: its path.
        entry: the entry of a checkpoint that holds the weights, if it has several sets of them.

    Raises:
        Exception: the file is damaged or of another kind; the type depends on the reader.
    """
    found: Any
    trainer_files.refuse_others(file)
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        found = load_file(file)
    elif _is_torchscript(file):
        found = torchscript.read(file)
    else:
        try:
            with torch.serialization.safe_globals(PLAIN):
                found = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # of many types
            raise trainer_files.in_words(error) from error
    found = trainer_files.weights_of(found, entry)
    openai = found.keys() >= OPENAI_EXTRAS
    if openai:
        found = {name: tensor for name, tensor in found.items() if name not in OPENAI_EXTRAS}
    return Weights(found, openai)


def load_into(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load the weights of a file into a model of open_clip, all of them and no others.

    Raises:
        ValueError: a tensor is missing, superfluous or of another shape.
    """
    from open_clip.factory import convert_state_dict, convert_to_custom_text_state_dict

    given = convert_state_dict(model, dict(tensors))  # from MobileCLIP's naming
    wanted = model.state_dict()
    if "positional_embedding" in given and "positional_embedding" not in wanted:
        given = convert_to_custom_text_state_dict(given)
    for name in ("logit_scale", "logit_bias"):  # a scalar, or a vector of length one
        if name in given and name in wanted and given[name].numel() == 1:
            given[name] = given[name].reshape(wanted[name].shape)
    fill(model, given)


def fill(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load tensors into `model` under its own names, all of them and no others.

    Raises:
        ValueError: a tensor is missing, superfluous or of another shape.
    """
    given, wanted = dict(tensors), model.state_dict()
    for name, buffer in model.named_buffers():  # TorchScript saves those that torch leaves out
        if name in given and name not in wanted and _equal(given[name], buffer):
            del given[name]
    if missing := wanted.keys() - given.keys():
        raise ValueError(f"the file lacks {_summary(missing)}")
    if extra := given.keys() - wanted.keys():
        raise ValueError(f"the architecture lacks {_summary(extra)}")
    if other := {name for name in wanted if given[name].shape != wanted[name].shape}:
        first = min(other)
        shapes = [" × ".join(map(str, t[first].shape)) or "a number" for t in (given, wanted)]
        raise ValueError(
            f"another size: {first} is {shapes[0]} in the file and {shapes[1]} in the "
            f"architecture; {len(other)} of {len(wanted)} tensors differ"
        )
    model.load_state_dict(given)


def refuse_bomb(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse a zip file whose tensors would unpack to more than the file holds.

    torch stores tensors uncompressed.

    Args:
        archive: the file.
        size: its size in bytes.

    Raises:
        ValueError: a tensor is compressed, or all together are larger than the file.
    """
    parts = [info for info in archive.infolist() if "/code/" not in info.filename]
    if any(info.compress_type != zipfile.ZIP_STORED for info in parts):
        raise ValueError("its tensors are compressed, which torch.save does not do")
    if sum(info.file_size for info in parts) > size:
        raise ValueError("its tensors are larger than the file")


def _is_torchscript(file: Path) -> bool:
    """True for a TorchScript archive.

    Raises:
        ValueError: as `refuse_bomb`.
    """
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        refuse_bomb(archive, file.stat().st_size)
        return torchscript.is_torchscript(archive)


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one.to(other.dtype), other)


def _summary(names: Collection[str], shown: int = 3) -> str:
    """The number of names, and the first few."""
    first = ", ".join(sorted(names)[:shown])
    return f"{counted(len(names), 'tensor')}: {first}{', …' if len(names) > shown else ''}"
