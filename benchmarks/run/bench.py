"""A data set on a backbone, on which cells are fitted and evaluated."""

from __future__ import annotations

import dataclasses
import gc
import time
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import backbones, memory, randomness
from benchmarks import device as devices
from benchmarks.backbones import Backbone
from benchmarks.datasets.base import DataSet, Split
from benchmarks.datasets.carving import with_validation
from benchmarks.errors import DataError, DataMissing, NotApplicable, UserError
from benchmarks.inputs.features import FeatureStore
from benchmarks.inputs.samples import SplitSamples
from benchmarks.run.batched_fits import fit_batch
from benchmarks.run.checkpoints import FileCheckpoint, checkpoint_file
from benchmarks.run.data_sets import DataSets
from benchmarks.run.display import Display
from benchmarks.run.logits import SAMPLES, logits_of
from benchmarks.run.model_files import Restored, SavedModel, model_file, put_back, save_model
from benchmarks.run.options import RunOptions
from benchmarks.run.recorder import Predictions, Recorder, membership, now
from benchmarks.sweep.cell import Cell
from methods.base import FitResult, Method, Predictor, Task
from methods.registry import METHODS, info_of
from results.schema import Cost, Record

Outcome = tuple[Record, Predictions | None]
"""A record and, if the cell is done, its predictions."""


class Fitted(NamedTuple):
    """Result of a fit and its time."""

    result: FitResult
    seconds: float
    """Time of the fit; of a batch, an equal share."""
    waited_s: float | None
    """Part of `seconds` spent waiting for images; None for methods on features."""


