"""CLIP-LoRA against open_clip's own towers with merged weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from benchmarks.conformance.tiny import tiny_backbone, tiny_task
from benchmarks.errors import NotApplicable
from methods.base import Task
from methods.clip_lora import ClipLora
from methods.parts.heads import calibration
from methods.parts.heads.calibration import Calibration
from methods.parts.image.adapters import LowRank
from methods.parts.losses.multi_label.bce import binary_cross_entropy
from tests.methods.double import in_double
from tests.methods.test_prompts import named, separate_text_tower

pytestmark = pytest.mark.numeric
W = 32
"""Width of both towers of the tiny backbone."""


def merged(model: Any, updates: dict[str, Tensor], factor: float) -> dict[str, Tensor]:
    """The model's parameters, with factor * (A B)^T added to the weights of the attention."""
    found = dict(model.named_parameters())
    towers = {"images": "visual.transformer", "texts": "transformer"}
    for name, a in updates.items():
        if not name.endswith(".a"):
            continue
        ours, _, block, part, _ = name.split(".")
        where = f"{towers[ours]}.resblocks.{block}.attn.in_proj_weight"
        first = W * ["query", "key", "value"].index(part)
        whole = torch.zeros_like(found[where])
        whole[first : first + W] = factor * (a @ updates[f"{name[:-2]}.b"]).T
        found[where] = found[where] + whole
    return found


def logits_of(model: Any, parameters: dict[str, Tensor], images: Tensor, tokens: Tensor) -> Tensor:
    """(B, C) scaled cosines by open_clip's own forward pass."""
    found = functional_call(model, parameters, (images, tokens))
    return found[2] * found[0] @ found[1].T  # features of images and texts, and the scale


def in_double_task(**more: Any) -> tuple[Task, Any]:
    task, test = tiny_task(**more)
    task.backbone = in_double(tiny_backbone())
    return task, test


@pytest.mark.parametrize("encoders", ["both", "image", "text"])
def test_training_is_that_of_merged_weights_in_a_plain_loop(encoders, double):
    """AdamW with decay, and a cosine that is lowered at every step down to 1e-6."""
    task, test = in_double_task()
    method = ClipLora(
        encoders=encoders, rank=3, alpha=2.0, dropout=0.0, lr=0.02, epochs=2, batch_size=24,
        augment="none",
    )  # fmt: skip
    predictor = method.fit(task)
    found = {n: p.detach() for n, p in predictor.logits.named_parameters()}
    untrained = dataclasses.replace(method, lr=0.0, epochs=1).fit(task).logits
    start = {n: p.detach() for n, p in untrained.named_parameters()}
    towers = 2 if encoders == "both" else 1
    assert predictor.trainable_params == towers * 2 * 3 * 2 * 3 * W  # blocks, parts, A and B

    model: Any = task.backbone.model
    tokens = task.backbone.tokenizer([prompt for (prompt,) in task.prompts(ensemble=False)])
    leaves = {name: p.clone().requires_grad_() for name, p in start.items()}
    optimiser = torch.optim.AdamW(list(leaves.values()), lr=0.02, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 2 * 3, eta_min=1e-6)

    def logits(images: Tensor) -> Tensor:
        parameters = merged(model, leaves, 2.0 / 3**0.5)
        return logits_of(model, parameters, images, tokens)

    for epoch in range(2):
        order = task.epoch_order(epoch)
        for rows in np.split(order, range(24, len(order), 24)):
            images = task.train.batch(rows, needs="images").images
            optimiser.zero_grad()
            F.cross_entropy(logits(images), task.train.labels[rows]).backward()
            optimiser.step()
            schedule.step()
    for name, leaf in leaves.items():
        torch.testing.assert_close(found[name], leaf.detach(), atol=1e-7, rtol=0)
    assert max(float((found[name] - start[name]).abs().max()) for name in found) > 0.01
    batch = test.batch(np.arange(16), needs="images")
    with torch.no_grad():
        ours, theirs = predictor.logits(batch), logits(batch.images)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_before_training_it_is_zero_shot_with_one_template():
    task, test = tiny_task(data=named())  # the names are not in alphabetical order
    batch = test.batch(np.arange(16), needs="images")
    predictor = ClipLora(lr=0.0, epochs=1).fit(task)
    with torch.no_grad():
        ours = predictor.logits(batch)
    weight = task.backbone.logit_scale * task.text_features(ensemble=False)
    features = test.batch(np.arange(16), needs="features").features
    torch.testing.assert_close(ours, features @ weight.T, atol=1e-3, rtol=0)


# ---- multi-label --------------------------------------------------------------------------------


@pytest.fixture
def short_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "STEPS", 20)


