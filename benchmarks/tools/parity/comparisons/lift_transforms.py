"""Evaluation transforms of LIFT's code against `--transform lift` and the five crops."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from benchmarks.tools.checkouts import Checkout, Settings
from benchmarks.tools.parity.contract import EXACT, Pair, against
from benchmarks.tools.parity.worlds import SIDE, backbone
from benchmarks.views import enlarged, enlarged_size, five_crops

SIZES = ((32, 32), (40, 61), (75, 50), (224, 224), (500, 333), (31, 100))


@against(
    "shijxcs/LIFT",
    "661ead9b78368f05ba79abe4672d63154467f823",
    ["trainer.py"],
    differs="crops and flips in training are drawn by sample and epoch from a keyed generator, not "
    "torchvision's; their distribution is the same",
    stand_ins="the trainer builds its transforms for a data set that only keeps them",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Pixels of the test transform and of the five crops, six sizes of images."""
    random = np.random.default_rng(0)
    ours = backbone("lift")
    single = _test_transform(theirs, tte=False)
    margin = enlarged_size(ours.preprocess, SIDE) - SIDE
    crops = _test_transform(theirs, tte=True, tte_mode="fivecrop", expand=margin)
    for height, width in SIZES:
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        image, where = Image.fromarray(pixels), f"{height} x {width} pixels"
        yield Pair(f"{where}, test", ours.transform(image)[None], single(image), EXACT)
        large = enlarged(ours.preprocess, SIDE, pixels)
        mine = torch.cat([ours.normalise(crop) for crop in five_crops([large], SIDE)])
        yield Pair(f"{where}, crops", mine, crops(image))


def _test_transform(theirs: Checkout, **settings: Any) -> Any:
    """The transform of the test images that the trainer builds."""

    def data_set(root: str, train: bool, transform: Any = None) -> Any:
        return SimpleNamespace(num_classes=1, cls_num_list=[1], classnames=["a"], train=train,
                               transform=transform)  # fmt: skip

    module = theirs.definitions(
        "trainer.py", "Trainer", transforms=transforms, np=np, torch=torch,
        datasets=SimpleNamespace(Images=data_set), DataLoader=lambda data, **_: data,
        DownSampler=None,
    )  # fmt: skip
    trainer = object.__new__(module.Trainer)
    trainer.cfg = Settings(
        resolution=SIDE, dataset="Images", backbone="CLIP", batch_size=1, micro_batch_size=1,
        **settings,
    )  # fmt: skip
    trainer.build_data_loader()
    return trainer.test_loader.transform
