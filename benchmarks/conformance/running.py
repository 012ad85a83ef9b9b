"""Running the checks: outcomes, exemptions, and fits that several checks look at."""

from __future__ import annotations

import dataclasses
import gc
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from benchmarks import randomness
from benchmarks.backbone.identify import identify
from benchmarks.backbone.names import EMBEDDED
from benchmarks.backbones import Backbone
from benchmarks.conformance.demands import DoesNotApply, Violation
from benchmarks.conformance.pretended_gpu import Waits, on_pretended_gpu, pretended_gpu
from benchmarks.conformance.tiny import tiny_data, tiny_task
from benchmarks.conformance.worlds import TinyFamily, changed, own_backbone, state_of
from benchmarks.datasets.base import DataSet, TaskKind
from benchmarks.plugins.catalog import first_line
from benchmarks.run import runner
from benchmarks.run.options import RunOptions
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.fingerprints import fingerprint
from methods.base import Method, Predictor, Samples, Task
from methods.registry import METHODS, info_of
from results.schema import Record
from results.store import Store

EPOCHS = 2
BATCH_SIZE = 24
"""Of 64 training images: two full batches and a part of one."""
Status = Literal["passed", "failed", "exempt", "not applicable", "not run"]
Steps = list[tuple[int, int, int, int]]
"""(epoch, epochs, step, steps) as a method reported them."""


@dataclass(frozen=True)
class Check:
    """One thing every method must do."""

    run: Callable[[Subject], None]
    """Raises where the method does not."""
    fits: bool = True
    """Needs a method that can be fitted at all."""
    exemptible: bool = True
    """A method may declare itself exempt; not from what the integrity of results hangs on."""

    @property
    def name(self) -> str:
        """As tables show it and `exempt` writes it."""
        return self.run.__name__

    @property
    def demand(self) -> str:
        """What is demanded, in one line."""
        return first_line(self.run.__doc__)


@dataclass(frozen=True)
class Outcome:
    """How a check ended."""

    check: Check
    status: Status
    line: str = ""
    """Why, unless it passed."""

    @property
    def bad(self) -> bool:
        """Whether the method must be changed."""
        return self.status in ("failed", "not run")


@dataclass(frozen=True)
class Fit:
    """A fitted method and what was seen of it."""

    task: Task
    test: Samples
    predictor: Predictor
    logits: Tensor
    """(N, C) of the test samples."""
    steps: Steps
    touched: str
    """What fit and prediction changed although it is shared; empty where nothing."""


