"""Tip-Adapter-F (Zhang et al. 2022): the training of the keys against the authors' function."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import GRADIENTS, Pair, against
from benchmarks.tools.parity.worlds import task
from methods.base import Task
from methods.tip_adapter import TipAdapter, cached, label_sets

METHOD = TipAdapter(finetune=True, shots=4, epochs=5, batch_size=64)


@against(
    "gaopengcuhk/Tip-Adapter",
    "d0e2d6f8c5feb8b6ce937b757810761f7155d4d5",
    ["main.py"],
    differs="no augmentation; the last epoch is kept, or the best on validation images, there the "
    "best on test images",
    stand_ins="the image tower hands over our frozen features; our order of the samples; their "
    "function for the accuracy, which does not run under NumPy 2.4",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Keys and test logits after 5 epochs of AdamW, annealed at every step."""
    ours, test = task()
    [(batch, targets)] = ours.batches(test, "features", len(test))
    x = batch.features
    assert x is not None
    seen: list[Tensor] = []

    def kept(logits: Tensor, labels: Tensor) -> float:
        if logits.shape == (len(test), ours.num_classes):
            seen.append(logits.detach().clone())
        return float(100 * (logits.argmax(1) == labels).double().mean())

    code = theirs.definitions(
        "main.py", "run_tip_adapter_F", torch=torch, nn=nn, F=F, cls_acc=kept,
        tqdm=lambda items: items, search_hp=lambda settings, *_, **__: (1, METHOD.alpha),
    )  # fmt: skip
    chosen = cached(ours, METHOD.shots)
    keys = ours.train.features()[chosen]
    values = label_sets(ours.train.labels[chosen], ours.num_classes)
    texts = ours.text_features()
    theirs_keys = keys.T.clone()  # their training changes them in place
    clip = SimpleNamespace(dtype=torch.float32, encode_image=lambda images: images.clone())
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "lr": METHOD.lr, "train_epoch": METHOD.epochs, "init_beta": METHOD.beta,
            "init_alpha": METHOD.alpha, "cache_dir": folder, "shots": METHOD.shots,
        }  # fmt: skip
        code.run_tip_adapter_F(
            settings, theirs_keys, values, x, targets, x, targets, texts.T, clip, _Order(ours)
        )
    last = seen[METHOD.epochs - 1]  # the one after it is of the epoch with the best accuracy
    module: Any = METHOD.fit(ours).logits
    yield Pair("change of the keys", module.keys - keys, theirs_keys.T - keys, GRADIENTS)
    yield Pair("test logits", module(batch), last)


class _Order:
    """Batches of all epochs in our order, as their training loop reads them."""

    def __init__(self, ours: Task) -> None:
        self._task, self._epoch = ours, 0

    def __len__(self) -> int:
        return -(-len(self._task.train) // METHOD.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.from_numpy(self._task.epoch_order(self._epoch))
        self._epoch += 1
        for index in order.split(METHOD.batch_size):
            yield self._task.train.features()[index], self._task.train.labels[index]
