"""Checkpoint files of CLIP models: every usual way to save one, loaded strictly.

open_clip's own reader is more forgiving than numbers allow: it resizes positions that do not fit
and makes up a bias that is missing. Here every parameter of the model equals the file's.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

OPENAI_EXTRAS = {"input_resolution", "context_length", "vocab_size"}
"""What the state dicts that OpenAI published hold beside the weights, and nobody else's do."""


@dataclass(frozen=True)
class Weights:
    """What a checkpoint file holds."""

    tensors: Mapping[str, Tensor]
    openai: bool
    """They are in OpenAI's own naming: the weights of their release, trained with QuickGELU."""


def read(file: Path) -> Weights:
    """The weights in a file: safetensors, TorchScript, or a state dict, bare or in a wrapper.

    Raises:
        Exception: whatever the file's reader raises for one that is damaged or something else.
    """
    found: Any
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        found = load_file(file)
    elif _is_torchscript(file):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch would rather see another format
            found = torch.jit.load(str(file), map_location="cpu").state_dict()
    else:
        found = torch.load(file, map_location="cpu", weights_only=True)
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not all(isinstance(t, Tensor) for t in found.values()):
        raise ValueError("the file holds no state dict")
    if found and all(name.startswith("module.") for name in found):  # saved from several GPUs
        found = {name.removeprefix("module."): tensor for name, tensor in found.items()}
    openai = found.keys() >= OPENAI_EXTRAS
    if openai:
        found = {name: tensor for name, tensor in found.items() if name not in OPENAI_EXTRAS}
    return Weights(found, openai)


def load_into(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give `model` the weights of a file, all of them and no others.

    Raises:
        ValueError: a tensor is missing, left over or of another shape.
    """
    from open_clip.factory import convert_state_dict, convert_to_custom_text_state_dict

    given = convert_state_dict(model, dict(tensors))  # MobileCLIP's own naming
    wanted = model.state_dict()
    if "positional_embedding" in given and "positional_embedding" not in wanted:
        given = convert_to_custom_text_state_dict(given)
    for name in ("logit_scale", "logit_bias"):  # a number, or a list of one
        if name in given and name in wanted and given[name].numel() == 1:
            given[name] = given[name].reshape(wanted[name].shape)
    if missing := wanted.keys() - given.keys():
        raise ValueError(f"of the architecture's tensors the file lacks {_some(missing)}")
    if extra := given.keys() - wanted.keys():
        raise ValueError(f"the file holds what the architecture has no place for: {_some(extra)}")
    if other := {name for name in wanted if given[name].shape != wanted[name].shape}:
        first = min(other)
        shapes = [" × ".join(map(str, t[first].shape)) or "a number" for t in (given, wanted)]
        raise ValueError(
            f"another size: {first} is {shapes[0]} in the file and {shapes[1]} in the "
            f"architecture; so are {len(other)} of {len(wanted)} tensors"
        )
    model.load_state_dict(given)


def _is_torchscript(file: Path) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _some(names: Collection[str], shown: int = 3) -> str:
    """How many names, and the first few."""
    first = ", ".join(sorted(names)[:shown])
    return f"{len(names)}: {first}{', …' if len(names) > shown else ''}"
