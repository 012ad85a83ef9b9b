"""A whole training of `lift` against the trainer of LIFT's code, from start to test logits."""

from __future__ import annotations

import datetime
import os
import tempfile
import time
from collections import OrderedDict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms

from benchmarks.datasets.base import Split
from benchmarks.tools.checkouts import Checkout, Settings
from benchmarks.tools.parity.contract import EXACT, Pair, against
from benchmarks.tools.parity.lift_parts import FILES, matches
from benchmarks.tools.parity.worlds import SIDE, data, task, their_clip
from methods.base import Task
from methods.lift import Lift
from methods.parts.image.finetune import adapted, text_head
from methods.parts.image.vit import AdaptedClassifier

EPOCHS, BATCH = 3, 32


@against(
    "shijxcs/LIFT",
    "661ead9b78368f05ba79abe4672d63154467f823",
    [*FILES, "trainer.py", "utils/losses.py", "utils/meter.py", "utils/evaluator.py"],
    differs="each code draws initial adapters, order and augmentation from a generator of its own",
    stand_ins="a small CLIP with random weights instead of the download; embedded images; no "
    "augmentation; our initial adapters and our order of the samples; no TensorBoard",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Test logits and accuracy after 3 epochs of our `Lift.fit` and of their `Trainer.train`."""
    ours, test = task("lift")
    method = Lift(epochs=EPOCHS, batch_size=BATCH, augment="none")
    predictor = method.fit(ours)
    with torch.no_grad():
        batches = list(ours.batches(test, "images", 50))
        logits = torch.cat([predictor.logits(batch) for batch, _ in batches])
    trainer = _trainer(theirs, method, ours)
    before, after = _train(trainer)
    yield Pair("test logits", logits, after)
    yield Pair("their change by training", logits - before, after - before)
    labels = torch.cat([labels for _, labels in batches])
    mine, other = ((each.argmax(1) == labels).float().mean() for each in (logits, after))
    yield Pair("accuracy", mine, other, EXACT)


def _train(trainer: Any) -> tuple[Tensor, Tensor]:
    """Test logits before and after their training."""

    @torch.no_grad()
    def logits() -> Tensor:
        return torch.cat([trainer.model(images[:, 0]) for images, _ in trainer.test_loader])

    before = logits()
    with tempfile.TemporaryDirectory() as folder:
        trainer.cfg.output_dir = folder
        trainer.train()
    return before, logits()


def _trainer(theirs: Checkout, method: Lift, ours: Task) -> Any:
    """Their trainer with our weights, images and order."""
    clip, model, models, losses, meter, evaluator = theirs.modules(
        "clip.clip", "clip.model", "models.models", "utils.losses", "utils.meter", "utils.evaluator"
    )
    scope: dict[str, Any] = {
        "os": os,
        "time": time,
        "np": np,
        "torch": torch,
        "F": F,
        "nn": torch.nn,
    }
    scope |= {"transforms": transforms, "DataLoader": DataLoader, "OrderedDict": OrderedDict}
    scope |= vars(models) | vars(losses)
    code = theirs.definitions(
        "trainer.py", "Trainer", **scope, clip=clip, datetime=datetime,
        AverageMeter=meter.AverageMeter, Evaluator=evaluator.Evaluator,
        datasets=SimpleNamespace(Glyphs=_Images), tqdm=lambda items, **_: items,
        SummaryWriter=_Writer, load_clip_to_cpu=lambda *_: their_clip(model),
    )  # fmt: skip
    trainer = code.Trainer(
        Settings(
            dataset="Glyphs", backbone="CLIP-ViT-B/16", resolution=SIDE, prec="fp32",
            classifier="CosineClassifier", scale=25, adaptformer=True, init_head="text_feat",
            prompt="default", loss_type="LA", num_epochs=method.epochs, lr=method.lr,
            weight_decay=method.weight_decay, momentum=0.9, batch_size=BATCH,
            micro_batch_size=BATCH, num_workers=0, print_freq=10,
        )
    )  # fmt: skip
    start = AdaptedClassifier(adapted(ours, method.adapter), text_head(ours))
    with torch.no_grad():
        _, *adapters = matches(method.adapter, start, trainer.model)  # without the head
        for mine, other in adapters:
            for parameter, theirs_parameter in zip(mine, other, strict=True):
                theirs_parameter.copy_(parameter)
    trainer.train_loader = _Order(ours)
    return trainer


class _Order:
    """Batches of all epochs in our order, as their training loop reads them."""

    def __init__(self, ours: Task) -> None:
        self._task, self._epoch = ours, 0

    def __len__(self) -> int:
        return -(-len(self._task.train) // BATCH)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = self._task.epoch_order(self._epoch)
        self._epoch += 1
        for start in range(0, len(order), BATCH):
            index = order[start : start + BATCH]
            batch = self._task.train.batch(index, needs="images")
            assert batch.images is not None
            yield batch.images, self._task.train.labels[index]


class _Images(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """The embedded images as a data set of their code."""

    def __init__(self, root: str, train: bool, transform: Any = None) -> None:
        split: Split = data().train if train else data().test
        self._split, self._transform = split, transform
        self.classnames = list(data().texts.class_names)
        self.num_classes = len(self.classnames)
        self.cls_num_list = data().counts.tolist()

    def __len__(self) -> int:
        return len(self._split.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self._split.images.read(index))
        return self._transform(image), int(self._split.labels[index])


class _Writer:
    """A TensorBoard that writes nothing."""

    def __init__(self, **_: Any) -> None:
        pass

    def add_scalar(self, *_: Any) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