@dataclass(frozen=True)
class GpuFit:
    """A method fitted on the pretended GPU."""

    task: Task
    test: Samples
    predictor: Predictor
    waits: Waits
    """Number of times that the host waited for the device during the fit, by place in the code."""


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

    @property
    def data(self) -> DataSet:
        """The tiny world."""
        return tiny_data(self.kind)

    @property
    def rarest(self) -> int:
        """The class with the fewest training images."""
        return int(self.data.counts.argmin())

    def built(self, batch_size: int = BATCH_SIZE) -> Method:
        """The method with its defaults, but few epochs of small batches."""
        fields = {f.name: f.default for f in dataclasses.fields(self.cls)}
        short = {
            n: min(v, EPOCHS)
            for n, v in fields.items()
            if n.endswith("epochs") and isinstance(v, int)
        }
        if "batch_size" in fields:
            short["batch_size"] = batch_size
        method: Method = self.cls(**short)
        return method

    @property
    def backbone(self) -> Backbone:
        """The tiny backbone, a copy of this subject's own: another one once a fit changed it."""
        if self._backbone is None:
            self._backbone = own_backbone()
        return self._backbone

    def task(self, seed: int = 0, **world: Any) -> tuple[Task, Samples]:
        """A task and its test samples; `world` holds arguments of `tiny.tiny_task`."""
        world = {"kind": self.kind, "backbone": self.backbone} | world
        return tiny_task(seed, **world)

    def fitted(self, seed: int = 0, **world: Any) -> Fit:
        """A fresh fit, seeded as the runner does it."""
        steps: Steps = []
        task, test = self.task(seed, progress=lambda *step: steps.append(step), **world)
        method = self.built()
        fields, model = dict(vars(method)), state_of(task.backbone.model)
        labels, counts = task.train.labels.clone(), task.counts.clone()
        with randomness.seeded("fit", seed):
            predictor = method.fit(task)
        logits = self.evaluated(predictor, test)
        part = changed(task.backbone.model, model)
        if part:
            self._backbone = None
        touched = {
            "the method's fields": vars(method) != fields,
            f"the backbone's {part}": bool(part),
            "the training labels": not torch.equal(task.train.labels, labels),
            "the class counts": not torch.equal(task.counts, counts),
            "the stored features": not task.train.untouched,  # type: ignore[attr-defined]
        }
        found = ", ".join(what for what, is_so in touched.items() if is_so)
        return Fit(task, test, predictor, logits, steps, found)

    @torch.no_grad()
    def evaluated(self, predictor: Predictor, test: Samples, size: int = 1000) -> Tensor:
        """(N, C) logits of all test samples, `size` at a time."""
        index = np.arange(len(test))
        batches = np.split(index, range(size, len(index), size))
        parts = [predictor.logits(test.batch(i, needs=self.info.needs)) for i in batches]
        return torch.cat(parts)

    @cached_property
    def default(self) -> Fit:
        """The fit that most checks compare with: seed 0, the tiny world as it is."""
        return self.fitted()

    @cached_property
    def on_gpu(self) -> GpuFit:
        """A fit on the pretended GPU."""
        with pretended_gpu() as waits:
            task, test = self.task(backbone=on_pretended_gpu(self.backbone, "bf16"))
            waits.clear()
            predictor = self.built().fit(task)
        return GpuFit(task, test, predictor, waits)

    # ---- through the runner ----------------------------------------------------------------------

    def cell(self) -> Cell:
        """What the runner is given."""
        return Cell(
            method=self.name,
            label=self.name,
            config=dataclasses.asdict(self.built()),  # type: ignore[call-overload]
            family=TinyFamily(self.kind),
            dataset=TinyFamily.name,
            backbone=identify(EMBEDDED),
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
        """Run the cell as a sweep would; its record and all its logits go to `out`.

        Raises:
            Exception: whatever the method raised, in place of a failed record.
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
        gc.freeze()  # the runner collects garbage after each cell: only what is new is looked at
        try:
            runner.run([self.cell()], options, display)
        finally:
            gc.unfreeze()

    @cached_property
    def recorded(self) -> tuple[Record, Tensor | None, Steps]:
        """The record of a run that nobody interrupted, its logits (N, C), and its steps."""
        display = Display()
        with tempfile.TemporaryDirectory() as folder:
            self.run_cell(Path(folder), display)
            return *stored(Path(folder)), display.steps


def stored(out: Path) -> tuple[Record, Tensor | None]:
    """The one record under `out`, with its logits (N, C) where the cell is done.

    Raises:
        Violation: there is none, or more than one, or it does not read.
    """
    store = Store(out)
    records, problems = store.all()
    if problems or len(records) != 1:
        raise Violation(f"{len(records)} records where one was to be written: {problems}")
    (record,) = records
    if record.status != "done":
        return record, None
    return record, torch.from_numpy(store.predictions(record.key)["logits"])


class Display:
    """A runner's display that remembers the steps."""

    def __init__(self) -> None:
        self.steps: Steps = []

    def preparing(self, what: str, done: int = 0, total: int = 0) -> None:
        """Nothing to show."""

    def started(self, cell: Cell) -> None:
        """Nothing to show."""

    def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        """Remember the step."""
        self.steps.append((epoch, epochs, step, steps))

    def finished(self, cell: Cell, record: Record) -> None:
        """Nothing to show."""


class Interrupt(KeyboardInterrupt):
    """Ctrl-C at a step."""


class Interrupting(Display):
    """Interrupts at the first step of an epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self._epoch = epoch

    def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        if epoch == self._epoch:
            raise Interrupt


def run_checks(
    name: str, kind: TaskKind, checks: Sequence[Check], *, debug: bool = False
) -> Iterator[Outcome]:
    """Run checks on a method, one outcome after the other.

    Args:
        name: registered method.
        kind: "single" or "multi", one that the method serves.
        checks: which, those that fit nothing first.
        debug: raise what a check finds instead of telling it.

    Raises:
        UserError: no such method, or a file of methods that does not import.
    """
    subject = Subject(name, kind)
    fits = True
    for check in checks:
        exempt = subject.info.exempt.get(check.name)
        if exempt is not None and check.exemptible:
            yield Outcome(check, "exempt", exempt)
            continue
        if check.fits and not fits:
            yield Outcome(check, "not run", "it cannot be fitted")
            continue
        try:
            check.run(subject)
        except DoesNotApply as reason:
            yield Outcome(check, "not applicable", str(reason))
        except Exception as error:
            if debug:
                raise
            fits = fits and check.name != "fits"
            yield Outcome(check, "failed", _line(error))
        else:
            yield Outcome(check, "passed")


def _line(error: Exception) -> str:
    """What a check found, or what the method raised and where."""
    text = " ".join(str(error).split())
    if isinstance(error, Violation):
        return text
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {text} ({Path(last.filename).name}, line {last.lineno})"