class Bench:
    """A data set on a backbone, loaded once and shared by all cells that use it."""

    def __init__(
        self,
        data: DataSet,
        backbone: Backbone,
        features: FeatureStore,
        options: RunOptions,
        display: Display,
    ) -> None:
        self.spoiled = False
        """True if a method changed shared tensors in place: load again."""
        self._data = data
        self._backbone = backbone
        self._features = features
        self._options = options
        self._display = display
        self._recorder = Recorder(data, backbone, options.out, save_logits=options.save_logits)
        self._train = self._samples("train", data.train)
        self._test = self._samples("test", data.test)
        self._validation: SplitSamples | None = None
        self._pristine = _state(backbone)

    @classmethod
    def load(
        cls,
        cell: Cell,
        options: RunOptions,
        features: FeatureStore,
        display: Display,
        data_sets: DataSets | None = None,
    ) -> Bench:
        """Load the data set and the backbone of `cell`; download missing ones unless offline.

        Args:
            cell: any of the cells that will share them.
            options: of the run.
            features: store of frozen features.
            display: shows the progress.
            data_sets: those of the run, loaded or not.

        Raises:
            DataMissing: data or weights are missing; if both are, the line says so.
        """
        display.preparing(f"loading {cell.dataset}")
        try:
            data = (data_sets or DataSets(options, display)).get(cell)
        except DataMissing as missing:
            try:  # check only, do not download: weights are of no use yet
                backbones.require(cell.backbone, offline=options.offline)
            except DataMissing as also:
                raise DataMissing(f"{missing} And: {also}") from also
            raise
        if cell.select == "val":
            data = with_validation(data, cell.split_seed)
        display.preparing(f"loading backbone {cell.backbone.name}")
        backbone = backbones.load(
            cell.backbone.typed,
            device=options.device,
            precision=cell.precision,
            transform=cell.transform,
            offline=options.offline,
        )
        return cls(data, backbone, features, options, display)

    def measure(self, cells: list[Cell]) -> list[Outcome]:
        """Fit and evaluate a batch of cells (see `batched_fits`)."""
        started = now()
        devices.reset_peak_memory(self._backbone.device)
        try:
            info = info_of(cells[0].method)
            if self._data.task not in info.tasks:
                raise NotApplicable(f"serves {', '.join(info.tasks)}-label data only")
            if info.needs == "features":
                self._prepare_features(cells[0])
            elif cells[0].config.get("augment") == "crop_flip":
                what = f"resizing training images of {self._data.name}"
                self._train.make_copies(partial(self._display.preparing, what))
            tasks = [self._task(cell, len(cells)) for cell in cells]
            fitted = self._fit(cells, tasks)
            outcomes = [
                self._evaluated(cell, task, one, started)
                for cell, task, one in zip(cells, tasks, fitted, strict=True)
            ]
            self._refuse_changes()
            return outcomes
        except Exception as error:
            return [self._failed(cell, error, started) for cell in cells]
        finally:
            gc.collect()

    def restored(self, cell: Cell, model: SavedModel) -> Predictor:
        """Return the predictor of a cell that was run before, with its trained part.

        Raises:
            UserError: the saved model does not fit the present source of the method.
        """
        if info_of(cell.method).needs == "features":
            self._prepare_features(cell)
        task = dataclasses.replace(self._task(cell), checkpoint=Restored(model.stages))
        (fitted,) = self._fit([cell], [task])
        if isinstance(fitted.result, RuntimeError):  # load_state_dict raises it on a mismatch
            error = fitted.result
            raise UserError(f"{cell.title}: the saved model does not fit: {error}") from error
        if isinstance(fitted.result, Exception):
            raise fitted.result
        put_back(fitted.result, model.last)
        return fitted.result

    @property
    def upright(self) -> bool:
        """True if the data set's images are turned by their EXIF orientation."""
        return self._data.upright

    def logits(self, cell: Cell, predictor: Predictor, split: Split | None = None) -> Tensor:
        """Return (N, C) float32 logits on the CPU for a split, by default the test images."""
        return self._logits(
            cell, predictor, self._test if split is None else self._samples("images", split)
        )

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
        with randomness.seeded("fit", *(cell.seed for cell in cells), device=device):
            results = fit_batch([(m, tasks[number]) for number, m in methods.items()])
        found |= dict(zip(methods, results, strict=True))
        seconds = time.perf_counter() - clock - (self._features.seconds - shared)
        waited = (self._train.waited_s - waited) / len(cells)
        earlier = [task.checkpoint.earlier_s for task in tasks]
        needs = info_of(cells[0].method).needs
        return [
            Fitted(found[number], seconds / len(cells) + e, waited if needs == "images" else None)
            for number, e in enumerate(earlier)
        ]

    def _evaluated(self, cell: Cell, task: Task, fitted: Fitted, started: str) -> Outcome:
        """Return the outcome of one fitted cell; one of a batch may fail alone."""
        predictor = fitted.result
        try:
            if isinstance(predictor, Exception):
                raise predictor
            clock = time.perf_counter()
            logits = self._logits(cell, predictor, self._test)
            cost = self._cost(cell, predictor, fitted, time.perf_counter() - clock)
            notes = [*task.notes, *predictor.notes]
            if self._options.save_model:
                file = model_file(self._options.out, cell.key)
                save_model(file, cell, self._options.data_root, task.checkpoint.stages, predictor)
            return self._recorder.done(cell, logits, cost, notes, started)
        except Exception as error:
            return self._failed(cell, error, started)

    def _failed(self, cell: Cell, error: Exception, started: str) -> Outcome:
        """Return the outcome of a cell that raised; re-raise errors that only the user can fix."""
        if isinstance(error, DataError):
            raise error
        if isinstance(error, NotApplicable):
            return self._recorder.not_applicable(cell, str(error), started), None
        if self._options.debug:
            raise error
        return self._recorder.failed(cell, error, started), None

    def _samples(self, name: str, split: Split) -> SplitSamples:
        # Bound to the display, not to this object: methods keep the training samples alive.
        progress = partial(self._display.preparing, f"features of {self._data.name} {name}")
        return SplitSamples(split, self._backbone, self._features, progress)

    def _prepare_features(self, cell: Cell) -> None:
        """Compute the frozen features that all cells share, or load them from the store."""
        splits = {"train": (self._train, self._data.train), "test": (self._test, self._data.test)}
        for samples, _ in splits.values():
            samples.features()
        keys = [self._features.image_key(self._backbone, s.images) for _, s in splits.values()]
        self._features.add_to_index(cell.features_name, keys)

    def _task(self, cell: Cell, batch: int = 1) -> Task:
        if cell.select == "val" and self._validation is None:
            if self._data.validation is None:
                raise NotApplicable(f"{self._data.name} has no validation images to select by")
            self._validation = self._samples("validation", self._data.validation())
        notes: list[str] = []
        return Task(
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
                checkpoint_file(self._options.out, cell), self._options.checkpoint_s, batch, notes
            ),
            notes=notes,
            text_cache=partial(
                self._features.texts,
                self._backbone,
                progress=partial(self._display.preparing, f"features of {self._data.name} texts"),
            ),
        )

    def _logits(self, cell: Cell, predictor: Predictor, samples: SplitSamples) -> Tensor:
        """Return (N, C) float32 logits on the CPU, the mean over the predictor's views."""
        needs = info_of(cell.method).needs
        size = SAMPLES[needs]
        while True:
            try:
                return logits_of(
                    predictor, samples, self._backbone, needs, self._data.num_classes, size
                )
            except (RuntimeError, MemoryError) as error:
                size = memory.halved(size, error)
            memory.release(self._backbone.device)

    def _cost(self, cell: Cell, predictor: Predictor, fitted: Fitted, eval_s: float) -> Cost:
        dev, waited = self._backbone.device, fitted.waited_s
        return Cost(
            trainable_params=predictor.trainable_params,
            epochs=predictor.epochs,
            images_seen=predictor.images_seen,
            tuning_trials=cell.tuning.trials if cell.tuning is not None else 0,
            fit_s=round(fitted.seconds, 3),
            eval_s=round(eval_s, 3),
            peak_memory_mb=round(devices.peak_memory_mb(dev), 1),
            gpu=devices.describe(dev) if dev.type != "cpu" else None,
            data_wait_s=None if waited is None else round(waited, 3),
            fitted_together=predictor.fitted_together,
        )

    def _refuse_changes(self) -> None:
        """Raise if a method changed shared tensors, and mark the bench as spoiled."""
        samples = [s for s in (self._train, self._test, self._validation) if s is not None]
        if _state(self._backbone) != self._pristine or not all(s.untouched for s in samples):
            self.spoiled = True
            raise RuntimeError(
                "the method changed the backbone, features or labels in place, which other "
                "methods share: work on a copy (clone, copy.deepcopy)"
            )


def _state(backbone: Backbone) -> list[Any]:
    """Return torch's counters of in-place changes, and the flags, of a backbone's parts."""
    tensors = [*backbone.model.parameters(), *backbone.model.buffers()]
    versions = [(tensor._version, tensor.requires_grad) for tensor in tensors]
    return [versions, [module.training for module in backbone.model.modules()]]
