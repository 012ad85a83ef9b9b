"""CoOp (Zhou et al. 2022) against the authors' prompt learner and model."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.tools.checkouts import Checkout, Settings
from benchmarks.tools.parity.contract import EXACT, GRADIENTS, Pair, against
from benchmarks.tools.parity.worlds import SIDE, normal, samples, task, their_clip
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.text.prompts import Position, PromptClassifier, PromptLearner


@against(
    "KaiyangZhou/CoOp",
    "ff61507c790454bce7c5052c3ac39e60772f1f89",
    ["trainers/coop.py", "clip/__init__.py", "clip/clip.py", "clip/model.py",
     "clip/simple_tokenizer.py"],
    differs="no warm-up epoch; frozen features of unaugmented images in training",
    stand_ins="the trainer, which needs Dassl, is not run",
)  # fmt: skip
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Texts, logits, loss and gradient of the context: shared, per class, from a text, 3 places."""
    clip, models, tokens = theirs.modules("clip.clip", "clip.model", "clip.simple_tokenizer")
    module = theirs.definitions(
        "trainers/coop.py", "TextEncoder", "PromptLearner", "CustomCLIP",
        torch=torch, nn=nn, F=F, clip=clip, _tokenizer=tokens.SimpleTokenizer(),
    )  # fmt: skip
    ours, _ = task()
    images, features, labels = samples(ours, 32)
    names = list(ours.texts.class_names)
    cases: list[tuple[int, bool, str, Position]] = [
        (4, False, "", "end"), (16, False, "", "end"), (16, True, "", "end"),
        (5, False, "", "middle"), (5, True, "", "front"), (4, False, "a photo of a", "end"),
    ]  # fmt: skip
    for contexts, specific, init, position in cases:
        prompts = PromptLearner(
            ours, contexts, class_specific=specific, init=init, position=position
        )
        if not init:
            with torch.no_grad():
                prompts.context.copy_(0.3 * normal("context", *prompts.context.shape))
        classifier = PromptClassifier(prompts, ours, cross_entropy).train()
        coop = Settings(N_CTX=contexts, CTX_INIT=init, CSC=specific, CLASS_TOKEN_POSITION=position)
        settings = Settings(TRAINER=Settings(COOP=coop), INPUT=Settings(SIZE=(SIDE, SIDE)))
        model = module.CustomCLIP(settings, names, their_clip(models))
        context = model.prompt_learner.ctx
        where = f"{contexts} {'per class' if specific else 'shared'}, {init or position}"
        if init:
            yield Pair(f"{where}: start", prompts.context[0], context, EXACT)
        context.data.copy_(prompts.context.data.reshape(context.shape))
        encoded = model.text_encoder(model.prompt_learner(), model.tokenized_prompts)
        yield Pair(f"{where}: texts", prompts(), F.normalize(encoded, dim=-1))
        mine, other = classifier(features), model(images)
        yield Pair(f"{where}: logits", mine, other)
        mine, other = F.cross_entropy(mine, labels), F.cross_entropy(other, labels)
        yield Pair(f"{where}: loss", mine, other)
        gradients = torch.autograd.grad(mine + other, [prompts.context, context])
        yield Pair(
            f"{where}: gradient", gradients[0].reshape(context.shape), gradients[1], GRADIENTS
        )
