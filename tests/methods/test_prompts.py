"""Prompt learning and CoOp against the text tower."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor

from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_backbone, tiny_data, tiny_task
from benchmarks.datasets.base import DataSet
from benchmarks.errors import NotApplicable, UserError
from methods.base import Task
from methods.coop import CoOp
from methods.parts.losses.multi_label.bce import binary_cross_entropy
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.text.prompts import PromptClassifier, PromptLearner
from methods.parts.text.text_tower import words
from tests.methods.double import in_double, precise_task

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
    """A backbone of open_clip's other model class, which has its text tower in `.text`."""
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


@pytest.mark.numeric
@pytest.mark.parametrize("build", BACKBONES.values(), ids=BACKBONES)
def test_context_of_words_gives_the_features_of_the_sentence(build, double):
    backbone = in_double(build())
    task, _ = tiny_task(data=named(), backbone=backbone)
    opening = embedded(backbone, "a photo of")
    learner = PromptLearner(task, len(opening), class_specific=False)
    with torch.no_grad():
        learner.context.copy_(opening[None])
        ours = learner()
    theirs = backbone.encode_text([f"a photo of {name}." for name in NAMES])
    torch.testing.assert_close(ours.float(), theirs, atol=2e-7, rtol=0)
    assert float((theirs[0] - theirs[1]).abs().max()) > 0.01  # the names matter


@pytest.mark.numeric
def test_class_specific_contexts_go_to_their_own_class(double):
    task, _ = precise_task(data=named())
    openings = ("a photo of", "an image of", "a drawing of", "a picture of")
    learner = PromptLearner(task, 3, class_specific=True)
    with torch.no_grad():
        learner.context.copy_(torch.stack([embedded(task.backbone, o) for o in openings]))
        ours = learner()
    sentences = [f"{opening} {name}." for opening, name in zip(openings, NAMES, strict=True)]
    theirs = task.backbone.encode_text(sentences)
    torch.testing.assert_close(ours.float(), theirs, atol=2e-7, rtol=0)


POSITIONS = {
    "end": "a photo of {}.",
    "middle": "a {} photo of.",  # of an odd number of vectors, more follow
    "front": "{} a photo of.",
}


@pytest.mark.numeric
@pytest.mark.parametrize("class_specific", [False, True])
@pytest.mark.parametrize("position", POSITIONS)
def test_a_context_that_starts_at_words_is_the_sentence_with_the_name_in_its_place(
    position, class_specific, double
):
    task, test = precise_task(data=named())
    method = CoOp(
        init="a photo of", position=position, class_specific=class_specific, lr=0.0, epochs=1
    )
    predictor = method.fit(task)
    assert predictor.trainable_params == 3 * 32 * (4 if class_specific else 1)
    batch = test.batch(np.arange(16), needs="features")
    with torch.no_grad():
        ours = predictor.logits(batch)
    sentences = [POSITIONS[position].format(name) for name in NAMES]
    theirs = (
        task.backbone.logit_scale * batch.features @ task.backbone.encode_text(sentences).T.double()
    )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_a_context_that_starts_at_no_words_is_refused():
    with pytest.raises(UserError, match="init: ' ' has no words"):
        CoOp(init=" ").fit(tiny_task()[0])


def test_shapes_and_initial_values():
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


def test_only_the_context_gets_a_gradient():
    task, _ = tiny_task(data=named())
    learner = PromptLearner(task, 2, class_specific=True)
    (learner() * torch.randn(4, 16)).sum().backward()
    assert bool((learner.context.grad.abs().amax(-1) > 0).all())  # every vector of every class
    assert all(p.grad is None for p in task.backbone.model.parameters())


