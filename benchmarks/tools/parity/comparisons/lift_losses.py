"""Single-label losses against those of LIFT's code, which holds one of each."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import GRADIENTS, Pair, against
from benchmarks.tools.parity.worlds import labels_of, long_tail, no_batch, normal, task_of
from methods.parts.losses import named_loss

NAMES = {
    "balanced_softmax": "BalancedSoftmaxLoss",
    "la": "LogitAdjustedLoss",
    "lade": "LADELoss",
    "cb": "ClassBalancedLoss",
    "grw": "GeneralizedReweightLoss",
    "focal": "FocalLoss",
}


@against(
    "shijxcs/LIFT",
    "661ead9b78368f05ba79abe4672d63154467f823",
    ["utils/losses.py"],
    differs="a class without training images counts as half an image; theirs has a logarithm of "
    "0. `cb_reduction: images` divides as Cui et al. do (richardaecn/class-balanced-loss, whose "
    "TensorFlow 1 code was not run), the default as LIFT",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Values and gradients of balanced softmax, LA, LADE, CB, GRW and focal on 64 samples."""
    [losses] = theirs.modules("utils.losses")
    counts = long_tail()
    labels = labels_of(counts, 64)
    for name, their_name in NAMES.items():
        loss = named_loss(name, task_of(counts), tau=1.0)
        arguments = {} if name == "focal" else {"cls_num_list": counts}
        criterion = getattr(losses, their_name)(**arguments)
        both = [(5 * normal("logits", 64, len(counts))).requires_grad_() for _ in range(2)]
        values = [loss(both[0], labels, no_batch(64)).mean(), criterion(both[1], labels)]
        yield Pair(name, *values)
        torch.stack(values).sum().backward()
        yield Pair(f"{name}, gradient", both[0].grad, both[1].grad, GRADIENTS)
