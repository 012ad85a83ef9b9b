"""CLAP and ZS-LP (Silva-Rodríguez et al. 2024) against the authors' adapter."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.tools.checkouts import Checkout, Settings
from benchmarks.tools.parity.contract import GRADIENTS, Pair, against
from benchmarks.tools.parity.worlds import normal, samples, task
from methods.clap import TiedToTexts, zero_shot_confidence
from methods.parts.heads.text_residual import TextResidual, raw_text_features


@against(
    "jusiro/CLAP",
    "dbdf4095b3d824546474c725539b9f4efff3ca0e",
    ["trainers/adapters.py"],
    differs="no warm-up epoch; features of the image itself, theirs of 20 random views; a class "
    "without images gets the mean weight of the others, theirs 0 / 0",
    stand_ins="the trainer, which needs Dassl, is not run; the towers are our frozen features",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Weights of the penalty, logits, loss and gradient of ZS-LP and of CLAP."""
    ours, _ = task()
    _, features, labels = samples(ours, 32)
    texts = raw_text_features(ours, "names", ensemble=False)
    code = theirs.definitions(
        "trainers/adapters.py", "AdapterMethod", "CustomCLIP", torch=torch, nn=nn, F=F, np=np,
        TextEncoder=lambda clip: None, _get_base_text_features=lambda *_: (texts, None),
    )  # fmt: skip
    clip = SimpleNamespace(
        visual=nn.Identity(), dtype=torch.float32,
        logit_scale=torch.tensor(ours.backbone.logit_scale).log(),
    )  # fmt: skip
    train = ours.train.features()
    for name, constraint in (("ZS-LP", "none"), ("CLAP", "l2")):
        settings = Settings(INIT="ZS", CONSTRAINT=constraint, ENHANCED_BASE="none")
        model = code.CustomCLIP(Settings(TRAINER=Settings(ADAPTER=settings)), None, clip)
        module, trust = TextResidual(texts, scale=ours.backbone.logit_scale), None
        if constraint == "l2":
            model.adapter.init_lagrangian_multipliers(ours.train.labels, model(train).detach())
            trust = zero_shot_confidence(ours, module)
            yield Pair("weights of the penalty", trust, model.adapter.alpha_constraint)
        moved = 0.1 * texts.norm(dim=-1).mean() * normal("residual", *texts.shape)
        module.residual.data.copy_(moved)
        model.adapter.prototypes.data.copy_(texts + moved)
        mine, other = module(features), model(features.features)
        yield Pair(f"{name}: logits", mine, other)
        mine = TiedToTexts(module, trust)(mine, labels, features).mean()
        other = F.cross_entropy(other, labels)
        if constraint == "l2":
            other = other + model.adapter.zero_shot_constraint()
        yield Pair(f"{name}: loss", mine, other)
        both = [module.residual, model.adapter.prototypes]
        mine, other = torch.autograd.grad(mine + other, both)
        yield Pair(f"{name}: gradient", mine, other, GRADIENTS)
