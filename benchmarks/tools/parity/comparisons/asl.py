"""The asymmetric loss (Ridnik et al. 2021) against the authors' code."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import GRADIENTS, Pair, against
from benchmarks.tools.parity.worlds import label_sets, no_batch, normal
from methods.parts.losses.multi_label.asl import Asymmetric

SETTINGS = {
    "train.py": (0.0, True),
    "class": (1.0, True),
    "equations": (1.0, False),
}
"""gamma_pos, and whether the focusing factors are detached."""


@against(
    "Alibaba-MIIL/ASL",
    "8c9e0bd8d5d450cf19093363fc08aa7244ad4408",
    ["src/loss_functions/losses.py"],
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Values and gradients as in `train.py`, as in the class, and as in the equations."""
    code = theirs.definitions("src/loss_functions/losses.py", "AsymmetricLoss", torch=torch, nn=nn)
    labels = label_sets(64, 20)
    for size in (2.0, 12.0):  # at 12 some probabilities are below 1e-8
        for name, (gamma, detach) in SETTINGS.items():
            criterion = code.AsymmetricLoss(
                gamma_neg=4, gamma_pos=gamma, clip=0.05, disable_torch_grad_focal_loss=detach
            )
            both = [(size * normal("logits", 64, 20)).requires_grad_() for _ in range(2)]
            values = [
                Asymmetric(gamma, detach=detach)(both[0], labels, no_batch(64)).sum(),
                criterion(both[1], labels),
            ]
            where = f"{name}, logits of size {size:g}"
            yield Pair(where, *values)
            torch.stack(values).sum().backward()
            yield Pair(f"{where}, gradient", both[0].grad, both[1].grad, GRADIENTS)
