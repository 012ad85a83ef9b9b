"""The encoder of packed prompts against open_clip's blocks on padded ones."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_backbone
from benchmarks.device import has_bf16
from methods.coop import CoOp
from methods.lmpt import Lmpt
from methods.parts.text import packing, prompt_encoder
from methods.parts.text.prompt_encoder import PromptEncoder
from methods.parts.text.text_tower import text_tower, tokenised
from tests.methods.double import precise_task

pytestmark = pytest.mark.usefixtures("short_calibration")

NAMES = ("drisobir", "blue circle with dots", "a", "cyan Zz 9, triangle", "red", "green dots")
CONTEXTS, WIDTH = 3, 32
PLANS = {  # rows at a time, bytes kept, what a bucket costs
    "at once": (4096, 2**33, 24),
    "every length": (4096, 2**33, 0),
    "chunks": (25, 2**33, 0),
    "some computed again": (25, 2**17, 10),
    "all computed again": (12, 8, 4096),
}
KINDS = pytest.mark.parametrize("class_specific", [False, True], ids=["shared", "own contexts"])


def backbone_of(dtype: torch.dtype, *, quick: bool = False, **text: Any) -> Backbone:
    """A small CLIP with a three-block text tower of another model's kind."""
    tokenizer = tiny_backbone().tokenizer
    torch.manual_seed(1)
    model = open_clip.CLIP(
        embed_dim=16,
        vision_cfg={"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16},
        text_cfg={
            "context_length": tokenizer.context_length,
            "vocab_size": tokenizer.vocab_size,
            "width": WIDTH,
            "heads": 2,
            "layers": 3,
            **text,
        },
        quick_gelu=quick,
    )
    for name, parameter in model.named_parameters():  # far from values where norms have no effect
        if "ln_" in name or name.endswith(("bias", "gamma")):
            nn.init.normal_(parameter, mean=1.0 if name.endswith("weight") else 0.3, std=0.3)
    model = model.to(dtype).requires_grad_(False).eval()
    return dataclasses.replace(tiny_backbone(), model=model)


def other_activation(dtype: torch.dtype) -> Backbone:
    backbone = backbone_of(dtype)
    for block in text_tower(backbone).transformer.resblocks:
        block.mlp.gelu = nn.Softplus()
    return backbone


TOWERS = {
    "gelu": backbone_of,
    "quickgelu": lambda dtype: backbone_of(dtype, quick=True),
    "gelu by tanh": lambda dtype: backbone_of(dtype, act_kwargs={"approximate": "tanh"}),
    "layer scale": lambda dtype: backbone_of(dtype, ls_init_value=0.5),
    "other activation": other_activation,
    "one block": lambda dtype: backbone_of(dtype, layers=1),
}


def encoder_of(backbone: Backbone, class_specific: bool, rest: int = 0) -> PromptEncoder:
    tokens, ends = tokenised(backbone, [f"{name}." for name in NAMES])
    return PromptEncoder(
        backbone,
        tokens,
        ends.tolist(),
        CONTEXTS,
        class_specific=class_specific,
        rest=rest,
        after=(ends - 1).tolist(),
    )


def contexts_of(sets: int, class_specific: bool, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(sets)
    shape = (sets, len(NAMES) if class_specific else 1, CONTEXTS, WIDTH)
    return torch.randn(shape, dtype=dtype, generator=generator).requires_grad_()


def plain(backbone: Backbone, contexts: Tensor, rest: int = 0) -> Tensor:
    """(C, D) of one set of contexts by open_clip's blocks on all 77 positions of every prompt."""
    tower: Any = text_tower(backbone)
    names = backbone.tokenizer([f"{name}." for name in NAMES])
    ends = names.argmax(-1) + CONTEXTS
    table = tower.token_embedding(names)
    prompts = []
    for words, own, end in zip(table, contexts.expand(len(NAMES), -1, -1), ends, strict=True):
        stop = int(end) - CONTEXTS - 1  # the full stop is before the end
        first, last = own[: CONTEXTS - rest], own[CONTEXTS - rest :]
        whole = torch.cat([words[:1], first, words[1:stop], last, words[stop:]])
        prompts.append(whole[: len(words)])
    x = torch.stack(prompts) + tower.positional_embedding
    x = tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask))
    return F.normalize(x[torch.arange(len(x)), ends] @ tower.text_projection, dim=-1)


def planned(monkeypatch: pytest.MonkeyPatch, rows: int, budget: int, bucket: int) -> None:
    monkeypatch.setitem(prompt_encoder.ROWS, "cpu", rows)
    monkeypatch.setattr(prompt_encoder, "BUDGET", budget)
    monkeypatch.setitem(packing.BUCKET_ROWS, "cpu", bucket)


def both(
    backbone: Backbone, contexts: Tensor, class_specific: bool, rest: int = 0
) -> list[tuple[Tensor, Tensor]]:
    """Features and the gradient of a weighted sum of them, ours and the reference."""
    target = torch.randn(len(contexts), len(NAMES), 16, dtype=contexts.dtype)
    found = []
    for features in (
        encoder_of(backbone, class_specific, rest)(contexts),
        torch.stack([plain(backbone, one, rest) for one in contexts]),
    ):
        (gradient,) = torch.autograd.grad((features * target).sum(), contexts)
        found.append((features.detach(), gradient))
    return found


