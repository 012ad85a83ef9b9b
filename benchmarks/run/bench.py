"""A data set on a backbone, on which cells are fitted.

It has no test labels: it returns logits, and the process that has the labels scores them.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import backbones, randomness
from benchmarks import device as devices
from benchmarks.augment import takes_crops
from benchmarks.backbones import Backbone
from benchmarks.datasets.base import DataSet, Split
from benchmarks.errors import DataError, NotApplicable, UserError, one_line
from benchmarks.inputs.features import FeatureStore
from benchmarks.inputs.samples import SplitSamples
from benchmarks.multi_label import f1_thresholds
from benchmarks.run.batched_fits import fit_batch, shares
from benchmarks.run.border import (
    Facts,
    Measured,
    Verdict,
    checked,
    checked_curves,
    checked_notes,
    failure,
)
from benchmarks.run.checkpoints import FileCheckpoint, checkpoint_file
from benchmarks.run.display import Display
from benchmarks.run.function_writer import Unsaveable
from benchmarks.run.guard import ProcessState
from benchmarks.run.live import LastOptimiser, LiveTask
from benchmarks.run.logits import as_measured, logits_of_all
from benchmarks.run.model_files import About, model_file, save_model
from benchmarks.run.nearest import nearest_others
from benchmarks.run.options import RunOptions
from benchmarks.run.recorder import membership, now
from benchmarks.run.untouched import Shared
from benchmarks.sweep.cell import Cell
from methods.base import FitResult, Method, Predictor, Task
from methods.registry import METHODS, MethodInfo, info_of
from results.schema import Cost

PROBED = 8
"""Test images whose logits a saved model has to repeat."""
Take = Callable[[Measured], None]
"""Receiver of the results of a batch, in the order of its cells."""


class Fitted(NamedTuple):
    """Result of a fit and its time."""

    result: FitResult
    seconds: float
    """Time of the fit; of a batch, its share (`batched_fits.shares`)."""
    waited_s: float | None
    """Part of `seconds` spent waiting for images; None for methods on features."""
    together: int
    """Cells of the batch, this one included."""


def load_backbone(cell: Cell, options: RunOptions, display: Display) -> Backbone:
    """Load the backbone of a cell; download it if it is missing, unless offline.

    Raises:
        DataMissing: the weights are missing.
    """
    display.preparing(f"loading backbone {cell.backbone.name}")
    return backbones.load(
        cell.backbone.typed,
        device=options.device,
        precision=cell.precision,
        transform=cell.transform,
        image_size=cell.image_size,
        offline=options.offline,
    )


class Bench:
    """A data set on a backbone, loaded once and shared by all cells that use it.

    Args:
        data: the data set; its test labels are dropped.
        backbone: the backbone.
        features: store of frozen features.
        options: of the run.
        display: shows the progress.
        trusted: True if all methods belong to the suite. Their unreadable images end the run;
            another method's exceptions of any kind are its own failure.
    """

    def __init__(
        self,
        data: DataSet,
        backbone: Backbone,
        features: FeatureStore,
        options: RunOptions,
        display: Display,
        *,
        trusted: bool = True,
    ) -> None:
        self.facts = Facts(
            weights_id=backbone.id.weights_id,
            preprocess_hash=backbone.preprocess_hash,
            hardware=devices.describe(backbone.device),
            split_hash=data.split_hash,
            deterministic_algorithms=torch.are_deterministic_algorithms_enabled(),
            nearest=(
                nearest_others(_name_features(data, backbone, features, display))
                if backbone.has_text
                else ()
            ),
        )
        data = data.without_test_labels()
        self._data = data
        self._backbone = backbone
        self._features = features
        self._options = options
        self._display = display
        self._trusted = trusted
        self._train = self._samples("train", data.train)
        self._test = self._samples("test", data.test)
        self._validation: SplitSamples | None = None
        self._in_index = False
        self._optimiser = LastOptimiser()
        self._shared = Shared(
            {}, modules={"the backbone": backbone.model}, objects={"the backbone": backbone}
        )

    @classmethod
    def load(
        cls,
        cell: Cell,
        data: DataSet,
        options: RunOptions,
        features: FeatureStore,
        display: Display,
        *,
        trusted: bool = True,
    ) -> Bench:
        """Load the backbone of `cell`; download it if it is missing, unless offline.

        Args:
            cell: any of the cells that will share the bench.
            data: their data set.
            options: of the run.
            features: store of frozen features.
            display: shows the progress.
            trusted: True if all methods belong to the suite.

        Raises:
            DataMissing: the weights are missing.
        """
        backbone = load_backbone(cell, options, display)
        return cls(data, backbone, features, options, display, trusted=trusted)

    def prepare(self, cell: Cell, info: MethodInfo) -> None:
        """Compute what the cell needs and all methods share, or find it in the store.

        Args:
            cell: any of the cells that follow.
            info: declaration of its method, which may not be imported yet.
        """
        if self._data.task not in info.tasks:
            return
        if info.needs == "features":
            self._prepare_features(cell)
            if cell.config.get("tte"):
                self._prepare_crops(cell)
        elif takes_crops(str(cell.config.get("augment", ""))):
            what = f"resizing training images of {self._data.name}"
            self._train.make_copies(partial(self._display.preparing, what))

    def measure(self, cells: list[Cell], take: Take) -> Verdict:
        """Fit a batch of cells (see `batched_fits`) and compute their test logits.

        Args:
            cells: the batch.
            take: receives the result of each.

        Returns:
            The state that the batch left behind. If it changed shared arrays, the numbers of all
            its cells are worthless, and the bench must be loaded again.
        """
        started = now()
        state = ProcessState.taken()
        devices.reset_peak_memory(self._backbone.device)
        taken: list[Measured] = []
        own: list[BaseException] = []

        def note(measured: Measured) -> None:
            taken.append(measured)
            try:
                take(measured)
            except BaseException as error:
                own.append(error)  # of the receiver, no failure of the method
                raise

        try:
            self._measure(cells, started, note)
        except BaseException as error:
            if own:
                raise
            failed = self._failed(error, started)
            for _ in cells[len(taken) :]:
                take(failed)
        restored = state.restore()
        gc.collect()
        return Verdict(changed=tuple(self.changes()), restored=tuple(restored))

    # ---- parts -------------------------------------------------------------------------------

    def _fit(self, cells: list[Cell], tasks: list[Task]) -> list[Fitted]:
        """Return the result and the fit time of each cell, without shared feature extraction."""
        found: dict[int, FitResult] = {}
        methods: dict[int, Method] = {}
        for number, cell in enumerate(cells):
            try:
                methods[number] = METHODS.get(cell.method)(**cell.config)
            except Exception as error:
                found[number] = error
        for cell in cells:
            self._display.started(cell)
        device = self._backbone.device
        shared, waited = self._features.seconds, self._train.waited_s
        clock = time.perf_counter()
        # Seeded, so that a plug-in that draws from torch's global generator repeats its numbers.
        with (
            self._optimiser.watched() if self._options.live else nullcontext(),
            randomness.seeded("fit", *(cell.seed for cell in cells), device=device),
        ):
            results = fit_batch([(m, tasks[number]) for number, m in methods.items()])
        found |= dict(zip(methods, results, strict=True))
        seconds = time.perf_counter() - clock - (self._features.seconds - shared)
        waited = self._train.waited_s - waited
        needs = info_of(cells[0].method).needs
        ordered = [found[number] for number in range(len(cells))]
        return [
            Fitted(
                result,
                share * seconds + task.checkpoint.earlier_s,
                share * waited if needs == "images" else None,
                len(cells),
            )
            for result, task, share in zip(
                ordered, tasks, shares(ordered, len(self._train)), strict=True
            )
        ]

    def _measure(self, cells: list[Cell], started: str, take: Take) -> None:
        info = info_of(cells[0].method)
        if self._data.task not in info.tasks:
            raise NotApplicable(f"serves {', '.join(info.tasks)}-label data only")
        self.prepare(cells[0], info)
        tasks = [self._task(cell, len(cells)) for cell in cells]
        if self._validation is not None and info.needs == "features":
            self._validation.features()
        for name, samples in (
            ("training", self._train), ("test", self._test), ("validation", self._validation)
        ):  # fmt: skip
            loaded = {} if samples is None else samples.tensors()
            self._shared.add({f"the {name} {what}": tensor for what, tensor in loaded.items()})
        fitted = self._fit(cells, tasks)
        for cell, task, one in zip(cells, tasks, fitted, strict=True):
            take(self._evaluated(cell, task, one, started))

    def _evaluated(self, cell: Cell, task: Task, fitted: Fitted, started: str) -> Measured:
        """Return the result of one fitted cell; one of a batch may fail alone."""
        try:
            if isinstance(fitted.result, Exception):
                raise fitted.result
            predictor = checked(fitted.result)
            clock = time.perf_counter()
            measured, said = as_measured(predictor, self._data.scores)
            logits = self._logits(cell, measured, self._test)
            cost = self._cost(cell, predictor, fitted, time.perf_counter() - clock)
            notes = checked_notes(
                [*checked_notes(task.notes), *checked_notes(predictor.notes), *said]
            )
            thresholds = self._thresholds(cell, measured)
            if self._options.save_model:
                same = measured is predictor
                own = thresholds if same else self._thresholds(cell, predictor)
                task.details.extend(self._saved(cell, predictor, own))
            curves = checked_curves(task.curves)
            return Measured(
                "done", started, notes=tuple(notes), remarks=tuple(checked_notes(task.details)),
                curves=curves, cost=cost, logits=logits,
                thresholds=thresholds,
            )  # fmt: skip
        except BaseException as error:
            return self._failed(error, started)

    def _failed(self, error: BaseException, started: str) -> Measured:
        """Return the result of a cell that raised; re-raise errors that end the run."""
        if self._trusted and isinstance(error, DataError):
            raise error
        if self._options.debug and not isinstance(error, NotApplicable):
            raise error
        if isinstance(error, KeyboardInterrupt) and not self._options.isolated:
            raise error  # the user's own
        return failure(error, started)

    def _samples(self, name: str, split: Split) -> SplitSamples:
        # Bound to the display, not to this object: methods keep the training samples alive.
        progress = partial(self._display.preparing, f"features of {self._data.name} {name}")
        return SplitSamples(split, self._backbone, self._features, progress)

    def _prepare_features(self, cell: Cell) -> None:
        """Compute the frozen features that all cells share, or load them from the store."""
        if self._in_index:  # the digests of many images take time
            return
        splits = {"train": (self._train, self._data.train), "test": (self._test, self._data.test)}
        for samples, _ in splits.values():
            samples.features()
        keys = [self._features.image_key(self._backbone, s.images) for _, s in splits.values()]
        self._features.add_to_index(cell.features_name, keys)
        self._in_index = True

    def _prepare_crops(self, cell: Cell) -> None:
        """Compute the features of the test images' five crops, or load them from the store."""
        with suppress(NotApplicable):  # `fit` says so in the cell's record
            self._test.crops()
            key = self._features.crops_key(self._backbone, self._data.test.images)
            self._features.add_to_index(cell.crops_name, [key])

    def _task(self, cell: Cell, batch: int = 1) -> Task:
        if cell.select == "val" and self._validation is None:
            if self._data.validation is None:
                raise NotApplicable(f"{self._data.name} has no validation images to select by")
            self._validation = self._samples("validation", self._data.validation())
        details = [self._backbone.remark] if self._backbone.remark else []
        of_type: Callable[..., Task] = Task
        if self._options.live:
            listener = partial(self._display.logged, cell)
            of_type = partial(LiveTask, listener=listener, optimiser=self._optimiser)
        return of_type(
            kind=self._data.task,
            texts=self._data.texts,
            counts=torch.from_numpy(self._data.counts).float().to(self._backbone.device),
            membership=tuple(str(g) for g in membership(self._data, cell)),
            train=self._train,
            validation=self._validation if cell.select == "val" else None,
            backbone=self._backbone,
            seed=cell.seed,
            device=self._backbone.device,
            progress=self._display.stepped,
            checkpoint=FileCheckpoint(
                checkpoint_file(self._options.out, cell), self._options.checkpoint_s, batch, details
            ),
            details=details,
            hierarchy=self._data.hierarchy,
            scores=self._data.scores,
            text_cache=partial(
                self._features.texts,
                self._backbone,
                progress=partial(self._display.preparing, f"features of {self._data.name} texts"),
            ),
        )

    def _logits(self, cell: Cell, predictor: Predictor, samples: SplitSamples) -> Tensor:
        """Return (N, C) float32 logits on the CPU, the mean over the predictor's views."""
        needs = predictor.needs or info_of(cell.method).needs
        return logits_of_all(predictor, samples, self._backbone, needs, self._data.num_classes)

    def _thresholds(self, cell: Cell, predictor: Predictor) -> tuple[float | None, ...]:
        """Return thresholds of multi-label decisions, chosen on validation images.

        Returns:
            One for each class; none if the cell has no validation images.
        """
        if self._data.task != "multi" or cell.select != "val" or self._validation is None:
            return ()
        logits = self._logits(cell, predictor, self._validation)
        return f1_thresholds(logits.numpy(), self._validation.labels.cpu().numpy())

    def _saved(
        self, cell: Cell, predictor: Predictor, thresholds: tuple[float | None, ...]
    ) -> list[str]:
        """Save the model of a cell, and return a remark if it cannot be saved.

        Some test images are predicted by the model in the file, too: one that depends on anything
        outside of its file would be wrong elsewhere.
        """
        file = model_file(self._options.out, cell.key)
        needs = predictor.needs or info_of(cell.method).needs
        some = np.arange(min(PROBED, len(self._test)))
        with torch.no_grad(), self._backbone.precision_for(needs):
            batch = self._test.batch(some, needs=needs)
            logits = predictor.logits(batch)
            plain = None if predictor.uncalibrated is None else predictor.uncalibrated(batch)
            calibrated = plain is None or not torch.equal(plain, logits)
            about = About.of(cell, self._data, predictor, thresholds, calibrated=calibrated)
            try:
                again = save_model(file, about, predictor, self._backbone)
                found = again.predictor(self._backbone).logits(batch)
                if not torch.allclose(found, logits, rtol=1e-3, atol=1e-3):
                    raise Unsaveable("the saved function gives other logits")
            except DataError:
                raise
            except Exception as error:  # of any type: a plug-in's objects need not bear a copy
                file.unlink(missing_ok=True)
                known = isinstance(error, Unsaveable | UserError)
                kind = "" if known else f"{type(error).__name__}: "
                return [f"its model is not saved: {kind}{one_line(error)}"]
        return []

    def _cost(self, cell: Cell, predictor: Predictor, fitted: Fitted, eval_s: float) -> Cost:
        dev, waited = self._backbone.device, fitted.waited_s
        return Cost(
            trainable_params=int(predictor.trainable_params),
            epochs=int(predictor.epochs),
            images_seen=int(predictor.images_seen),
            tuning_trials=cell.tuning.trials if cell.tuning is not None else 0,
            fit_s=round(fitted.seconds, 3),
            eval_s=round(eval_s, 3),
            peak_memory_mb=round(devices.peak_memory_mb(dev), 1),
            gpu=devices.describe(dev) if dev.type != "cpu" else None,
            data_wait_s=None if waited is None else round(waited, 3),
            fitted_together=max(int(predictor.fitted_together), fitted.together),
        )

    def changes(self) -> list[str]:
        """Return the names of shared things that a method has changed in place."""
        return self._shared.changes()


def _name_features(
    data: DataSet, backbone: Backbone, features: FeatureStore, display: Display
) -> Tensor:
    """(C, D) features of the class names in the first template."""
    prompts = [data.texts.templates[0].format(name) for name in data.texts.class_names]
    progress = partial(display.preparing, f"features of {data.name} names")
    return features.texts(backbone, prompts, progress=progress)
