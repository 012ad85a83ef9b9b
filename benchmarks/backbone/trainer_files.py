"""Checkpoints as trainers write them: where in a file the weights are, and under which names.

Trainers put the weights into an entry of a mapping, beside the optimiser and other sets of weights
(a moving average, EMA), and wrappers of torch put prefixes before the names. Files that only look
like a checkpoint are named for what they are.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.errors import first_few, one_line
from benchmarks.input_files import in_place_of_a_file, opened

ANYWHERE = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""Parts of names that torch.compile and FSDP insert, also in the middle."""
BEFORE_ALL = ("module.", "model.", "net.", "clip.", "clip_model.")
"""Prefixes of DataParallel and of trainers' own modules, which all names have."""
DEPTH = 3
"""Levels of mappings that are searched for weights."""


def refuse_others(file: Path) -> None:
    """Refuse a file that is no checkpoint, by its first bytes.

    Raises:
        ValueError: the message says what it is.
    """
    with opened(file) as stream:
        head = stream.read(64)
    if not head:
        raise ValueError("it is empty")
    if what := in_place_of_a_file(head):
        raise ValueError(what)
    if head.lstrip().startswith(b"{"):
        raise ValueError("it is a text in JSON, without weights")


def in_words(error: Exception) -> ValueError:
    """Return an error of torch's readers in one line, without advice to switch protection off."""
    text = " ".join(str(error).split())
    if "central directory" in text or "PytorchStreamReader" in text or isinstance(error, EOFError):
        return ValueError("it is truncated or damaged: download or save it again")
    # torch: "... Unsupported global: GLOBAL some.module.Class was not an allowed global ..."
    if found := re.search(r"(?:Unsupported (?:global: GLOBAL|class)|GLOBAL) ([\w.]+)", text):
        return ValueError(
            f"it is a pickle with an object of {found[1]}, which could run code: save the "
            "model's state_dict() instead"
        )
    if isinstance(error, pickle.UnpicklingError):
        return ValueError("it is damaged, or no checkpoint")
    return ValueError(one_line(error))


def weights_of(found: Any, entry: str = "") -> dict[str, Tensor]:
    """Return the weights in what a file holds, without the prefixes of wrappers.

    Args:
        found: the content of the file.
        entry: path of the entry with the weights, such as `state_dict_ema`; by default the only
            one that holds weights.

    Raises:
        ValueError: there are no weights, there are several sets of them and `entry` names none, or
            they are parts of a whole.
    """
    sets = dict(_sets(found))
    if not sets:
        raise ValueError(f"the file contains no state dict{_contents(found)}")
    if entry:
        if entry not in sets:
            raise ValueError(f"it has no weights at '{entry}'; there are {_named(sets)}")
        return _plain(sets[entry])
    if len(sets) > 1:
        raise ValueError(
            f"it has several sets of weights ({_named(sets)}): add #ENTRY to the backbone's name "
            f"to choose one, such as #{next(iter(sets))}"
        )
    return _plain(next(iter(sets.values())))


def _sets(found: Any, path: str = "", depth: int = DEPTH) -> list[tuple[str, dict[str, Tensor]]]:
    """The sets of weights in nested mappings, by their path."""
    if not isinstance(found, Mapping) or not found:
        return []
    if all(isinstance(t, Tensor) for t in found.values()):
        # A state of an optimiser has numbers in place of names; buffers alone are no model.
        named = all(isinstance(name, str) for name in found)
        return [(path, dict(found))] if named else []
    if not depth:
        return []
    return [
        one
        for name, value in found.items()
        if isinstance(name, str) and not name.startswith(("optim", "scaler", "sched"))
        for one in _sets(value, f"{path}.{name}".lstrip("."), depth - 1)
    ]


def _named(sets: Mapping[str, Any]) -> str:
    return first_few(list(sets), limit=5)


def _contents(found: Any) -> str:
    if isinstance(found, Mapping) and found:
        return f": it has {first_few([str(name)[:40] for name in found], limit=5)}"
    return ""


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by the names that the model itself gives them.

    Raises:
        ValueError: they are parts of a whole.
    """
    names = " ".join(tensors)
    if "lora_A" in names or "lora_down" in names:
        raise ValueError(
            "it holds LoRA matrices beside the weights: merge them (PEFT: merge_and_unload) and "
            "save the model's state_dict()"
        )
    if "_flat_param" in names:
        raise ValueError(
            "it is a shard of FSDP: gather the whole state dict (StateDictType.FULL_STATE_DICT)"
        )
    while True:
        plain = {_without(name): tensor for name, tensor in tensors.items()}
        for prefix in BEFORE_ALL:
            if all(name.startswith(prefix) for name in plain):
                plain = {name.removeprefix(prefix): tensor for name, tensor in plain.items()}
        if len(plain) < len(tensors):
            raise ValueError("two tensors have one name without the prefixes of wrappers")
        if plain.keys() == tensors.keys():
            return plain
        tensors = plain


def _without(name: str) -> str:
    for part in ANYWHERE:
        name = name.replace(part, "")
    return name