@pytest.mark.parametrize("class_specific", [False, True])
def test_the_direction_of_a_prompt_is_the_mean_over_its_contexts_and_words(class_specific):
    task, _ = tiny_task(data=named())
    learner = PromptLearner(task, 3, class_specific=class_specific)
    directions = learner.direction()
    assert directions.shape == (4, 32)
    for c, name in enumerate(NAMES):
        context = learner.context[c if class_specific else 0]
        tokens = torch.cat([context, embedded(task.backbone, f"{name}.")])
        unit = tokens / tokens.norm(dim=-1, keepdim=True)
        torch.testing.assert_close(directions[c], unit.mean(0))


def test_words_of_frozen_texts():
    texts = ["a", "blue circle with dots", "Zz 9"]
    embeddings, mask = words(tiny_backbone(), texts)
    for row, keep, text in zip(embeddings, mask, texts, strict=True):
        assert torch.equal(row[keep], embedded(tiny_backbone(), text))


def test_names_that_leave_no_room_are_not_applicable():
    room = tiny_backbone().tokenizer.context_length - 1  # start and end included, the full stop not
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


def classifier_of(task: Task) -> PromptClassifier:
    loss = cross_entropy if task.kind == "single" else binary_cross_entropy
    return PromptClassifier(PromptLearner(task, 2, class_specific=True), task, loss)


def test_logits_are_scaled_cosines_and_follow_the_prompts():
    task, test = tiny_task()
    classifier = classifier_of(task)
    batch = test.batch(np.arange(5), needs="features")

    def expected() -> Tensor:
        return task.backbone.logit_scale * batch.features @ classifier.prompts().T

    with torch.no_grad():
        torch.testing.assert_close(classifier.eval()(batch), expected())
        for _ in range(2):
            torch.testing.assert_close(classifier.train()(batch), expected())
            classifier.prompts.context.add_(1.0)  # as an optimiser's step does after the forward
        torch.testing.assert_close(classifier.eval()(batch), expected())


def test_multi_label_logits_are_a_positive_multiple_of_the_cosines_and_a_shift():
    task, test = tiny_task(kind="multi")
    classifier = classifier_of(task).eval()
    batch = test.batch(np.arange(16), needs="features")
    with torch.no_grad():
        logits, cosines = classifier(batch), batch.features @ classifier.prompts().T
    slopes = (logits - logits.mean(0)) / (cosines - cosines.mean(0))
    torch.testing.assert_close(slopes, slopes[0, 0].expand(16, 4), rtol=0.02, atol=0)
    assert float(slopes[0, 0]) > 0


# ---- CoOp ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_coop_learns_what_its_training_images_show(kind):
    task, _ = tiny_task(kind=kind)
    start = dict(contexts=4, class_specific=True, batch_size=16)
    before, after = (
        CoOp(epochs=e, lr=lr, **start).fit(task).logits.eval() for e, lr in ((1, 0.0), (20, 0.1))
    )
    everything = task.train.batch(np.arange(64), needs="features")
    loss = cross_entropy if kind == "single" else binary_cross_entropy
    with torch.no_grad():
        losses = [
            float(loss(module(everything), task.train.labels, everything).mean())
            for module in (before, after)
        ]
    assert losses[1] < losses[0] - 0.01


def test_coop_trains_shared_contexts_or_those_of_each_class():
    task, _ = tiny_task()
    for class_specific, contexts in ((False, 1), (True, 4)):
        predictor = CoOp(epochs=1, class_specific=class_specific).fit(task)
        assert predictor.trainable_params == contexts * 16 * 32
    task, _ = tiny_task(kind="multi")
    assert CoOp(epochs=1).fit(task).trainable_params == 16 * 32 + 4 + 1  # biases and a scale


def test_coop_uses_the_configured_multi_label_loss():
    task, test = tiny_task(kind="multi")
    batch = test.batch(np.arange(16), needs="features")
    bce, db = (CoOp(loss=name, epochs=1, lr=0.1).fit(task).logits for name in ("bce", "db"))
    with torch.no_grad():
        assert not torch.allclose(bce(batch), db(batch))
