"""Prompt learning against the text tower itself, and LMPT's embedding loss against plain loops."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.backbones import Backbone
from benchmarks.datasets.base import DataSet
from benchmarks.errors import NotApplicable
from benchmarks.tiny import tiny_backbone, tiny_data, tiny_task
from methods.base import Task
from methods.lmpt import Lmpt, PromptClassifier, embedding_loss, mean_direction
from methods.parts.prompts import PromptLearner, text_words

# One to a dozen tokens. Each begins with a known word: before one that is spelt in bytes, a
# sentence has a token for the space that a name on its own has not.
NAMES = ("drisobir", "blue circle with dots", "a", "cyan Zz 9, triangle")


def named(names: tuple[str, ...] = NAMES) -> DataSet:
    return dataclasses.replace(
        tiny_data(), texts=dataclasses.replace(tiny_data().texts, class_names=names)
    )


def embedded(backbone: Backbone, words: str) -> Tensor:
    """(n, W) token embeddings of words, without start and end."""
    model: Any = backbone.model
    ids = torch.tensor(backbone.tokenizer.encode(words))
    return getattr(model, "text", model).token_embedding(ids).detach()


def separate_text_tower(**text: Any) -> Backbone:
    """A backbone of open_clip's other class of models, which holds a text tower in `.text`."""
    tokenizer = tiny_backbone().tokenizer
    torch.manual_seed(0)
    model = open_clip.CustomTextCLIP(
        embed_dim=16,
        vision_cfg={"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16},
        text_cfg={
            "context_length": tokenizer.context_length,
            "vocab_size": tokenizer.vocab_size,
            "width": 32,
            "heads": 2,
            "layers": 2,
            **text,
        },
    )
    return dataclasses.replace(tiny_backbone(), model=model.requires_grad_(False).eval())


BACKBONES = {
    "one model": tiny_backbone,
    "separate text tower": separate_text_tower,
    "projection with bias": lambda: separate_text_tower(proj_bias=True),
}


@pytest.mark.parametrize("build", BACKBONES.values(), ids=BACKBONES)
def test_context_of_words_gives_the_features_of_the_sentence(build):
    backbone = build()
    task, _ = tiny_task(data=named(), backbone=backbone)
    words = embedded(backbone, "a photo of")
    learner = PromptLearner(task, len(words), class_specific=False)
    with torch.no_grad():
        learner.context.copy_(words[None])
        ours = learner()
    theirs = backbone.encode_text([f"a photo of {name}" for name in NAMES])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert float((theirs[0] - theirs[1]).abs().max()) > 0.01  # the names do matter


def test_class_specific_contexts_go_to_their_own_class():
    task, _ = tiny_task(data=named())
    openings = ("a photo of", "an image of", "a drawing of", "a picture of")
    learner = PromptLearner(task, 3, class_specific=True)
    with torch.no_grad():
        learner.context.copy_(torch.stack([embedded(task.backbone, o) for o in openings]))
        ours = learner()
    sentences = [f"{opening} {name}" for opening, name in zip(openings, NAMES, strict=True)]
    theirs = task.backbone.encode_text(sentences)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_shapes_and_what_is_drawn_for_whom():
    task, _ = tiny_task()
    own = PromptLearner(task, 5, class_specific=True)
    shared = PromptLearner(task, 5, class_specific=False)
    assert own.context.shape == (4, 5, 32) and shared.context.shape == (1, 5, 32)
    assert [name for name, _ in own.named_parameters()] == ["context"] == list(own.state_dict())
    assert own().shape == shared().shape == (4, 16)
    torch.testing.assert_close(own().norm(dim=-1), torch.ones(4))
    assert float(own.context.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert not torch.equal(own.context[0], own.context[1])
    again, other = (PromptLearner(tiny_task(s)[0], 5, class_specific=False) for s in (0, 1))
    assert torch.equal(shared.context, again.context)
    assert not torch.equal(shared.context, other.context)


def test_the_gradient_reaches_the_context_alone():
    task, _ = tiny_task(data=named())
    learner = PromptLearner(task, 2, class_specific=True)
    (learner() * torch.randn(4, 16)).sum().backward()
    assert bool((learner.context.grad.abs().amax(-1) > 0).all())  # every vector of every class
    assert all(p.grad is None for p in task.backbone.model.parameters())


def test_words_are_contexts_and_names_without_start_end_and_padding():
    task, _ = tiny_task(data=named())
    learner = PromptLearner(task, 3, class_specific=True)
    embeddings, mask = learner.words()
    for c, name in enumerate(NAMES):
        expected = torch.cat([learner.context[c], embedded(task.backbone, name)])
        assert torch.equal(embeddings[c][mask[c]], expected)


def test_words_of_frozen_texts():
    task, _ = tiny_task()
    texts = ["a", "blue circle with dots", "Zz 9"]
    embeddings, mask = text_words(task, texts)
    for row, keep, text in zip(embeddings, mask, texts, strict=True):
        assert torch.equal(row[keep], embedded(task.backbone, text))


def test_names_that_leave_no_room_are_not_applicable():
    room = tiny_backbone().tokenizer.context_length  # start and end included
    fits = ("q" * (room - 2 - 5), *NAMES[1:])
    assert PromptLearner(tiny_task(data=named(fits))[0], 5, class_specific=False)().shape == (4, 16)
    too_long = ("q" * (room - 2 - 4), *NAMES[1:])
    with pytest.raises(NotApplicable, match="class names take"):
        PromptLearner(tiny_task(data=named(too_long))[0], 5, class_specific=False)


@pytest.mark.parametrize(
    "text",
    [{"embed_cls": True}, {"pool_type": "last"}, {"no_causal_mask": True}],
    ids=["class token (CoCa)", "last token (SigLIP)", "not causal"],
)
def test_other_text_towers_are_not_applicable(text):
    task, _ = tiny_task(backbone=separate_text_tower(**text))
    with pytest.raises(NotApplicable, match="tiny"):
        PromptLearner(task, 2, class_specific=False)


# ---- the classifier -----------------------------------------------------------------------------


def test_logits_are_scaled_cosines_and_follow_the_prompts():
    task, test = tiny_task()
    classifier = PromptClassifier(PromptLearner(task, 2, class_specific=True), task)
    batch = test.batch(np.arange(5), needs="features")

    def expected() -> Tensor:
        return task.backbone.logit_scale * batch.features @ classifier.prompts().T

    with torch.no_grad():
        torch.testing.assert_close(classifier.eval()(batch), expected())
        for _ in range(2):
            torch.testing.assert_close(classifier.train()(batch), expected())
            classifier.prompts.context.add_(1.0)  # as an optimiser's step does after the forward
        torch.testing.assert_close(classifier.eval()(batch), expected())


# ---- LMPT's embedding loss ----------------------------------------------------------------------


def test_dot_product_of_mean_directions_is_the_mean_cosine_of_all_pairs():
    embeddings, mask = torch.randn(2, 6, 8), torch.zeros(2, 6, dtype=torch.bool)
    mask[0, 1:4] = mask[1, 1:6] = True
    means = mean_direction(embeddings, mask)
    pairs = itertools.product(embeddings[0][mask[0]], embeddings[1][mask[1]])
    cosines = [float(F.cosine_similarity(a, b, dim=0)) for a, b in pairs]
    assert len(cosines) == 15
    assert float(means[0] @ means[1]) == pytest.approx(sum(cosines) / 15, abs=1e-6)


def test_a_text_without_words_has_no_direction():
    embeddings, mask = torch.randn(1, 4, 8), torch.zeros(1, 4, dtype=torch.bool)
    assert torch.equal(mean_direction(embeddings, mask), torch.zeros(1, 8))


LABELS = torch.tensor([0, 2, 2, 1, 0])
COUNTS = torch.tensor([40.0, 9.0, 2.0])


def directions(seed: int, n: int) -> Tensor:
    rows = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(rows, dim=-1)


@pytest.mark.parametrize("sign", ["pull", "code"])
def test_embedding_loss_equals_a_plain_loop(sign):
    texts, prompts = directions(1, 5), directions(2, 3)
    margins = 0.2 * COUNTS.double() ** -0.25
    weights = COUNTS.double() ** -2 / (COUNTS.double() ** -2).sum()
    losses = embedding_loss(texts, LABELS, prompts, margins, weights, sign)
    assert losses.shape == (5,)
    active = {1: 0, -1: 0}
    for b, y in enumerate(LABELS.tolist()):
        terms = []
        for c in range(3):
            target = 1 if c == y else -1
            cosine = sum(float(texts[b, i]) * float(prompts[c, i]) for i in range(6))
            mu = 0.2 / float(COUNTS[c]) ** 0.25
            pulled = target if sign == "pull" else -target
            hinge = max(0.0, mu - pulled * cosine)
            active[target] += hinge > 0
            omega = float(COUNTS[c]) ** -2 / sum(n**-2 for n in COUNTS.tolist())
            terms.append(omega * hinge)
        assert float(losses[b]) == pytest.approx(sum(terms) / 3, abs=1e-12)
    assert active[1] > 0 and active[-1] > 0  # both signs of the label are at work
    assert sum(active.values()) < 15  # and the hinge is off somewhere


def slope(sign: str = "pull", margin: float = 0.2, gamma: float = 2.0) -> Tensor:
    """Gradient of the mean loss with respect to the prompts."""
    prompts = directions(2, 3).requires_grad_()
    weights = COUNTS.double() ** -gamma / (COUNTS.double() ** -gamma).sum()
    margins = margin * COUNTS.double() ** -0.25
    embedding_loss(directions(1, 5), LABELS, prompts, margins, weights, sign).mean().backward()
    return prompts.grad


def test_margins_weights_and_sign_change_the_gradient():
    base = slope()
    for other in (slope(sign="code"), slope(margin=2.0), slope(gamma=0.0)):
        assert float((base - other).abs().max()) > 1e-4


def test_embedding_loss_gradient_by_finite_differences():
    texts, prompts = directions(1, 5), directions(2, 3).requires_grad_()
    margins, weights = torch.full((3,), 0.1).double(), torch.full((3,), 1 / 3).double()
    for sign in ("pull", "code"):
        torch.autograd.gradcheck(
            lambda p, sign=sign: embedding_loss(texts, LABELS, p, margins, weights, sign), prompts
        )


def test_pull_brings_a_prompt_to_its_own_text_and_code_takes_it_away():
    text = directions(1, 1)
    for sign, closer in (("pull", True), ("code", False)):
        prompts = directions(2, 2).requires_grad_()
        margins, weights = torch.full((2,), 3.0).double(), torch.ones(2).double()
        embedding_loss(text, torch.tensor([0]), prompts, margins, weights, sign).sum().backward()
        stepped = prompts.detach() - 0.1 * prompts.grad
        assert (float(text @ stepped[0]) > float(text @ prompts.detach()[0])) == closer
        assert (float(text @ stepped[1]) < float(text @ prompts.detach()[1])) == closer


def contexts_after(**fields: Any) -> Tensor:
    task, _ = tiny_task()
    method = Lmpt(epochs=2, contexts=3, lr=0.5, **fields)
    return method.fit(task).logits.prompts.context.detach()


def test_every_field_of_the_loss_changes_what_lmpt_learns():
    base = contexts_after()
    for fields in (
        {"cse_weight": 0.0},
        {"sign": "code"},
        {"gamma": 0.0},
        {"tau": 0.0},
        {"margin": 0.0},
    ):
        assert not torch.equal(base, contexts_after(**fields)), fields
    assert contexts_after(class_specific=False).shape == (1, 3, 32)


def loss_of_first_step(task: Task, method: Lmpt) -> float:
    """The mean loss of one whole-batch epoch, read off before anything has moved."""
    seen: list[Tensor] = []
    original = Tensor.backward
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "backward", lambda self: (seen.append(self.detach()), original(self)))
        method.fit(task)
    return float(seen[0])


def test_total_loss_is_the_weighted_sum_of_its_two_parts():
    task, _ = tiny_task()
    fields = {"epochs": 1, "batch_size": 64, "contexts": 3}
    total = loss_of_first_step(task, Lmpt(cse_weight=0.3, **fields))

    learner = PromptLearner(task, 3, class_specific=True)
    features, labels = task.train.features(), task.train.labels
    counts = [float(n) for n in tiny_data().counts]
    prior = torch.tensor([math.log(n / 64) for n in counts])
    logits = task.backbone.logit_scale * features @ learner().detach().T
    adjusted = F.cross_entropy(logits + prior, labels)
    texts = mean_direction(*text_words(task, list(task.texts.descriptions)))
    prompts = mean_direction(*learner.words()).detach()
    embedding = 0.0
    for y in labels.tolist():
        for c, n in enumerate(counts):
            cosine = float(texts[y] @ prompts[c])
            hinge = max(0.0, 0.2 / n**0.25 - (cosine if c == y else -cosine))
            embedding += n**-2 / sum(m**-2 for m in counts) * hinge / 4 / 64
    assert total == pytest.approx(0.7 * float(adjusted) + 0.3 * embedding, abs=1e-4)
    assert embedding > 1e-4


def test_lmpt_without_descriptions_is_not_applicable():
    texts = dataclasses.replace(tiny_data().texts, descriptions=None)
    task, _ = tiny_task(data=dataclasses.replace(tiny_data(), texts=texts))
    with pytest.raises(NotApplicable, match="descriptions"):
        Lmpt(epochs=1).fit(task)
