"""The balanced asymmetric loss of LM-CLIP against the authors' code."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import GRADIENTS, Pair, against
from benchmarks.tools.parity.worlds import label_sets, long_tail, no_batch, normal, task_of
from methods.parts.losses.multi_label.bal import BalancedAsymmetric, make

IMAGES = 1142


@against(
    "damilab/lm-clip",
    "998399995a0ccf444c87f327b5688034d421bcbe",
    ["asl_loss.py"],
    differs="a sample's loss is the sum over the classes, there the mean; a negative below the "
    "clip costs nothing, there NaN; a largest logit that is not positive gives NaN, there the "
    "signs of all logits change; `bal_divisor` fixes the divisor; LM-CLIP's contrastive loss and "
    "sampler are not here",
    stand_ins="class weights are computed in the data sets' loaders and are repeated here",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Values and gradients with the powers of VOC-LT and COCO-LT, and with a fixed divisor."""
    code = theirs.definitions("asl_loss.py", "BalancedAsymmetricLossOptimized", torch=torch, nn=nn)
    counts = long_tail()
    labels = label_sets(64, len(counts))
    # Scaled cosines, as CLIP's are: all positive.
    start = 25 + 3 * normal("logits", *labels.shape)
    for name, power in (("VOC-LT", 1.35), ("COCO-LT", 1.6)):
        weights = (IMAGES / counts) ** power
        weights = weights / weights.max()
        criterion = code.BalancedAsymmetricLossOptimized(
            gamma_neg=9.8, gamma_pos=0.0, clip=0.05, eps=1e-8, pos_weight=weights,
            num_labels=len(counts), label_smoothing=0.1, return_mean=False,
        )  # fmt: skip
        largest = float(start.max())
        for kind, loss in (
            ("", make(task_of(counts), bal_power=power)),
            (", fixed divisor", BalancedAsymmetric(weights, largest)),
        ):
            both = [start.clone().requires_grad_() for _ in range(2)]
            values = [loss(both[0], labels, no_batch(64)), criterion(both[1], labels).sum(1)]
            yield Pair(f"{name}{kind}, loss of each sample", *values)
            if not kind:  # with a fixed divisor no gradient flows through it
                torch.stack(values).sum().backward()
                yield Pair(f"{name}, gradient", both[0].grad, both[1].grad, GRADIENTS)
