"""The distribution-balanced loss (Wu et al. 2020) against the authors' code."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import GRADIENTS, Pair, against
from benchmarks.tools.parity.worlds import label_sets, long_tail, no_batch, normal
from methods.parts.losses.multi_label.db import DistributionBalanced

IMAGES = 1142


@against(
    "wutong16/DistributionBalancedLoss",
    "14460d0acda6a3e77a8a6a5999b9746243cb1535",
    ["mllt/models/losses/resample_loss.py", "mllt/models/losses/cross_entropy_loss.py",
     "mllt/models/losses/utils.py"],
    differs="a sample's loss is the sum over the classes, there the mean; a class in no image or "
    "in all counts as half an image more or less",
    stand_ins="class frequencies come from memory instead of a pickle read by mmcv",
)  # fmt: skip
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Values and gradients with the settings of VOC-LT and COCO-LT, 64 samples of 20 classes."""
    folder = "mllt/models/losses"
    reduce = theirs.definitions(
        f"{folder}/utils.py", "reduce_loss", "weight_reduce_loss", F=F
    ).weight_reduce_loss
    bce = theirs.definitions(
        f"{folder}/cross_entropy_loss.py", "binary_cross_entropy", F=F, weight_reduce_loss=reduce
    ).binary_cross_entropy
    counts = long_tail()
    frequency = {"class_freq": counts.numpy(), "neg_class_freq": IMAGES - counts.numpy()}
    code = theirs.definitions(
        f"{folder}/resample_loss.py", "ResampleLoss", torch=torch, nn=nn, np=np,
        LOSSES=SimpleNamespace(register_module=lambda found: found),
        mmcv=SimpleNamespace(load=lambda _: frequency), binary_cross_entropy=bce,
        partial_cross_entropy=None, cross_entropy=None,
    )  # fmt: skip
    labels = label_sets(64, len(counts))
    for name, scale, mu in (("VOC-LT", 5.0, 0.3), ("COCO-LT", 2.0, 0.2)):
        loss = DistributionBalanced(counts, IMAGES, neg_scale=scale, mu=mu)
        criterion = code.ResampleLoss(
            use_sigmoid=True, reduction="none", reweight_func="rebalance",
            focal={"focal": True, "balance_param": 2.0, "gamma": 2},
            logit_reg={"init_bias": 0.05, "neg_scale": scale},
            map_param={"alpha": 0.1, "beta": 10.0, "gamma": mu},
        )  # fmt: skip
        both = [(2 * normal("logits", *labels.shape)).requires_grad_() for _ in range(2)]
        values = [
            loss(both[0], labels, no_batch(64)), criterion(both[1].clone(), labels).sum(1)
        ]  # fmt: skip
        yield Pair(f"{name}, loss of each sample", *values)
        torch.stack(values).sum().backward()
        yield Pair(f"{name}, gradient", both[0].grad, both[1].grad, GRADIENTS)
