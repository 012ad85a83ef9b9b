"""Checkpoints as trainers write them, and files that are none."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor, nn

from benchmarks.backbone.identify import identify
from benchmarks.backbone.trainer_files import weights_of
from benchmarks.errors import UserError
from tests.benchmarks.small import ARCH, MODEL, load_on_cpu

pytestmark = pytest.mark.usefixtures("small_arch")

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(7)
    return dict(open_clip.CLIP(**MODEL).state_dict())


def saved(folder: Path, content: Any) -> Path:
    torch.save(content, folder / "mine.pt")
    return folder / "mine.pt"


def assert_loads(typed: str, state: State) -> None:
    found = load_on_cpu(typed).model.state_dict()
    assert all(torch.equal(found[name], state[name]) for name in state)


def refusal(typed: str) -> str:
    with pytest.raises(UserError) as caught:
        load_on_cpu(typed)
    text = str(caught.value)
    assert "\n" not in text and "weights_only" not in text and "\x1b" not in text
    return text


def rest(**more: Any) -> dict[str, Any]:
    """Entries that trainers save beside the weights."""
    optimiser = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}
    return {
        "epoch": 3, "optimizer": optimiser, "args": argparse.Namespace(lr=0.1, name="a run"),
        "best": np.float64(71.5), "steps": np.int64(9), **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    "prefix",
    ["", "_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.module.", "model.module.model.",
     "_fsdp_wrapped_module.", "clip_model."],
)  # fmt: skip
@pytest.mark.parametrize("entry", ["", "state_dict", "model_state_dict", "model", "ckpt.model"])
def test_prefixes_and_entries(state: State, prefix: str, entry: str) -> None:
    content: Any = {prefix + name: tensor for name, tensor in state.items()}
    for name in reversed(entry.split(".") if entry else []):
        content = rest(**{name: content})
    assert weights_of(content) == weights_of(content, entry) == state


def test_a_file_of_a_trainer_is_loaded(tmp_path: Path, state: State) -> None:
    wrapped = {f"module._orig_mod.{name}": tensor for name, tensor in state.items()}
    assert_loads(f"{ARCH}/{saved(tmp_path, rest(model=wrapped))}", state)


def test_a_prefix_in_the_middle(tmp_path: Path, state: State) -> None:
    """`model.visual = torch.compile(model.visual)`."""
    compiled = {name.replace("visual.", "visual._orig_mod."): t for name, t in state.items()}
    assert_loads(f"{ARCH}/{saved(tmp_path, compiled)}", state)


def test_several_sets_of_weights_are_chosen_by_name(tmp_path: Path, state: State) -> None:
    mean = {name: tensor + 1 for name, tensor in state.items()}
    file = saved(tmp_path, rest(state_dict=state, state_dict_ema=mean))
    assert "(state_dict, state_dict_ema): add #ENTRY" in refusal(f"{ARCH}/{file}")
    assert_loads(f"{ARCH}/{file}#state_dict", state)
    assert_loads(f"{ARCH}/{file}#state_dict_ema", mean)
    assert "no weights at 'ema'" in refusal(f"{ARCH}/{file}#ema")
    raw, ema = (identify(f"{ARCH}/{file}#{entry}") for entry in ("state_dict", "state_dict_ema"))
    assert raw.weights_id != ema.weights_id
    assert ema.name.startswith(f"{ARCH}/mine.pt#state_dict_ema@") and str(tmp_path) not in ema.name
    assert identify(ema.typed) == ema


def test_parts_of_a_whole_are_refused(tmp_path: Path, state: State) -> None:
    low = {"visual.proj.lora_A.weight": torch.zeros(2, 2)}
    assert "merge them" in refusal(f"{ARCH}/{saved(tmp_path, state | low)}")
    shard = {"_fsdp_wrapped_module._flat_param": torch.zeros(9)}
    assert "a shard of FSDP" in refusal(f"{ARCH}/{saved(tmp_path, shard)}")
    first = next(iter(state))
    twice = {f"module.{name}": t for name, t in state.items()}
    twice[f"module._orig_mod.{first}"] = state[first]
    assert "two tensors have one name" in refusal(f"{ARCH}/{saved(tmp_path, twice)}")


class Unknown(nn.Module):
    """A module that somebody pickled as a whole."""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", "Git LFS"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "a web page"),
        (b"\n<HTML><head>", "a web page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML message"),
        (b'{"error": "not found"}', "JSON"),
        (b"", "it is empty"),
        (b"\x1b[31mjunk" * 9, "no checkpoint"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, content: bytes, said: str) -> None:
    for name in ("mine.pt", "mine.safetensors"):
        (tmp_path / name).write_bytes(content)
        text = refusal(f"{ARCH}/{tmp_path / name}")
        assert said in text or name.endswith("safetensors")


def test_a_pickled_module_and_a_truncated_file(tmp_path: Path, state: State) -> None:
    file = saved(tmp_path, Unknown())
    said = refusal(f"{ARCH}/{file}")
    assert "test_trainer_files.Unknown" in said and "save the model's state_dict()" in said
    file = saved(tmp_path, state)
    file.write_bytes(file.read_bytes()[:-2000])
    assert "truncated or damaged" in refusal(f"{ARCH}/{file}")
    file = saved(tmp_path, rest())
    assert "no state dict: it has epoch, optimizer, args" in refusal(f"{ARCH}/{file}")
