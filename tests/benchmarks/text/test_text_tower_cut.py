"""Features of texts without padding equal those that open_clip computes with it."""

from __future__ import annotations

import dataclasses
from typing import Any

import open_clip
import pytest
import torch
from torch.nn import functional as F

from benchmarks import device as devices
from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_backbone
from benchmarks.towers import text as text_towers

VISION = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16}
TEXT = {"context_length": 24, "vocab_size": 100, "width": 32, "heads": 2, "layers": 3}
END = 99
"""Highest token; CLIP's towers read the feature at its position."""


def clip(kind: Any = open_clip.CLIP, *, quick_gelu: bool = False, **text: object) -> Any:
    torch.manual_seed(0)
    model = kind(16, VISION, dict(TEXT, **text), quick_gelu=quick_gelu)
    return model.requires_grad_(False).eval()


def sentences(lengths: list[int]) -> torch.Tensor:
    """(n, 24) tokens, zeros after the end of each text."""
    tokens = torch.zeros(len(lengths), 24, dtype=torch.long)
    for row, length in enumerate(lengths):
        tokens[row, : length - 1] = torch.randint(1, END, (length - 1,))
        tokens[row, length - 1] = END
    return tokens


class Tokenizer:
    """Tokenizer of single letters with padding; records its inputs."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def __call__(self, texts: list[str]) -> torch.Tensor:
        self.given += texts
        tokens = torch.zeros(len(texts), 24, dtype=torch.long)
        for row, text in enumerate(texts):
            tokens[row, : len(text) + 1] = torch.tensor([ord(c) - 95 for c in text] + [END])
        return tokens


@pytest.mark.parametrize("quick_gelu", [False, True])
@pytest.mark.parametrize(
    "text",
    [{}, {"proj_bias": True}, {"proj_type": "none", "width": 16}, {"ls_init_value": 0.5}],
    ids=["plain", "linear projection", "no projection", "layer scale"],
)
def test_the_padding_changes_nothing(quick_gelu: bool, text: dict[str, object]) -> None:
    model = clip(quick_gelu=quick_gelu, **text).double()
    tokens = sentences([3, 9, 2, 24, 5])
    for part in (tokens[:3], tokens, tokens[2:3]):
        end = text_towers.ends(model, part)
        assert end is not None
        assert torch.equal(end, (part == END).long().argmax(1))
        expected = model.encode_text(part)
        found = text_towers.encode(model, part, end)
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_in_bfloat16_it_is_as_close_as_open_clip() -> None:
    if not devices.has_bf16(torch.device("cpu")):
        pytest.skip("no bfloat16 units that work")
    model, tokens = clip(), sentences([3, 9, 2, 24, 5])
    end = text_towers.ends(model, tokens)
    assert end is not None
    exact = model.encode_text(tokens)
    with torch.autocast("cpu", torch.bfloat16):
        ours = text_towers.encode(model, tokens, end).float()
        theirs = model.encode_text(tokens).float()
    apart = [float((x - exact).norm() / exact.norm()) for x in (ours, theirs)]
    assert 0 < apart[0] < max(0.01, apart[1])


def test_towers_that_see_all_tokens_are_not_cut() -> None:
    tokens = sentences([3, 9])
    whole = clip(no_causal_mask=True)
    assert text_towers.ends(whole, tokens) is None
    assert text_towers.ends(clip(pool_type="last"), tokens) is None
    assert text_towers.ends(clip(open_clip.CustomTextCLIP), tokens) is None


def test_towers_with_other_blocks_are_not_cut() -> None:
    model = clip()
    model.transformer.resblocks[1].attn = torch.nn.Identity()
    assert text_towers.ends(model, sentences([3, 9])) is None


@pytest.mark.parametrize("text", [{}, {"no_causal_mask": True}])
def test_features_are_in_the_order_of_the_texts(text: dict[str, object]) -> None:
    tokenizer = Tokenizer()
    model = clip(**text)
    backbone: Backbone = dataclasses.replace(tiny_backbone(), model=model, tokenizer=tokenizer)
    texts = ["bcdefg", "b", "xyz", "b", "cdefghijklmno", "xyz", "z"]
    features = backbone.encode_text(texts, chunk=2)
    assert sorted(tokenizer.given) == sorted(set(texts))  # equal ones are encoded once
    expected = F.normalize(model.encode_text(Tokenizer()(texts)), dim=-1)
    torch.testing.assert_close(features, expected)
    torch.testing.assert_close(features, F.normalize(features, dim=-1))
