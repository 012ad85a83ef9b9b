"""LDAM with deferred re-weighting (Cao et al. 2019) against the authors' code."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import GRADIENTS, Pair, against
from benchmarks.tools.parity.worlds import labels_of, long_tail, no_batch, normal
from methods.parts.losses.single_label.ldam import Ldam
from methods.parts.losses.single_label.ldam_drw import LdamDrw

EPOCHS = 200


@against(
    "kaidic/LDAM-DRW",
    "2536330f2afdaa65618323cb5a5850efccce762a",
    ["losses.py"],
    differs="re-weighting begins after 4/5 of the epochs; there at epoch 160 of any number",
    stand_ins="the weights of each epoch are computed in cifar_train.py inside main and are "
    "repeated here; epoch 160 of 200 is where they change",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Values and gradients for scales 25 and 30: before and after re-weighting, and without it."""
    module = theirs.definitions("losses.py", "LDAMLoss", torch=torch, nn=nn, F=F, np=np)
    counts = long_tail()
    labels, cosines = labels_of(counts, 64), normal("cosines", 64, len(counts)).tanh()
    for scale in (25.0, 30.0):
        alone = module.LDAMLoss(cls_num_list=counts.numpy(), s=scale)(cosines, labels)
        plain = Ldam(counts, scale)(scale * cosines, labels, no_batch(64)).mean()
        yield Pair(f"s = {scale:g}, without re-weighting (ldam)", plain, alone)
        for epoch in (0, 159, 160, 199):
            loss = LdamDrw(counts, scale)
            loss.at_epoch(epoch, EPOCHS)
            criterion = module.LDAMLoss(
                cls_num_list=counts.numpy(), s=scale, weight=_weights(counts, epoch)
            )
            both = [cosines.clone().requires_grad_() for _ in range(2)]
            values = [
                loss(scale * both[0], labels, no_batch(64)).mean(), criterion(both[1], labels)
            ]  # fmt: skip
            where = f"s = {scale:g}, epoch {epoch}"
            yield Pair(where, *values)
            torch.stack(values).sum().backward()
            yield Pair(f"{where}, gradient", both[0].grad, both[1].grad, GRADIENTS)


def _weights(counts: torch.Tensor, epoch: int) -> torch.Tensor:
    """(C,) inverse effective numbers from epoch 160 on, ones before; their mean is 1."""
    beta = 0.9999 if epoch >= 160 else 0.0
    weights = (1 - beta) / (1 - beta ** counts.double())
    return (weights / weights.mean()).float()
