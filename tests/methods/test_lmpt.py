"""LMPT's embedding loss against loops over token pairs, and the method built on it."""

from __future__ import annotations

import dataclasses
import itertools
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from benchmarks.conformance.tiny import tiny_backbone, tiny_data, tiny_task
from benchmarks.datasets.base import DataSet
from benchmarks.errors import NotApplicable
from methods.base import Task
from methods.coop import CoOp
from methods.lmpt import EmbeddingLoss, Lmpt
from methods.parts.text.prompts import PromptLearner
from methods.parts.text.text_tower import mean_direction
from tests.methods.double import precise_task

pytestmark = pytest.mark.usefixtures("short_calibration")

KINDS = pytest.mark.parametrize("kind", ["single", "multi"])
SIGNS = pytest.mark.parametrize("sign", ["pull", "code"])


def tokens_of(text: str) -> np.ndarray:
    """(n, W) embeddings of a text's tokens, without start, end and padding."""
    backbone: Any = tiny_backbone()
    return backbone.model.token_embedding(torch.tensor(backbone.tokenizer.encode(text))).numpy()


def text_of(data: DataSet, b: int) -> str:
    """The text of training image `b`."""
    if data.task == "multi":
        return data.train.captions[b]
    return data.texts.descriptions[data.train.labels[b]]


def mean_cosine(a: np.ndarray, b: np.ndarray) -> float:
    pairs = list(itertools.product(a.tolist(), b.tolist()))
    total = 0.0
    for x, y in pairs:
        dot = sum(i * j for i, j in zip(x, y, strict=True))
        total += dot / math.sqrt(sum(i * i for i in x) * sum(j * j for j in y))
    return total / len(pairs)


def term(data: DataSet, b: int, c: int, cosine: float, fields: dict[str, Any]) -> float:
    """omega_c * factor * relu(mu_c - y_bc * cos_bc)."""
    n, images = int(data.counts[c]), len(data.train)
    labels = data.train.labels
    shows = bool(labels[b, c]) if labels.ndim == 2 else labels[b] == c
    y = (1 if shows else -1) * (1 if fields["sign"] == "pull" else -1)
    hinge = max(0.0, fields["margin"] / n**0.25 - y * cosine)
    gamma = fields["gamma"]
    omega = n**-gamma / sum(int(m) ** -gamma for m in data.counts)
    if fields["balanced"]:
        omega *= images / (2 * (n if shows else images - n))
    return omega * hinge


@KINDS
@SIGNS
@pytest.mark.parametrize("balanced", [False, True])
def test_the_loss_equals_loops_over_images_classes_and_token_pairs(kind, sign, balanced):
    task, _ = tiny_task(kind=kind)
    data = tiny_data(kind)
    learner = PromptLearner(task, 2, class_specific=True)
    with torch.no_grad():
        learner.context.mul_(20).add_(0.1)  # cosines on either side of the margin
    ours = EmbeddingLoss(task, 0.2, 1.5, sign=sign, balanced=balanced)
    index = torch.tensor([0, 40, 41, 63])
    directions = learner.direction()
    losses = ours(directions, task.train.labels[index], index)
    contexts = learner.context.detach().numpy()
    prompts = [
        np.concatenate([contexts[c], tokens_of(f"{name}.")])
        for c, name in enumerate(data.texts.class_names)
    ]
    fields = {"margin": 0.2, "gamma": 1.5, "sign": sign, "balanced": balanced}
    for b, loss in zip(index.tolist(), losses.tolist(), strict=True):
        text = tokens_of(text_of(data, b))
        expected = sum(
            term(data, b, c, mean_cosine(text, prompt), fields) for c, prompt in enumerate(prompts)
        )
        assert loss == pytest.approx(expected, rel=1e-4)


# ---- the hinge ----------------------------------------------------------------------------------


