"""TaskRes (Yu et al. 2023) against the authors' model."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.tools.checkouts import Checkout, Settings
from benchmarks.tools.parity.contract import GRADIENTS, Pair, against
from benchmarks.tools.parity.worlds import normal, samples, task, their_clip
from methods.parts.heads.text_residual import TextResidual, raw_text_features


@against(
    "geekyutao/TaskRes",
    "5195359661d6bef661090c33b81aacfc7d7cc181",
    ["trainers/taskres.py", "clip/__init__.py", "clip/clip.py", "clip/model.py",
     "clip/simple_tokenizer.py"],
    differs="no warm-up epoch and no augmentation in training; no enhanced base",
    stand_ins="the trainer, which needs Dassl, is not run",
)  # fmt: skip
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Text features with their lengths, logits, loss and gradient of the residual, alpha 0.5, 1."""
    clip, models = theirs.modules("clip.clip", "clip.model")
    code = theirs.definitions(
        "trainers/taskres.py", "CUSTOM_TEMPLATES", "TextEncoder", "TaskResLearner",
        "_get_base_text_features", "CustomCLIP", torch=torch, nn=nn, F=F, clip=clip,
    )  # fmt: skip
    ours, _ = task()
    images, features, labels = samples(ours, 32)
    texts = raw_text_features(ours, "names", ensemble=False)
    for alpha in (0.5, 1.0):
        module = TextResidual(texts, scale=ours.backbone.logit_scale, alpha=alpha)
        settings = Settings(
            DATASET=Settings(NAME="Caltech101"),  # its template is "a photo of a {}."
            TRAINER=Settings(TaskRes=Settings(RESIDUAL_SCALE=alpha, ENHANCED_BASE="none")),
        )
        model = code.CustomCLIP(settings, list(ours.texts.class_names), their_clip(models))
        learner = model.prompt_learner
        if alpha == 0.5:
            yield Pair("text features", texts, learner.base_text_features)
        residual = normal("residual", *texts.shape) * texts.norm(dim=-1).mean() * 0.1
        for parameter in (module.residual, learner.text_feature_residuals):
            parameter.data.copy_(residual)
        mine, other = module(features), model(images)
        yield Pair(f"alpha {alpha:g}: logits", mine, other)
        mine, other = F.cross_entropy(mine, labels), F.cross_entropy(other, labels)
        yield Pair(f"alpha {alpha:g}: loss", mine, other)
        both = [module.residual, learner.text_feature_residuals]
        mine, other = torch.autograd.grad(mine + other, both)
        yield Pair(f"alpha {alpha:g}: gradient", mine, other, GRADIENTS)
