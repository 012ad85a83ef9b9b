"""LIFT+ (Shi et al. 2025) against the authors' model, crops and transform."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import open_clip
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from benchmarks import augment
from benchmarks.tools.checkouts import Checkout, Settings
from benchmarks.tools.parity.contract import EXACT, Pair, against
from benchmarks.tools.parity.lift_parts import Match, perturb, worst_gradient
from benchmarks.tools.parity.worlds import CLASSES, SIDE, backbone, samples, task
from methods.base import Batch
from methods.parts.image.finetune import AdapterKind, adapted, text_head, tower_loss
from methods.parts.image.vit import AdaptedClassifier

SIZE = 2
"""Width of the bottlenecks, rank, and number of prompts."""
KINDS: dict[AdapterKind, str] = {
    "adaptformer": "add_adaptformer",
    "adapter": "add_adapter",
    "lora": "add_lora",
    "vpt": "add_learnable_prompt",
}
"""Kinds of trained parts, each with the method of their model that adds it."""


@against(
    "shijxcs/LIFT-plus",
    "ea555ea65d890ace16a6295e5696a7b3ff2146fd",
    ["models/models.py", "models/modules.py", "models/classifiers.py", "utils/transforms.py",
     "trainer.py"],
    differs="prompts of vpt start as in LIFT",
    stand_ins="their model wraps open_clip's CLIP instead of OpenAI's, whose layers have the same "
    "names",
)  # fmt: skip
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Logits, loss and gradients of all trained parts; crop sizes by epoch; test pixels."""
    yield from _crops(theirs)
    yield from _test_pixels(theirs)
    clip = SimpleNamespace(
        CLIP=open_clip.CLIP,
        ModifiedResNet=open_clip.model.ModifiedResNet,
        VisionTransformer=open_clip.transformer.VisionTransformer,
        ResidualAttentionBlock=open_clip.transformer.ResidualAttentionBlock,
    )
    [models] = theirs.modules("models.models", stand_ins={"clip": clip, "clip.model": clip})
    ours, _ = task()
    images, features, labels = samples(ours, 16)
    batch = Batch(features.index, None, images)
    loss = tower_loss(ours, "la", 1.0)
    for kind, add in KINDS.items():
        module = AdaptedClassifier(adapted(ours, kind, SIZE, SIZE), text_head(ours))
        model = models.PEFT_Model(ours.backbone.model)
        encoder = model.image_encoder
        size = {"prompt_len": SIZE} if kind == "vpt" else {"bottle_dim": SIZE}
        getattr(encoder, add)(layers=range(len(encoder.blocks)), **size)
        model.add_classifier("CosineClassifier", CLASSES, scale=25)
        pairs = list(_matches(kind, module, model))
        perturb(pairs)
        mine, other = module(batch), model(images, use_classifier=True)
        yield Pair(f"{kind}: logits", mine, other)
        mine = loss(mine, labels, batch).mean()
        other = loss(other, labels, batch).mean()
        (mine + other).backward()
        yield worst_gradient(kind, pairs)


def _matches(kind: AdapterKind, module: Any, model: Any) -> Iterator[Match]:
    """Pairs of parameters with the same role: ours, theirs."""
    yield [module.head.weight], [model.tuner["classifier"].weight]
    for slots, block in zip(module.tower.slots, model.image_encoder.blocks, strict=True):
        if kind == "vpt":
            yield [slots.prompts], [block.tuner["prompt"]]
        elif kind == "lora":
            for mine, name in ((slots.query, "q"), (slots.value, "v")):
                other = block.attn.tuner["lora"][name]
                yield [mine.a], [other.down]
                yield [mine.b], [other.up]
        else:
            own = slots.mlp if kind == "adaptformer" else slots.after_mlp
            other = (block if kind == "adaptformer" else block.mlp).tuner[kind]
            for name, parameter in other.named_parameters():
                yield [own.get_parameter(name)], [parameter]


def _crops(theirs: Checkout) -> Iterator[Pair]:
    """Least share of the area in every epoch, and the sides that both codes draw."""
    [module] = theirs.modules("utils.transforms")
    for kind in get_args(augment.Augmentation):
        name, _, curve = kind.partition("square_crop_")
        if name:
            continue
        crop = module.MinimalistRandomResizedCrop(SIDE, 5, sched_func=curve)
        mine, other = [], []
        for epoch in range(5):
            squares = augment.in_epoch(kind, epoch, 5)
            assert isinstance(squares, augment.Squares)
            mine.append(squares.least)
            other.append(crop.get_min_scale())
            crop.step()
        yield Pair(f"{curve} crops: least area in 5 epochs", mine, other, EXACT)


def _test_pixels(theirs: Checkout) -> Iterator[Pair]:
    """Pixels of the test transform for images of several sizes."""

    def data_set(root: str, split: str, transform: Any) -> Any:
        return SimpleNamespace(num_classes=1, cls_num_list=[1], classnames=["a"], labels=[0],
                               transform=transform)  # fmt: skip

    code = theirs.definitions(
        "trainer.py", "Trainer", transforms=transforms, torch=torch, nn=nn,
        InterpolationMode=transforms.InterpolationMode, DownSampler=lambda *_, **__: None,
        datasets=SimpleNamespace(Images=data_set), DataLoader=lambda data, **_: data,
    )  # fmt: skip
    ours = backbone("lift_plus")
    trainer = object.__new__(code.Trainer)
    trainer.cfg = Settings(
        resolution=SIDE, dataset="Images", batch_size=1, accum_step=1,
        mean=ours.preprocess["mean"], std=ours.preprocess["std"],
    )  # fmt: skip
    trainer.build_data()
    random = np.random.default_rng(0)
    for height, width in ((32, 32), (75, 50), (500, 333), (31, 100)):
        image = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
        mine, other = ours.transform(image), trainer.test_loader.transform(image)
        yield Pair(f"{height} x {width} pixels, test", mine, other, EXACT)
