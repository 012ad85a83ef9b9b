"""LMPT's class-specific embedding loss (Xia et al. 2023) against the authors' code."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.conformance.tiny import tiny_task
from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import GRADIENTS, Pair, against
from benchmarks.tools.parity.worlds import normal
from methods.lmpt import EmbeddingLoss
from methods.parts.text.text_tower import mean_direction, words

MARGIN, GAMMA = 0.2, 2.0


@against(
    "richard-peng-xia/LMPT",
    "aab39caca28362bfb9d9340f9c8a5cd75614e130",
    ["lmpt/csel.py"],
    differs="`terms: balanced` weighs positive and negative terms equally, compared is `mean`; the "
    "sign pulls prompts towards their own texts, theirs pushes; theirs passes a softmax of the "
    "class counts, nearly all 0, where the paper has counts; their classification loss is compared "
    "in `db`",
    stand_ins="as released the loss stops with an IndexError: it sums a matrix over a third axis, "
    "here over its last one",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Embedding loss and its gradient, given the cosines of prompts and captions."""
    repaired = SimpleNamespace(sum=_sum, sqrt=torch.sqrt, relu=torch.relu)
    code = theirs.definitions(
        "lmpt/csel.py", "SoftMarginHingeEmbeddingLoss", torch=repaired, nn=nn, F=F
    )
    ours, _ = tiny_task(kind="multi")
    assert ours.train.captions is not None
    loss = EmbeddingLoss(ours, MARGIN, GAMMA, sign="pull", balanced=False)
    texts = mean_direction(*words(ours.backbone, list(ours.train.captions)))  # (N, W)
    labels, index = ours.train.labels, torch.arange(len(ours.train))
    start = F.normalize(normal("prompts", ours.num_classes, texts.shape[1]), dim=-1)
    both = [start.clone().requires_grad_() for _ in range(2)]
    criterion = code.SoftMarginHingeEmbeddingLoss(MARGIN, ours.counts[None], GAMMA)
    cosines = (texts @ both[1].T)[..., None]  # their last axis is the token, here one
    values = [
        loss(both[0], labels, index).mean() / ours.num_classes,  # ours sums over the classes
        criterion(cosines, 2.0 * labels[..., None] - 1),
    ]
    yield Pair("loss", *values)
    torch.stack(values).sum().backward()
    yield Pair("gradient of the prompts", both[0].grad, both[1].grad, GRADIENTS)


def _sum(values: Tensor, dim: int) -> Any:
    """Sum over an axis, or over the last one if there is no such axis."""
    if dim < values.ndim:
        return values.sum(dim)
    return values.sum(-1, keepdim=True)