def gradient(task: Task, scale: float = 1.0, **fields: Any) -> Tensor:
    """Gradient of the mean loss over the training images with respect to the prompts' words."""
    settings: dict[str, Any] = {"margin": 0.2, "gamma": 2.0, "sign": "pull", "balanced": True}
    settings |= fields
    loss = EmbeddingLoss(
        task, settings["margin"], settings["gamma"],
        sign=settings["sign"], balanced=settings["balanced"],
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    prompts = (scale * torch.randn(4, 32, generator=generator)).requires_grad_()
    everything = torch.arange(len(task.train))
    loss(prompts, task.train.labels, everything).mean().backward()
    return prompts.grad


@KINDS
def test_margin_weights_sign_and_balance_change_the_gradient(kind):
    task, _ = tiny_task(kind=kind)
    base = gradient(task)
    for fields in ({"margin": 2.0}, {"gamma": 0.0}, {"sign": "code"}, {"balanced": False}):
        assert float((base - gradient(task, **fields)).abs().max()) > 1e-4, fields


@SIGNS
def test_the_gradient_by_finite_differences(sign):
    task, _ = tiny_task(kind="multi")
    loss = EmbeddingLoss(task, 0.2, 1.0, sign=sign, balanced=True)
    loss._texts, loss.weights, loss.margins, loss._factors = (
        x.double() for x in (loss._texts, loss.weights, loss.margins, loss._factors)
    )
    index = torch.arange(5)
    prompts = torch.randn(4, 32, dtype=torch.float64).requires_grad_()
    torch.autograd.gradcheck(lambda p: loss(p, task.train.labels[index], index), prompts)


@KINDS
def test_pull_moves_prompts_towards_the_texts_of_their_class_and_code_away(kind):
    task, _ = tiny_task(kind=kind)
    data = tiny_data(kind)
    texts = np.array([tokens_of(text_of(data, b)).mean(0) for b in range(64)])
    shown = data.train.labels if kind == "multi" else np.eye(4)[data.train.labels]
    own = np.stack([texts[shown[:, c] == 1].mean(0) for c in range(4)])
    others = np.stack([texts[shown[:, c] == 0].mean(0) for c in range(4)])
    for sign, nearer in (("pull", 1), ("code", -1)):
        # A margin that no term reaches.
        step = -gradient(task, scale=0.01, margin=9.0, sign=sign).numpy()
        assert bool((nearer * (step * (own - others)).sum(1) > 0).all())


def test_balanced_terms_weigh_the_same_and_negatives_dominate_a_plain_mean():
    """With every term active at the same value, a class's loss is its share."""
    task, _ = tiny_task(kind="multi")
    counts, everything = task.counts.double(), torch.arange(64)
    flat = torch.zeros(4, 32)  # every cosine 0, every hinge the margin
    for balanced in (True, False):
        loss = EmbeddingLoss(task, 1.0, 0.0, sign="pull", balanced=balanced)
        loss.margins = torch.ones(4)
        targets = loss._targets(task.train.labels)
        terms = torch.where(targets > 0, *loss._factors) * loss._hinge(flat, targets, everything)
        positive = (terms * (targets > 0)).mean(0).double()
        negative = (terms * (targets < 0)).mean(0).double()
        if balanced:
            torch.testing.assert_close(positive, torch.full((4,), 0.5, dtype=torch.float64))
            torch.testing.assert_close(negative, torch.full((4,), 0.5, dtype=torch.float64))
        else:
            torch.testing.assert_close(
                negative / positive, (64 - counts) / counts, rtol=1e-5, atol=0
            )


@KINDS
@SIGNS
def test_both_kinds_of_terms_are_active_and_the_margin_deactivates_some(kind, sign):
    """Shares counted by hand, for prompts where neither is 0 or 1."""
    task, _ = tiny_task(kind=kind)
    data = tiny_data(kind)
    learner = PromptLearner(task, 4, class_specific=True)
    with torch.no_grad():  # two classes' contexts: texts of their own and one that is not
        for c, context in enumerate(learner.context[:2]):
            shown = data.train.labels[:, c] if kind == "multi" else data.train.labels == c
            near, far = (text_of(data, int(np.flatnonzero(shown == v)[0])) for v in (1, 0))
            for i, text in enumerate((near, near, near, far)):
                context[i] = torch.from_numpy(tokens_of(text).mean(0))
    margin = 0.35
    shares = EmbeddingLoss(task, margin, 2.0, sign=sign, balanced=True).active(learner)
    active: dict[bool, list[bool]] = {True: [], False: []}
    directions = learner.direction().detach()
    for b in range(64):
        text = tokens_of(text_of(data, b))
        unit = (text / np.linalg.norm(text, axis=1, keepdims=True)).mean(0)
        for c in range(4):
            label = data.train.labels[b]
            shows = bool(label[c]) if kind == "multi" else bool(label == c)
            y = (1 if shows else -1) * (1 if sign == "pull" else -1)
            mu = margin / float(data.counts[c]) ** 0.25
            active[shows].append(mu - y * float(unit @ directions[c].numpy()) > 0)
    expected = [sum(active[shows]) / len(active[shows]) for shows in (True, False)]
    assert list(shares) == pytest.approx(expected)
    assert all(share > 0 for share in shares) and min(shares) < 1


def test_a_class_without_training_images_has_no_weight():
    task, _ = tiny_task()
    task.counts = torch.tensor([40.0, 0.0, 20.0, 4.0])
    loss = EmbeddingLoss(task, 0.2, 2.0, sign="pull", balanced=True)
    assert float(loss.weights[1]) == 0 and float(loss.weights.sum()) == pytest.approx(1)


def test_a_text_without_words_has_no_direction():
    embeddings, mask = torch.randn(1, 4, 8), torch.zeros(1, 4, dtype=torch.bool)
    assert torch.equal(mean_direction(embeddings, mask), torch.zeros(1, 8))


# ---- the method ---------------------------------------------------------------------------------


def logits_of(method: Lmpt | CoOp, kind: str) -> Tensor:
    task, test = tiny_task(kind=kind)
    module = method.fit(task).logits
    with torch.no_grad():
        return module(test.batch(np.arange(16), needs="features"))


@KINDS
@pytest.mark.parametrize("class_specific", [False, True])
def test_without_embedding_loss_and_adjustment_it_is_coop(kind, class_specific):
    same: dict[str, Any] = {
        "class_specific": class_specific, "epochs": 2, "batch_size": 16, "lr": 0.1,
        "weight_decay": 1e-4, "contexts": 3, "loss": "bce",
    }  # fmt: skip
    ours = logits_of(Lmpt(cse_weight=0.0, tau=0.0, **same), kind)
    assert torch.equal(ours, logits_of(CoOp(**same), kind))


FEW_STEPS: dict[str, Any] = {"epochs": 3, "batch_size": 32, "lr": 1.0, "contexts": 3}


@cache
def with_defaults(kind: str) -> Tensor:
    return logits_of(Lmpt(**FEW_STEPS), kind)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        *[("single", f) for f in ({"cse_weight": 0.0}, {"tau": 0.0}, {"terms": "mean"})],
        *[("multi", f) for f in ({"cse_weight": 0.0}, {"loss": "bce"}, {"db_neg_scale": 5.0})],
        *[("multi", f) for f in ({"db_mu": 0.6}, {"terms": "mean"}, {"sign": "code"})],
        *[("multi", f) for f in ({"gamma": 0.0}, {"margin": 0.0})],
    ],
)
def test_every_field_of_the_loss_changes_the_result(kind, fields):
    assert not torch.equal(with_defaults(kind), logits_of(Lmpt(**FEW_STEPS, **fields), kind))


