from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.settings import read_sweep
from methods.registry import METHODS
from tests.benchmarks.small import FIELDS

PLUGIN = '''
    import shutil
    from dataclasses import dataclass
    from pathlib import Path

    import torch

    from benchmarks.errors import NotApplicable, UserError
    from methods.base import Method, Predictor
    from methods.registry import register


    def predictor(task, **rest):
        weight = task.normal_per_class("weight", 16)
        return Predictor(lambda batch: batch.inputs @ weight.T, **rest)


    class Base(Method):
        def fit(self, task):
            return predictor(task)


    @register("fine", paper="-", needs="features", reconstruction="all of it is made up")
    @dataclass(frozen=True)
    class Fine(Base):
        """Works."""

        def fit(self, task):
            task.note("a note of the task")
            return predictor(task, trainable_params=64, epochs=2, images_seen=128, notes=("mine",))


    @register("raises", paper="-", needs="features")
    @dataclass(frozen=True)
    class Raises(Base):
        """Raises for seed 1."""

        def fit(self, task):
            if task.seed == 1:
                raise RuntimeError("out\\nof luck")
            return predictor(task)


    @register("strict", paper="-", needs="features")
    @dataclass(frozen=True)
    class Strict(Base):
        """Refuses its own fields."""

        lr: float = -1.0

        def __post_init__(self):
            if self.lr < 0:
                raise ValueError("lr must be positive")


    @register("picky", paper="-", needs="features")
    @dataclass(frozen=True)
    class Picky(Base):
        """Asks the user for another value."""

        def fit(self, task):
            raise UserError("picky.width must be even,\\nnot 3.")


    @register("not_here", paper="-", needs="features")
    @dataclass(frozen=True)
    class NotHere(Base):
        """Does not go with this data."""

        def fit(self, task):
            raise NotApplicable("wants captions")


    @register("multi_only", paper="-", needs="features", tasks=("multi",))
    @dataclass(frozen=True)
    class MultiOnly(Base):
        """Serves multi-label data alone."""


    @register("interrupted", paper="-", needs="features")
    @dataclass(frozen=True)
    class Interrupted(Base):
        """Ctrl-C in the second fit."""

        def fit(self, task):
            if task.seed == 1:
                raise KeyboardInterrupt
            return predictor(task)


    @register("odd", paper="-", needs="features")
    @dataclass(frozen=True)
    class Odd(Base):
        """Predicts what nobody can use."""

        kind: str = "nan"

        def fit(self, task):
            good = predictor(task).logits
            return {
                "nan": Predictor(lambda batch: good(batch) * float("nan")),
                "inf": Predictor(lambda batch: good(batch) / 0.0),
                "class": Predictor(lambda batch: good(batch)[:, 1:]),
                "rows": Predictor(lambda batch: good(batch)[1:]),
                "flat": Predictor(lambda batch: good(batch).flatten()),
                "numpy": Predictor(lambda batch: good(batch).numpy()),
                "nothing": None,
                "cost": predictor(task, trainable_params=float("nan")),
                "late": Predictor(lambda batch: 1 / 0),
            }[self.kind]


    class Half:
        __slots__ = ("__dict__", "weight")

        def logits(self, batch):
            return batch.inputs @ self.weight.T


    @register("half", paper="-", needs="features")
    @dataclass(frozen=True)
    class HalfSaved(Base):
        """Its predictor has an attribute that no model file holds."""

        def fit(self, task):
            half = Half()
            half.weight = task.normal_per_class("weight", 16)
            return Predictor(half.logits)


    @register("together", paper="-", needs="features")
    @dataclass(frozen=True)
    class Together(Base):
        """Fits all seeds at once; one of them predicts NaN."""

        bad: int = -1
        count: int = 0
        kind: str = "predictors"

        def fit_many(self, tasks):
            if self.kind != "predictors":
                return None if self.kind == "nothing" else [1] * len(tasks)
            seeds = ",".join(str(task.seed) for task in tasks)
            found = [predictor(task, notes=(f"seeds {seeds}",)) for task in tasks]
            if self.bad >= 0:
                found[self.bad] = Predictor(lambda batch: torch.full((len(batch), 4), torch.nan))
            return found[: self.count or None]


    @register("forgetful", paper="-", needs="features")
    @dataclass(frozen=True)
    class Forgetful(Base):
        """Has memory for so many test samples at once."""

        room: int = 5

        def fit(self, task):
            good = predictor(task).logits

            def logits(batch):
                if len(batch) > self.room:
                    raise MemoryError
                return good(batch)

            return Predictor(logits)


    @register("validated", paper="-", needs="features")
    @dataclass(frozen=True)
    class Validated(Base):
        """Notes what it was given to select by."""

        def fit(self, task):
            found = task.validation
            return predictor(task, notes=(f"validation {None if found is None else len(found)}",))


    @register("careless", paper="-", needs="features")
    @dataclass(frozen=True)
    class Careless(Base):
        """Changes in place what other methods share."""

        what: str = "features"

        def fit(self, task):
            model = task.backbone.model
            if self.what == "features":
                task.train.features().sub_(0.1)
            elif self.what == "labels":
                task.train.labels.zero_()
            elif self.what == "weights":
                with torch.no_grad():
                    next(model.parameters()).add_(1.0)
            elif self.what == "gradients":
                model.requires_grad_(True)
            elif self.what == "mode":
                model.train()
            elif self.what == "late":
                return Predictor(lambda batch: batch.inputs[:, :4] + model.train().logit_scale)
            return predictor(task)


    @register("torch_random", paper="-", needs="features")
    @dataclass(frozen=True)
    class TorchRandom(Base):
        """Draws from torch itself."""

        def fit(self, task):
            weight = torch.randn(16, 4)
            return Predictor(lambda batch: batch.inputs @ weight)


    @register("vandal", paper="-", needs="features")
    @dataclass(frozen=True)
    class Vandal(Base):
        """Puts a file where the results go."""

        out: str = ""

        def fit(self, task):
            shutil.rmtree(self.out)
            Path(self.out).write_text("in the way")
            return predictor(task)
'''


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def cells(
    plugin: Callable[[str], Path], clip_folder: Path, tmp_path: Path
) -> Callable[..., list[Cell]]:
    """Cells of methods on the small world."""
    METHODS.load_file(plugin(PLUGIN))

    def expand(methods: str, *assignments: str, **flags: Any) -> list[Cell]:
        data = flags.get("datasets", "glyphs100_lt")
        fields = [f"glyphs100_lt.{name}={value}" for name, value in FIELDS.items()]
        if "glyphs100_lt" not in data:
            fields = []
        defaults = {
            "datasets": "glyphs100_lt",
            "backbone": f"local-dir:{clip_folder}",
            "device": "cpu",
            "data_root": str(tmp_path / "data"),
        }
        flags = defaults | flags | {"methods": methods, "set": [*fields, *assignments]}
        return plan.expand(read_sweep(None, flags)).cells

    return expand
