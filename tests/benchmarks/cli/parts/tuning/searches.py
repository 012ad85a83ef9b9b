"""A small world for `tune`: methods to search, data sets that forbid reading test images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from results.store import Store
from tests.benchmarks.small import FIELDS

PLUGIN = '''
    import dataclasses
    from dataclasses import dataclass
    from pathlib import Path
    from typing import ClassVar

    import numpy as np
    import torch

    from benchmarks.datasets.base import ArrayImages, Family, Split
    from benchmarks.datasets.carving import subset
    from benchmarks.datasets.families.glyphs import Glyphs
    from benchmarks.datasets.registry import register as register_data
    from methods.base import Method, Predictor
    from methods.registry import register
    from methods.space import LogUniform, OneOf, Uniform


    @register("mine", paper="-", needs="features", tasks=("single", "multi"), deterministic=True)
    @dataclass(frozen=True)
    class Mine(Method):
        """Right if lr is above 0.1, wrong if it is below; fails above `limit`."""

        lr: float = 0.01
        width: int = 3
        mode: str = "a"
        epochs: int = 7
        limit: float = 10.0
        interrupt: float = 10.0

        space: ClassVar = {
            "lr": LogUniform(1e-4, 1.0),
            "width": Uniform(1, 9),
            "mode": OneOf(("a", "b")),
            "epochs": OneOf((7, 8)),
        }

        def fit(self, task):
            assert task.validation is None
            if self.lr > self.limit:
                raise ValueError("diverged")
            if self.lr > self.interrupt and not Path("go").exists():
                raise KeyboardInterrupt
            features, labels = task.train.features(), task.train.labels
            if labels.ndim == 1:
                labels = torch.nn.functional.one_hot(labels, task.num_classes)
            means = (labels.T.float() @ features) / labels.sum(0)[:, None].clamp(min=1)
            sign = 1 if self.lr > 0.1 else -1
            return Predictor(lambda batch: sign * batch.inputs @ (means - means.mean(0)).T)


    @register("fixed", paper="-", needs="features", deterministic=True)
    @dataclass(frozen=True)
    class Fixed(Mine):
        """Nothing to tune."""

        space: ClassVar = {}


    @register("shaky", paper="-", needs="features")
    @dataclass(frozen=True)
    class Shaky(Mine):
        """Fails with seed 1 if lr is above 0.1."""

        def fit(self, task):
            if task.seed == 1 and self.lr > 0.1:
                raise ValueError("shaken")
            return super().fit(task)


    class Forbidden(ArrayImages):
        """Images that may not be read."""

        def read(self, index):
            raise AssertionError("a test image was read")

        def digest(self):
            raise AssertionError("a test image was read")


    class World(Family):
        """The small world."""

        default_backbone = "glyph"

        def card(self):
            return {}

        def load(self, root, split_seed):
            world = Glyphs(classes=4, n_max=35, imbalance=8, test_per_class=4)
            return dataclasses.replace(world.load(root, split_seed), name=self.name)


    @register_data("trap_lt", task="single")
    @dataclass(frozen=True)
    class Trap(World):
        """Its test images may not be read; most of its validation images are of one class."""

        def load(self, root, split_seed):
            data = super().load(root, split_seed)
            test = dataclasses.replace(data.test, images=Forbidden(data.test.images.array))
            whole = data.validation()
            i = [*range(20), *range(20, 23), *range(40, 45), *range(60, 69)]
            ids = tuple(whole.ids[k] for k in i)
            uneven = Split(ArrayImages(whole.images.array[i]), whole.labels[i], ids)
            return dataclasses.replace(data, test=test, validation=lambda: uneven)


    @register_data("plain_lt", task="single")
    @dataclass(frozen=True)
    class Plain(World):
        """It has no validation images, and no class is large enough to hold some out."""

        largest: int = 9

        def load(self, root, split_seed):
            data = super().load(root, split_seed)
            same = [np.flatnonzero(data.train.labels == c) for c in range(data.num_classes)]
            few = subset(data.train, np.concatenate([s[: self.largest] for s in same]))
            return dataclasses.replace(data, train=few, validation=None)
'''
SMALL = [f"glyphs100_lt.{name}={value}" for name, value in FIELDS.items()]


@dataclass
class Tuned:
    """Exit status, output and files of a search."""

    status: int
    shown: str
    out: Path

    @property
    def recipe(self) -> dict[str, Any]:
        """The content of the only recipe file."""
        (file,) = Path("configs/recipes").glob("*.yaml")
        found: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
        return found

    @property
    def trials(self) -> list[dict[str, Any]]:
        """The trials that the recipe lists."""
        found: list[dict[str, Any]] = self.recipe["tuning"]["trials"]
        return found

    @property
    def store(self) -> Store:
        """The records of the trials."""
        (folder,) = (self.out / "tune").iterdir()
        return Store(folder)


Tune = Callable[..., Tuned]
