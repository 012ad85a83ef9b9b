"""LP++ (Huang et al. 2024): a whole training against the authors' method."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import Pair, against
from benchmarks.tools.parity.worlds import task
from methods.lp_plus_plus import LPPlusPlus, Probe, initial_blend, initial_weight

SHOTS, EPOCHS = 8, 60


@against(
    "FereshteShakeri/FewShot-CLIP-Strong-Baseline",
    "f81054f995b060f8348d20e7306e15889b70c786",
    ["methods/linear_probe_p2.py", "methods/utils.py"],
    differs="b starts at 0, theirs at random; single precision, theirs half; one unaugmented view",
    stand_ins="the image tower hands over our frozen features; b starts at 0; one-hot labels in "
    "single precision",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Test logits after 60 steps on 20 classes of 8 images, and their change."""
    ours, test = task(shots=SHOTS)
    [(batch, targets)] = ours.batches(test, "features", len(test))
    x, train = batch.features, ours.train.features()
    assert x is not None
    made: list[Any] = []

    class Linear(nn.Linear):
        def __init__(self, width: int, classes: int, bias: bool) -> None:
            super().__init__(width, classes, bias=bias)
            nn.init.zeros_(self.bias)
            made.append(self)

    def variable(value: Tensor, **_: Any) -> Tensor:
        made.append(value.requires_grad_())
        return value

    def one_hot(labels: Tensor, num_classes: int) -> Tensor:
        return F.one_hot(labels, num_classes).float()

    centroids = theirs.definitions(
        "methods/utils.py", "compute_centroids", "compute_centroids_alpha", torch=torch,
        get_one_hot=one_hot,
    )  # fmt: skip
    code = theirs.definitions(
        "methods/linear_probe_p2.py", "calculate_lr_alpha", "calculate_init_alpha",
        "calculate_lr_w", "LinearProbe_P2", torch=torch, F=F, np=np, eigh=scipy.linalg.eigh,
        nn=SimpleNamespace(Linear=Linear, Module=nn.Module), Variable=variable,
        tqdm=lambda items: items, argparse=SimpleNamespace(Namespace=dict),
        FSCLIPmethod=_Base, **vars(centroids),
    )  # fmt: skip
    method = code.LinearProbe_P2(
        {"train_epoch": EPOCHS, "shots": SHOTS, "dataset": "", "output_dir": ""}
    )
    clip = SimpleNamespace(dtype=torch.float32, encode_image=lambda images: images.clone())
    texts = ours.text_features().T
    method(
        [(train, ours.train.labels)], [(x, targets)], x, targets, texts, clip, None
    )  # fmt: skip
    classifier, blend = made
    found = classifier(x) + blend * (x @ texts)
    mine = LPPlusPlus(epochs=EPOCHS).fit(ours).logits(batch)
    yield Pair("test logits", mine, found)
    start = Probe(texts.T, initial_weight(ours, "sum"), initial_blend(ours, texts.T)).logits(x)
    yield Pair("their change by training", mine - start, found - start)


class _Base(nn.Module):
    """Their base class, which does nothing."""

    def __init__(self, args: Any) -> None:
        super().__init__()