def test_multi_label_training_is_that_of_merged_weights_and_a_calibration(
    double: None, short_calibration: None
) -> None:
    task, test = in_double_task(kind="multi")
    method = ClipLora(rank=3, dropout=0.0, lr=0.02, epochs=1, batch_size=24, augment="none")
    predictor = method.fit(task)
    found = dict(predictor.logits.named_parameters())
    start = dataclasses.replace(method, lr=0.0).fit(task).logits
    assert predictor.trainable_params == 2 * 2 * 3 * 2 * 3 * W + task.num_classes + 1

    model: Any = task.backbone.model
    tokens = task.backbone.tokenizer([prompt for (prompt,) in task.prompts(ensemble=False)])

    def logits(images: Tensor) -> Tensor:
        updates = {name: p for name, p in start.named_parameters() if "slots" in name}
        return logits_of(model, merged(model, updates, 1 / 3**0.5), images, tokens)

    with torch.no_grad():  # before training: zero-shot logits with a fitted scale and biases
        whole = task.train.batch(np.arange(len(task.train)), needs="images").images
        expected = Calibration(task, binary_cross_entropy, logits(whole))
    for name, value in expected.named_buffers():
        torch.testing.assert_close(getattr(start.calibration, name), value, atol=1e-5, rtol=0)
    optimiser = torch.optim.AdamW(start.parameters(), lr=0.02, weight_decay=0.01)
    steps = range(0, len(task.train), 24)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, len(steps), eta_min=1e-6)
    for rows in np.split(task.epoch_order(0), steps[1:]):
        images = task.train.batch(rows, needs="images").images
        optimiser.zero_grad()
        z, labels = start.calibration(logits(images)), task.train.labels[rows].double()
        F.binary_cross_entropy_with_logits(z, labels, reduction="none").sum(1).mean().backward()
        optimiser.step()
        schedule.step()
    assert len(found) == len(dict(start.named_parameters()))
    for name, leaf in start.named_parameters():
        torch.testing.assert_close(found[name], leaf, atol=1e-7, rtol=0)
    batch = test.batch(np.arange(16), needs="images")
    with torch.no_grad():
        ours, theirs = predictor.uncalibrated(batch), logits(batch.images)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
        calibrated = start.calibration(theirs)
        torch.testing.assert_close(predictor.logits(batch), calibrated, atol=1e-5, rtol=0)


def test_multi_label_losses_are_a_choice(short_calibration: None) -> None:
    task, test = tiny_task(kind="multi")
    batch = test.batch(np.arange(16), needs="images")
    found = [ClipLora(loss=name, epochs=1, lr=0.01).fit(task) for name in ("bce", "db", "asl")]
    with torch.no_grad():
        first, *others = (predictor.uncalibrated(batch) for predictor in found)
    assert all(float((other - first).abs().max()) > 1e-4 for other in others)


# ---- updates ------------------------------------------------------------------------------------


def test_updates_start_within_the_bound_of_the_width_and_all_differ():
    def start(seed: int) -> dict[str, Tensor]:
        predictor = ClipLora(rank=8, lr=0.0, epochs=1).fit(tiny_task(seed)[0])
        return {name: p.detach() for name, p in predictor.logits.named_parameters()}

    first, again, other = start(0), start(0), start(1)
    assert len(first) == 2 * 2 * 3 * 2
    firsts = set()
    for name, value in first.items():
        assert torch.equal(value, again[name])
        if name.endswith(".b"):
            assert not value.any()
            continue
        assert 0.95 * W**-0.5 < float(value.abs().max()) < W**-0.5
        firsts |= {float(value[0, 0]), float(other[name][0, 0])}
    assert len(firsts) == 2 * len(first) / 2


def test_dropout_is_of_the_input_and_only_in_training():
    update = LowRank(64, 64, seed=0, divisor=1.0, dropout=0.25)
    with torch.no_grad():
        update.a.copy_(torch.eye(64))
        update.b.copy_(torch.eye(64))
    x = torch.ones(100, 64)
    dropped = update.train()(x).detach()
    assert dropped.flatten().unique().tolist() == pytest.approx([0, 4 / 3])
    assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert torch.equal(update.eval()(x).detach(), x)


def test_the_dropout_of_a_method_is_that_of_its_updates():
    task, _ = tiny_task()
    plain, dropped = (
        dict(ClipLora(dropout=p, epochs=1, lr=0.01).fit(task).logits.named_parameters())
        for p in (0.0, 0.5)
    )
    assert all(not torch.equal(plain[n], dropped[n]) for n in plain if n.endswith(".b"))


def test_other_text_towers_are_not_applicable():
    task, _ = tiny_task(backbone=separate_text_tower(pool_type="last"))
    with pytest.raises(NotApplicable, match="changes the text tower, but the text tower of"):
        ClipLora().fit(task)