@KINDS
@pytest.mark.parametrize("build", TOWERS.values(), ids=TOWERS)
def test_values_and_gradients_are_those_of_the_plain_tower(build, class_specific):
    for dtype, close in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
        contexts = contexts_of(1, class_specific, dtype)
        (ours, own), (theirs, other) = both(build(dtype), contexts, class_specific)
        torch.testing.assert_close(ours, theirs, atol=close, rtol=close)
        torch.testing.assert_close(own, other, atol=close, rtol=close)
        assert float(own.abs().amax(-1).min()) > 1e-3  # every vector of every class


@KINDS
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("sets", [1, 3])
def test_chunks_sets_and_recomputation_change_nothing(monkeypatch, plan, sets, class_specific):
    planned(monkeypatch, *plan)
    contexts = contexts_of(sets, class_specific, torch.float64)
    ours, theirs = both(backbone_of(torch.float64), contexts, class_specific)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


@KINDS
@pytest.mark.parametrize("plan", ["at once", "chunks", "some computed again"])
@pytest.mark.parametrize("rest", [1, 3])
def test_contexts_after_the_names_are_rows_of_every_class(monkeypatch, plan, rest, class_specific):
    planned(monkeypatch, *PLANS[plan])
    contexts = contexts_of(2, class_specific, torch.float64)
    ours, theirs = both(backbone_of(torch.float64), contexts, class_specific, rest)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)
    assert float(theirs[1].abs().amax(-1).min()) > 1e-3
    first = both(backbone_of(torch.float64), contexts, class_specific)[0]
    assert float((first[0] - ours[0]).abs().max()) > 0.01  # the place matters


def test_the_plans_of_the_tests_match_their_names(monkeypatch):
    parts = {}
    for name, plan in PLANS.items():
        planned(monkeypatch, *plan)
        encoder = encoder_of(backbone_of(torch.float64), True)
        encoder(contexts_of(1, True, torch.float64))
        parts[name] = encoder._plans[1][0]
    counts = {name: len(found) for name, found in parts.items()}
    assert counts["at once"] == counts["every length"] == 1 < min(counts["chunks"], 3)
    assert any(bucket.padded for bucket in parts["at once"][0].chunk.buckets)
    assert not any(bucket.padded for bucket in parts["every length"][0].chunk.buckets)
    kept = {name: {part.keep for part in found} for name, found in parts.items()}
    assert kept["chunks"] == {True} and kept["all computed again"] == {False}
    assert kept["some computed again"] == {True, False}


@KINDS
def test_the_kept_bytes_match_the_estimate(class_specific):
    encoder = encoder_of(backbone_of(torch.float32), class_specific)
    features = encoder(contexts_of(2, class_specific, torch.float32))
    rows = sum(part.chunk.rows for part in encoder._plans[2][0])
    held: dict[int, int] = {}

    def look(value: Any) -> None:
        if isinstance(value, Tensor):
            storage = value.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
        elif isinstance(value, list | tuple):
            for each in value:
                look(each)
        elif dataclasses.is_dataclass(value):
            look([getattr(value, f.name) for f in dataclasses.fields(value)])

    nodes, seen = [features.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            look(getattr(node, "kept", None))
            nodes += [following for following, _ in node.next_functions]
    reckoned = rows * encoder._text.bytes_kept(10)  # about the number of keys per query here
    # The last of the three blocks keeps less.
    assert 0.6 * reckoned < sum(held.values()) < 1.1 * reckoned


def test_without_gradients_nothing_is_kept():
    encoder = encoder_of(backbone_of(torch.float32), True)
    contexts = contexts_of(1, True, torch.float32)
    with torch.no_grad():
        assert encoder(contexts).grad_fn is None
    torch.testing.assert_close(encoder(contexts.detach()), encoder(contexts).detach())


@KINDS
def test_in_bf16_values_and_gradients_are_close(class_specific):
    if not has_bf16(torch.device("cpu")):
        pytest.skip("no matrix products in bfloat16 on this CPU")
    backbone = backbone_of(torch.float32)
    contexts = contexts_of(1, class_specific, torch.float32)
    exact, gradient = both(backbone, contexts, class_specific)[1]
    torch.manual_seed(0)
    rounded = dataclasses.replace(backbone, precision="bf16")
    near, of_near = both(rounded, contexts, class_specific)[0]
    assert float((exact - near).abs().max()) < 0.02
    assert not torch.equal(exact, near)
    torch.manual_seed(0)
    gradient = both(backbone, contexts, class_specific)[1][1]
    assert float((of_near - gradient).norm() / gradient.norm()) < 0.05


# ---- several seeds at once ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize("build", [CoOp, Lmpt])
@KINDS
def test_seeds_together_are_the_seeds_one_by_one(build, kind, class_specific, double):
    """Over 4 steps."""
    method = build(contexts=3, class_specific=class_specific, epochs=2, batch_size=32, lr=0.05)
    tasks = [precise_task(seed, kind=kind) for seed in range(2)]
    together = method.fit_many([task for task, _ in tasks])
    contexts = []
    for seed, predictor in enumerate(together):
        task, test = precise_task(seed, kind=kind)
        alone = method.fit(task)
        if isinstance(predictor, Exception):
            raise predictor
        assert predictor.fitted_together == 2 and alone.fitted_together == 1
        assert tasks[seed][0].details == task.details
        batch = test.batch(np.arange(len(test)), needs="features")
        with torch.no_grad():
            logits = predictor.logits(batch)
            torch.testing.assert_close(logits, alone.logits(batch), atol=1e-9, rtol=0)
        contexts.append(predictor.logits.prompts.context.detach())
        expected = alone.logits.prompts.context.detach()
        torch.testing.assert_close(contexts[-1], expected, atol=1e-9, rtol=0)
        assert logits.dtype == contexts[-1].dtype == torch.float64
    assert not torch.equal(contexts[0], contexts[1])
