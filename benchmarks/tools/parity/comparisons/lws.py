"""Learnable weight scaling (Kang et al. 2020) against the authors' classifier."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional as F

from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import GRADIENTS, Pair, against
from benchmarks.tools.parity.worlds import labels_of, long_tail, normal
from methods.lws import Scaled
from methods.parts.heads.linear_classifiers import LinearHead


@against(
    "facebookresearch/classifier-balancing",
    "f162adef63fdf592d0b8a0f6e52bc481fc08785f",
    ["models/TauNormClassifier.py", "utils.py"],
    differs="stage 1 is LIFT's training on a CLIP tower instead of a ResNet from scratch; class-"
    "balanced batches draw each image on its own, theirs in groups of four of one class",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Logits, loss and gradient of the scales of stage 2."""
    [module] = theirs.modules("models.TauNormClassifier")
    head = LinearHead(normal("weight", 20, 16))
    with torch.no_grad():
        head.bias.copy_(normal("bias", 20))
    ours, x = Scaled(head), normal("features", 64, 16)
    classifier = module.DotProduct_Classifier(20, 16)
    classifier.fc.load_state_dict({"weight": head.weight.data, "bias": head.bias.data})
    with torch.no_grad():
        for scale in (ours.scale, classifier.scales):
            scale.copy_(1 + 0.3 * normal("scale", 20))
    labels = labels_of(long_tail(), len(x))
    mine, other = ours(x), classifier(x * 16**0.5)[0]
    yield Pair("logits", mine, other)
    mine, other = F.cross_entropy(mine, labels), F.cross_entropy(other, labels)
    yield Pair("loss", mine, other)
    (mine + other).backward()
    yield Pair("gradient of the scales", ours.scale.grad, classifier.scales.grad, GRADIENTS)