@KINDS
def test_the_total_is_the_weighted_sum_of_its_two_parts(kind, double):
    """One step with the whole training set as its batch moves the contexts by their gradients."""
    contexts = {}
    for w in (0.0, 0.3, 1.0):
        task, _ = precise_task(kind=kind)
        method = Lmpt(cse_weight=w, epochs=1, batch_size=64, contexts=3, lr=0.01, weight_decay=0.0)
        contexts[w] = method.fit(task).logits.prompts.context.detach()
    expected = 0.7 * contexts[0.0] + 0.3 * contexts[1.0]
    torch.testing.assert_close(contexts[0.3], expected, atol=1e-12, rtol=0)
    assert float((contexts[0.0] - contexts[1.0]).abs().max()) > 1e-5


@KINDS
def test_the_record_says_how_many_terms_were_active(kind):
    task, _ = tiny_task(kind=kind)
    Lmpt(epochs=1, contexts=3).fit(task)
    (remark,) = task.details
    assert "active terms of the embedding loss" in remark and remark.count("%") == 4
    plain, _ = tiny_task(kind=kind)
    Lmpt(epochs=1, contexts=3, cse_weight=0.0).fit(plain)
    assert plain.details == []


@pytest.mark.parametrize(("kind", "missing"), [("single", "descriptions"), ("multi", "captions")])
def test_without_texts_it_is_not_applicable_unless_they_are_not_needed(kind, missing):
    data = tiny_data(kind)
    if kind == "single":
        data = dataclasses.replace(data, texts=dataclasses.replace(data.texts, descriptions=None))
    else:
        data = dataclasses.replace(data, train=dataclasses.replace(data.train, captions=None))
    with pytest.raises(NotApplicable, match=missing):
        Lmpt(epochs=1).fit(tiny_task(data=data)[0])
    Lmpt(epochs=1, contexts=2, cse_weight=0.0).fit(tiny_task(data=data)[0])


def test_captions_teach_a_prompt_what_a_name_does_not_say():
    """The embedding loss alone, without any image, ranks the captions by class."""
    task, _ = tiny_task(kind="multi")
    method = Lmpt(cse_weight=1.0, gamma=0.0, epochs=30, batch_size=16, contexts=3, lr=3.0)
    labels = task.train.labels.numpy()
    captions = torch.stack([torch.from_numpy(tokens_of(t)).mean(0) for t in task.train.captions])

    def score(prompts: PromptLearner) -> float:
        scores = captions @ prompts.direction().detach().T
        return float(average_precision_score(labels, scores, average="macro"))

    before = score(PromptLearner(task, 3, class_specific=True))
    after = score(method.fit(task).logits.prompts)
    assert after > before + 0.2
