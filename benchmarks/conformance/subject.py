"""The method under test, with the fits and records that several checks look at."""

from __future__ import annotations

import dataclasses
import gc
import tempfile
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import randomness
from benchmarks.backbone.identify import identify
from benchmarks.backbones import Backbone
from benchmarks.conformance.demands import Violation
from benchmarks.conformance.pretended_gpu import Waits, on_pretended_gpu, pretended_gpu
from benchmarks.conformance.tiny import TRAIN_IMAGES, tiny_data, tiny_task, write_backbone
from benchmarks.conformance.worlds import TinyFamily, own_backbone
from benchmarks.datasets.base import DataSet, Images, TaskKind
from benchmarks.inputs.features import FeatureStore, Progress
from benchmarks.run import runner
from benchmarks.run.display import Silent
from benchmarks.run.guard import ProcessState
from benchmarks.run.options import RunOptions
from benchmarks.run.untouched import Shared
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.fingerprints import fingerprint
from methods.base import Method, Predictor, Samples, Task
from methods.registry import METHODS, info_of
from results.schema import Record
from results.store import Store

EPOCHS = 2
BATCH_SIZE = 24
"""Two full batches and a partial one of the 64 training images."""
LARGE_BATCH = 2 * BATCH_SIZE
"""A full batch and a partial one."""
WHOLE_BATCH = TRAIN_IMAGES
"""One batch an epoch."""
_BACKBONE = "the backbone"
Steps = list[tuple[int, int, int, int]]
"""(epoch, epochs, step, steps) as a method reported them."""


@dataclass(frozen=True)
class Fit:
    """A fitted method with its logits and progress."""

    task: Task
    test: Samples
    predictor: Predictor
    logits: Tensor
    """(N, C) logits of the test samples."""
    steps: Steps
    touched: list[str]
    """Shared state that fit and prediction changed."""
    disturbed: list[str]
    """Global state of the process that they changed; it was put back."""


@dataclass(frozen=True)
class GpuFit:
    """A method fitted on the pretended GPU."""

    task: Task
    test: Samples
    predictor: Predictor
    waits: Waits
    """Number of times that the host waited for the device during the fit, by place in the code."""


class Copies(FeatureStore):
    """A store of image features that gives each task a copy: a method may spoil its own.

    On the CPU all methods share what is copied. It comes from a backbone that no method gets.
    """

    _shared = FeatureStore(None)
    _untouched = staticmethod(cache(own_backbone))

    def images(
        self, backbone: Backbone, images: Images, progress: Progress | None = None
    ) -> Tensor:
        if backbone.device.type == "cpu":
            return self._shared.images(self._untouched(), images, progress).clone()
        return super().images(backbone, images, progress).clone()


