"""LM-CLIP's balanced asymmetric loss against the authors' code."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import GRADIENTS, Pair, against
from benchmarks.tools.parity.worlds import label_sets, long_tail, no_batch, normal
from methods.parts.losses.multi_label.bal import BatchScaled, rarity_weights


@against(
    "damilab/lm-clip",
    "998399995a0ccf444c87f327b5688034d421bcbe",
    ["asl_loss.py"],
    differs="a sample's loss is the sum over the classes, there the mean; `bal_divisor` takes a "
    "fixed divisor in place of the largest logit of the batch; a negative with p <= clip costs "
    "nothing, there its factor is NaN",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Value and gradient with the settings for ViT-B/16, 64 samples of 20 classes."""
    [module] = theirs.modules("asl_loss")
    counts, labels = long_tail(), label_sets(64, 20)
    weights = rarity_weights(counts, 1.6)
    criterion = module.BalancedAsymmetricLossOptimized(
        gamma_neg=9.8, gamma_pos=0, clip=0.05, pos_weight=weights, num_labels=20,
        label_smoothing=0.1,
    )  # fmt: skip
    loss = BatchScaled(weights)
    both = [(20 + 5 * normal("logits", 64, 20)).requires_grad_() for _ in range(2)]
    values = [loss(both[0], labels, no_batch(64)).mean() / 20, criterion(both[1], labels)]
    yield Pair("loss", values[0], values[1])
    torch.stack(values).sum().backward()
    yield Pair("gradient", both[0].grad, both[1].grad, GRADIENTS)
