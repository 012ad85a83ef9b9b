"""LIFT and full fine-tuning: initial state, trained parameters, and the multi-label form."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.conformance.tiny import tiny_backbone, tiny_data, tiny_task
from benchmarks.errors import NotApplicable
from methods.base import Method, Predictor
from methods.full_finetune import FullFinetune
from methods.lift import Lift
from methods.parts.image.adapters import bottleneck_rule
from methods.parts.image.finetune import AdapterKind, text_head
from methods.parts.image.vit import AdaptedViT


@pytest.mark.parametrize(
    ("classes", "expected"), [(2, 1), (24, 1), (47, 1), (48, 2), (95, 2), (96, 4)]
)
def test_bottleneck_at_the_edges_of_the_rule(classes, expected):
    assert bottleneck_rule(classes, blocks=12) == expected


def test_trainable_parameters_of_a_fit():
    # Width 32, 2 blocks, 4 classes: a bottleneck of 1. Norm 64, down 33, up 64, scale 1; head 128.
    task, _ = tiny_task()
    assert Lift(epochs=1).fit(task).trainable_params == 2 * (64 + 33 + 64 + 1) + 4 * 32
    assert Lift(epochs=1, bottleneck=3).fit(task).trainable_params == 2 * (64 + 99 + 128 + 1) + 128


def test_before_the_first_step_it_is_the_frozen_tower_and_the_projected_names():
    task, test = tiny_task()
    batch = test.batch(np.arange(len(test)), needs="images")
    logits = Lift(epochs=1, lr=0.0).fit(task).logits(batch).detach()
    visual = tiny_backbone().model.visual
    tokens = visual.transformer(visual._embeds(batch.images))
    pooled = F.normalize(visual.ln_post(tokens[:, 0]), dim=-1)
    names = [f"a photo of {name}." for name in task.texts.class_names]  # one template, as in LIFT
    texts = tiny_backbone().encode_text(names)
    weight = F.normalize(texts @ visual.proj.T, dim=-1)
    torch.testing.assert_close(logits, 25 * pooled @ weight.T, atol=1e-4, rtol=0)


# ---- every kind, and full fine-tuning -----------------------------------------------------------


def seen(method: Method, **world: Any) -> tuple[Predictor, Tensor]:
    """A fitted predictor and its test logits."""
    task, test = tiny_task(**world)
    predictor = method.fit(task)
    with torch.no_grad():
        return predictor, predictor.logits(test.batch(np.arange(len(test)), needs="images"))


@pytest.mark.parametrize("trained", ["tower", "blocks"])
def test_full_fine_tuning_starts_like_a_head_on_the_frozen_tower(trained):
    _, frozen = seen(Lift(adapter="none", epochs=1, lr=0.0))
    _, full = seen(FullFinetune(trained=trained, epochs=1, lr=0.0))
    assert torch.equal(full, frozen)
    _, full = seen(FullFinetune(trained=trained, epochs=1))
    assert not torch.allclose(full, frozen, atol=1e-3)


def test_full_fine_tuning_trains_the_part_of_the_tower_that_the_head_reads():
    visual: Any = tiny_backbone().model.visual
    sizes = {name: p.numel() for name, p in visual.named_parameters() if name != "proj"}
    whole, _ = seen(FullFinetune(epochs=1))
    assert whole.trainable_params == sum(sizes.values()) + 4 * 32
    blocks, _ = seen(FullFinetune(trained="blocks", epochs=1))
    inside = sum(numel for name, numel in sizes.items() if "resblocks" in name)
    assert blocks.trainable_params == inside + 4 * 32
    for name, parameter in whole.logits.tower._tower[0].named_parameters():
        assert torch.equal(parameter, visual.get_parameter(name)) == (name == "proj"), name


@pytest.mark.parametrize("kind", get_args(AdapterKind))
def test_every_kind_trains(kind):
    start, before = seen(Lift(adapter=kind, bottleneck=4, epochs=1, lr=0.0))
    trained, after = seen(Lift(adapter=kind, bottleneck=4, epochs=2, batch_size=16))
    assert trained.trainable_params == start.trainable_params
    assert not torch.allclose(before, after, atol=1e-3)
    if kind != "none":
        pairs = zip(start.logits.tower.parameters(), trained.logits.tower.parameters(), strict=True)
        assert all(not torch.equal(a, b) for a, b in pairs)


def test_a_loss_for_other_tasks_is_not_applicable():
    with pytest.raises(NotApplicable):
        seen(Lift(loss="bce", epochs=1))
    with pytest.raises(NotApplicable):
        seen(Lift(loss="la", epochs=1), data=tiny_data("multi"))


# ---- multi-label --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [Lift(lr=0.0, epochs=1), FullFinetune(lr=0.0, epochs=1)])
def test_multi_label_training_starts_at_the_log_odds_of_each_class(method):
    data = tiny_data("multi")
    task, _ = tiny_task(data=data)
    predictor = method.fit(task)
    batch = task.train.batch(np.arange(len(task.train)), needs="images")
    with torch.no_grad():
        means = predictor.logits(batch).mean(0).numpy()
    shares = (data.counts + 0.5) / (len(task.train) + 1)
    np.testing.assert_allclose(means, np.log(shares / (1 - shares)), atol=1e-3)


def test_the_order_of_images_in_a_class_is_that_of_the_cosines():
    """Offset and scale of the sigmoids do not change average precision."""
    _, multi = seen(Lift(lr=0.0, epochs=1), data=tiny_data("multi"))
    task, test = tiny_task(data=tiny_data("multi"))
    head = text_head(task)
    batch = test.batch(np.arange(len(test)), needs="images")
    with torch.no_grad():
        cosines = head(AdaptedViT(tiny_backbone().model.visual)(batch.images))
    for a, b in zip(multi.T, cosines.T, strict=True):
        assert a.argsort().tolist() == b.argsort().tolist()
        torch.testing.assert_close(a - a[0], b - b[0], atol=1e-4, rtol=0)


def test_the_loss_matters_on_multi_label_data():
    logits = [
        seen(Lift(loss=loss, epochs=1, lr=0.1), data=tiny_data("multi"))[1]
        for loss in ("auto", "bce", "db", "asl")
    ]
    assert torch.equal(logits[0], logits[1])
    assert not torch.allclose(logits[1], logits[2], atol=1e-4)
    assert not torch.allclose(logits[2], logits[3], atol=1e-4)