class Subject:
    """A method under test on the tiny world of one kind.

    Args:
        name: registered method.
        kind: "single" or "multi".
    """

    def __init__(self, name: str, kind: TaskKind) -> None:
        self.name = name
        self.kind = kind
        self.cls: Any = METHODS.get(name)
        self.info = info_of(name)
        self._backbone: Backbone | None = None
        self._store = Copies(None)

    @property
    def data(self) -> DataSet:
        """The tiny world."""
        return tiny_data(self.kind)

    @property
    def rarest(self) -> int:
        """Index of the class with the fewest training images."""
        return int(self.data.counts.argmin())

    def built(self, batch_size: int = BATCH_SIZE) -> Method:
        """Return the method with its defaults, except for few epochs of small batches."""
        fields = {f.name: f.default for f in dataclasses.fields(self.cls)}
        short = {
            n: min(v, EPOCHS)
            for n, v in fields.items()
            if n.endswith("epochs") and isinstance(v, int)
        }
        if "batch_size" in fields:
            short["batch_size"] = batch_size
        short |= getattr(self.cls, "quick", {})
        method: Method = self.cls(**short)
        return method

    @property
    def backbone(self) -> Backbone:
        """A private copy of the tiny backbone; a new one after a fit changed it."""
        if self._backbone is None:
            self._backbone = own_backbone()
        return self._backbone

    def task(self, seed: int = 0, **world: Any) -> tuple[Task, Samples]:
        """Return a task and its test samples; `world` has arguments of `tiny.tiny_task`."""
        world = {"kind": self.kind, "backbone": self.backbone, "store": self._store} | world
        return tiny_task(seed, **world)

    def fitted(self, seed: int = 0, **world: Any) -> Fit:
        """Return a new fit, seeded as in a run."""
        steps: Steps = []
        task, test = self.task(seed, progress=lambda *step: steps.append(step), **world)
        method = self.built()
        fields, shared = dict(vars(method)), _shared(task, test, self.info.needs)
        process = self._process
        try:
            with randomness.seeded("fit", seed):
                predictor = method.fit(task)
            logits = self.evaluated(predictor, test)
        finally:
            disturbed = process.restore()
            touched = shared.changes()
            if any(what.startswith(_BACKBONE) for what in touched):
                self._backbone = None
        if vars(method) != fields:
            touched.append("the method's fields")
        return Fit(task, test, predictor, logits, steps, touched, disturbed)

    @torch.no_grad()
    def evaluated(self, predictor: Predictor, test: Samples, size: int = 1000) -> Tensor:
        """Return (N, C) logits of all test samples, `size` at a time."""
        index = np.arange(len(test))
        batches = np.split(index, range(size, len(index), size))
        needs = predictor.needs or self.info.needs
        parts = [predictor.logits(test.batch(i, needs=needs)) for i in batches]
        return torch.cat(parts)

    @cached_property
    def _process(self) -> ProcessState:
        """The state of the process before the first fit, put back after each one."""
        return ProcessState.taken()

    @cached_property
    def default(self) -> Fit:
        """The fit that most checks compare with: seed 0 on the unchanged tiny world."""
        return self.fitted()

    @cached_property
    def on_gpu(self) -> GpuFit:
        """A fit on the pretended GPU, in few steps, each of which takes long there."""
        with pretended_gpu() as waits:
            task, test = self.task(backbone=on_pretended_gpu(self.backbone, "bf16"))
            waits.clear()
            predictor = self.built(WHOLE_BATCH).fit(task)
        return GpuFit(task, test, predictor, waits)

    # ---- through the runner ----------------------------------------------------------------------

    def cell(self, backbone: str) -> Cell:
        """Return the cell of the method with a backbone."""
        return Cell(
            method=self.name,
            label=self.name,
            config=dataclasses.asdict(self.built()),  # type: ignore[call-overload]
            family=TinyFamily(self.kind),
            dataset=TinyFamily.name,
            backbone=identify(backbone),
            seed=0,
            split_seed=0,
            protocol="equal",
            select="last",
            precision="fp32",
            groups="thirds",
            deterministic=self.info.deterministic,
            fingerprint=fingerprint(self.name, {}),
        )

    def run_cell(self, out: Path, display: Display) -> None:
        """Run the cell as a sweep does, and write its record and all its logits to `out`.

        Raises:
            Exception: an error of the method, instead of a failed record.
        """
        options = RunOptions(
            out=out,
            data_root=out,
            device=torch.device("cpu"),
            offline=True,
            debug=True,
            save_logits=True,
            checkpoint_s=0.0,
        )
        gc.freeze()  # makes the runner's garbage collection after the cell fast
        try:
            with tempfile.TemporaryDirectory() as folder:
                backbone = write_backbone(Path(folder) / "tiny")
                runner.run([self.cell(backbone)], options, display)
        finally:
            gc.unfreeze()

    @cached_property
    def recorded(self) -> tuple[Record, Tensor | None, Steps]:
        """The record of an uninterrupted run, its logits (N, C), and its steps."""
        display = Display()
        with tempfile.TemporaryDirectory() as folder:
            self.run_cell(Path(folder), display)
            return *stored(Path(folder)), display.steps


def _shared(task: Task, test: Samples, needs: str) -> Shared:
    """Return what a task shares with the tasks of other methods."""
    splits = {"training": task.train, "validation": task.validation, "test": test}
    tensors = {"the class counts": task.counts}
    objects: dict[str, Any] = {_BACKBONE: task.backbone}
    for name, samples in splits.items():
        if samples is not None:
            objects[f"the {name} split"] = samples
            tensors[f"the {name} labels"] = samples.labels
            if needs == "features":
                tensors[f"the {name} features"] = samples.features()
    return Shared(tensors, {_BACKBONE: task.backbone.model}, objects)


def stored(out: Path) -> tuple[Record, Tensor | None]:
    """Read the only record under `out`, with its logits (N, C) if the cell is done.

    Raises:
        Violation: there is no record, more than one, or one that cannot be read.
    """
    store = Store(out)
    records, problems = store.all()
    if problems or len(records) != 1:
        raise Violation(f"{len(records)} records were written instead of one: {problems}")
    (record,) = records
    if record.status != "done":
        return record, None
    return record, torch.from_numpy(store.predictions(record.key)["logits"])


class Display(Silent):
    """A display that remembers the steps."""

    def __init__(self) -> None:
        self.steps: Steps = []

    def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        """Remember the step."""
        self.steps.append((epoch, epochs, step, steps))


class Interrupt(KeyboardInterrupt):
    """Ctrl-C at a step."""


class Interrupting(Display):
    """A display that interrupts at the first step of an epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self._epoch = epoch

    def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        if epoch == self._epoch:
            raise Interrupt
