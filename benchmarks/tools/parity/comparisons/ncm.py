"""Nearest class means (Kang et al. 2020) against the authors' classifier."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional as F

from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import Pair, against
from benchmarks.tools.parity.worlds import task
from methods.ncm import NearestClassMean


@against(
    "facebookresearch/classifier-balancing",
    "f162adef63fdf592d0b8a0f6e52bc481fc08785f",
    ["models/KNNClassifier.py"],
    differs="the default is the cosine to the mean of unit length, which they do not have; inner "
    "is times the backbone's scale, theirs divided by the width; stored features have unit length, "
    "so that there is no `un`",
    stand_ins="the means come from run_networks.py, which needs their data; they are repeated here",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Logits with l2n and cl2n features, euclidean and inner."""
    [module] = theirs.modules("models.KNNClassifier")
    ours, test = task()
    [(batch, _)] = ours.batches(test, "features", len(test))
    train, labels = ours.train.features(), ours.train.labels
    assert batch.features is not None
    mean, width = train.mean(0), train.shape[1]
    for kind in ("l2n", "cl2n"):
        changed = F.normalize(train - mean, dim=-1) if kind == "cl2n" else train
        rows = [changed[labels == c].mean(0) for c in range(ours.num_classes)]
        for metric, name in (("euclidean", "l2"), ("inner", "cos")):
            other = module.KNNClassifier(width, len(rows), kind, name)
            other.update({"mean": mean.numpy(), f"{kind}cs": torch.stack(rows).numpy()})
            found, _ = other(batch.features)
            if metric == "inner":
                found = found * width * ours.backbone.logit_scale
            method = NearestClassMean(features=kind, metric=metric)  # type: ignore[arg-type]
            yield Pair(f"{kind}, {metric}", method.fit(ours).logits(batch), found)
