"""SS-Text and SS-Text+ (Silva-Rodríguez et al. 2025) against the authors' solver."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import Pair, against
from benchmarks.tools.parity.worlds import task
from methods.ss_text import SSText


@against(
    "jusiro/SS-Text",
    "4ff4897ef61953f74725fb97728220eb7e45d2ad",
    ["solvers/sstext.py"],
    stand_ins="a cosine classifier with the two attributes that the solver reads",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Logits of both, on 20 classes with 60 to 3 images."""
    code = theirs.definitions(
        "solvers/sstext.py", "ss_text_solver", torch=torch, np=np, device="cpu"
    )
    ours, test = task()
    [(batch, _)] = ours.batches(test, "features", len(test))
    assert batch.features is not None
    plus: dict[str, Any] = {"balanced_importance": False, "repel": True}
    plain: dict[str, Any] = {"balanced_importance": True, "repel": False}
    for name, method, settings in (
        ("SS-Text+", SSText(), plus),
        ("SS-Text", SSText(weighting="equal", repel=False), plain),
    ):
        model = _Cosines(ours.text_features(), ours.backbone.logit_scale)
        code.ss_text_solver(
            ours.train.features(), ours.train.labels, model, range(ours.num_classes), **settings
        )
        yield Pair(name, method.fit(ours).logits(batch), model(batch.features))


class _Cosines(nn.Module):
    """scale * cos(x, prototype)."""

    def __init__(self, texts: Tensor, scale: float) -> None:
        super().__init__()
        logit_scale = torch.tensor(scale).log()
        self.adapter = SimpleNamespace(prototypes=nn.Parameter(texts), logit_scale=logit_scale)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, C)."""
        prototypes = F.normalize(self.adapter.prototypes, dim=-1)
        logits: Tensor = self.adapter.logit_scale.exp() * x @ prototypes.T
        return logits
