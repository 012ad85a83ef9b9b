"""ASL (Ridnik et al. 2021) against the authors' loss."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import GRADIENTS, Pair, against
from benchmarks.tools.parity.worlds import label_sets, no_batch, normal
from methods.parts.losses.multi_label.asl import Asymmetric


@against(
    "Alibaba-MIIL/ASL",
    "8c9e0bd8d5d450cf19093363fc08aa7244ad4408",
    ["src/loss_functions/losses.py"],
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Values and gradients, gamma_pos 0 and 1, focusing factor detached or not, saturated too."""
    [module] = theirs.modules("src.loss_functions.losses")
    labels = label_sets(64, 20)
    for gamma, detach in ((0, True), (1, True), (1, False)):
        for scale, name in ((2.0, ""), (15.0, ", saturated")):
            loss = Asymmetric(gamma, detach=detach)
            criterion = module.AsymmetricLoss(
                gamma_neg=4, gamma_pos=gamma, clip=0.05, disable_torch_grad_focal_loss=detach
            )
            both = [(scale * normal("logits", 64, 20)).requires_grad_() for _ in range(2)]
            values = [loss(both[0], labels, no_batch(64)).sum(), criterion(both[1], labels)]
            where = f"gamma_pos {gamma}, {'detached' if detach else 'with gradient'}{name}"
            yield Pair(where, values[0], values[1])
            torch.stack(values).sum().backward()
            yield Pair(f"{where}: gradient", both[0].grad, both[1].grad, GRADIENTS)
