"""GLA and WiSE-FT (Zhu et al. 2023) against the authors' functions."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import EXACT, Pair, against
from benchmarks.tools.parity.worlds import normal, task
from methods.base import Batch
from methods.gla import Joint
from methods.parts.heads.temperature import balanced_weights, calibrated
from methods.parts.merging import interpolated

CLASSES, WIDTH, EACH = 50, 32, 12


@against(
    "BeierZhu/GLA",
    "efbcd6018929a62f1da4afdd1260bc2e90596ea2",
    ["GLA.FS.public/trainers/util.py", "GLA.public/src/models/modeling.py"],
    differs="unpack GLA.FS.public.zip and Code.zip in the checkout first; their temperature is "
    "within 0.1 points of confidence, ours exact; their 1,000 steps from a uniform prior do not "
    "reach the minimum of their objective, where ours is",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Confidence at the temperature, joint logits and merged weights."""
    search = theirs.definitions("GLA.FS.public/trainers/util.py", "Calibrater", torch=torch, F=F)
    merge = theirs.definitions(
        "GLA.public/src/models/modeling.py", "gla_inference", "wiseft_merge", torch=torch
    )
    labels = torch.arange(CLASSES).repeat_interleave(EACH)
    texts = F.normalize(normal("texts", CLASSES, WIDTH), dim=-1)
    noise = normal("images", len(labels), WIDTH)
    features = F.normalize(3 * texts[labels] + 0.8 * noise, dim=-1)
    logits = 100 * features @ texts.T
    weights = balanced_weights(labels, CLASSES)
    found = calibrated(lambda: [(logits, labels, weights)])
    accuracy = float(100 * (logits.argmax(1) == labels).double().mean())
    with theirs.usable():
        code = search.Calibrater(SimpleNamespace(inference=lambda _: logits), accuracy)
        _, expected = code.search_T(None, accuracy)
    mine = 100 * (logits / found).softmax(-1).amax(-1).mean()
    yield Pair("confidence at the temperature, %", mine, expected, 0.1 / accuracy)

    tuned = 4 * normal("tuned", len(labels), CLASSES)
    q, p = (normal(name, CLASSES).softmax(-1) for name in ("pre-training", "training"))
    backbone = task()[0].backbone
    joint = Joint(lambda _: tuned, backbone, 100 * texts / found, q.log() + p.log(), torch.ones(()))
    mine = joint(Batch(torch.arange(len(labels)), features, None))
    yield Pair("joint logits", mine, merge.gla_inference(logits / found, tuned, q, p))

    first, second = (nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5)) for _ in range(2))
    for module, name in ((first, "before"), (second, "after")):
        for place, parameter in module.named_parameters():
            parameter.data.copy_(normal(f"{name} {place}", *parameter.shape))
    merged = interpolated(first.state_dict(), second.state_dict(), 0.5)
    for place, value in merge.wiseft_merge(first, second).state_dict().items():
        yield Pair(f"merged {place}", merged[place], value, EXACT)
