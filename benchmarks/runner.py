"""Runs cells and writes their records. One failing cell does not stop the others."""

from __future__ import annotations

import datetime
import gc
import os
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import backbones
from benchmarks import device as devices
from benchmarks.backbones import Backbone
from benchmarks.cache import cache_dir
from benchmarks.datasets.base import DataSet
from benchmarks.errors import DataError, DataMissing, NotApplicable, UserError
from benchmarks.features import FeatureStore
from benchmarks.plan import Cell
from benchmarks.protocol import group_of, single_label_metrics
from benchmarks.provenance import provenance
from benchmarks.samples import SplitSamples
from methods.base import Batch, Method, Predictor, Task
from methods.registry import METHODS
from results.schema import Cost, Groups, Metrics, Record, Selection
from results.store import Store

Outcome = tuple[Record, dict[str, NDArray[Any]] | None]
"""A record and, where the cell is done, its predictions."""
EVAL_BATCH = 256
SECONDS_BETWEEN_CHECKPOINTS = 10.0


class Display(Protocol):
    """What the runner tells while it works; `benchmarks.console` shows it."""

    def preparing(self, what: str, done: int = 0, total: int = 0) -> None: ...

    def started(self, cell: Cell) -> None: ...

    def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None: ...

    def finished(self, cell: Cell, record: Record) -> None: ...


@dataclass(frozen=True)
class Settings:
    """Where and on what to run; none of it is in a record's key."""

    out: Path
    data_root: Path
    device: torch.device
    offline: bool = False
    debug: bool = False


def run(cells: Sequence[Cell], settings: Settings, display: Display) -> list[Record]:
    """Run cells in order and write each record as its cell ends.

    A method that raises, or whose logits are not finite or of the wrong shape, leaves a failed
    record. Missing or damaged data and weights end the run: what is finished is kept.

    Raises:
        UserError: data or weights that only the user can put right.
    """
    store = Store(settings.out)
    store.check_writable()
    devices.make_deterministic()
    records = []
    features = FeatureStore(cache_dir() / "features")
    for _, group in groupby(cells, key=lambda c: (c.family, c.split_seed, c.backbone, c.precision)):
        bench = None  # let the last one go before the next is loaded
        same = list(group)
        bench = Bench.load(same[0], settings, features, display)
        for batch in _handed_over_together(same):
            for cell, (record, predictions) in zip(batch, bench.measure(batch), strict=True):
                try:
                    store.write(record, predictions)
                except OSError as error:
                    raise UserError(
                        f"Cannot write to {store.folder}: {error.strerror or error}. What is "
                        "finished is kept; the same command goes on from there."
                    ) from error
                checkpoint_file(settings.out, cell).unlink(missing_ok=True)
                display.finished(cell, record)
                records.append(record)
    return records


def _handed_over_together(cells: list[Cell]) -> Iterator[list[Cell]]:
    """Cells that differ by seed alone, for methods that override `fit_many`; else singles."""
    for name, group in groupby(cells, key=lambda c: (c.method, repr(c.config), c.select)):
        same = list(group)
        batched = METHODS.get(name[0]).fit_many is not Method.fit_many  # type: ignore[attr-defined]
        yield from [same] if batched else [[cell] for cell in same]


class Bench:
    """A data set on a backbone, loaded once and shared by all cells that use it."""

    def __init__(
        self,
        data: DataSet,
        backbone: Backbone,
        features: FeatureStore,
        settings: Settings,
        display: Display,
    ) -> None:
        self.data = data
        self.backbone = backbone
        self._features = features
        self._settings = settings
        self._display = display
        self._train = self._samples("train", data.train)
        self._test = self._samples("test", data.test)
        self._validation: SplitSamples | None = None

    @classmethod
    def load(
        cls, cell: Cell, settings: Settings, features: FeatureStore, display: Display
    ) -> Bench:
        """Load what `cell` needs."""
        display.preparing(f"loading {cell.dataset}")
        try:
            data = cell.family.load(settings.data_root, cell.split_seed)
        except DataMissing as missing:
            if settings.offline:
                raise
            display.preparing(f"downloading {cell.dataset}")
            try:
                cell.family.download(settings.data_root)
            except DataMissing as error:  # what is to be done stands in the first line
                reason = " ".join(str(error.__cause__ or error).split())
                raise DataMissing(f"{missing} (Downloading failed: {reason})") from error
            data = cell.family.load(settings.data_root, cell.split_seed)
        display.preparing(f"loading backbone {cell.backbone.name}")
        backbone = backbones.load(
            cell.backbone_name,
            device=settings.device,
            precision=cell.precision,
            offline=settings.offline,
        )
        return cls(data, backbone, features, settings, display)

    def measure(self, cells: list[Cell]) -> list[tuple[Record, dict[str, NDArray[Any]] | None]]:
        """Fit and evaluate cells that differ by their seed alone; a record and predictions each."""
        started = _now()
        devices.reset_peak_memory(self.backbone.device)
        tasks: list[Task] = []
        try:
            method = METHODS.get(cells[0].method)(**cells[0].config)
            needs: str = method.info.needs
            if self.data.task not in method.info.tasks:
                raise NotApplicable(f"serves {', '.join(method.info.tasks)}-label data only")
            if needs == "features":
                # Frozen features are shared by all cells, so that they are no cost of this one.
                self._train.features()
                self._test.features()
                splits = (self.data.train, self.data.test)
                keys = [self._features.image_key(self.backbone, s.images) for s in splits]
                self._features.bookmark(cells[0].features_name, keys)
            for cell in cells:
                self._display.started(cell)
                tasks.append(self._task(cell))
            clock = time.perf_counter()
            predictors = method.fit_many(tasks)
            fit_s = (time.perf_counter() - clock) / len(cells)
            return [
                self._evaluated(cell, task, predictor, fit_s, started)
                for cell, task, predictor in zip(cells, tasks, predictors, strict=True)
            ]
        except DataError:
            raise
        except NotApplicable as reason:
            return [
                (self._unfinished(c, "not_applicable", str(reason), started), None) for c in cells
            ]
        except Exception as error:
            if self._settings.debug:
                raise
            return [(self._failed(cell, error, started), None) for cell in cells]
        finally:
            gc.collect()

    # ---- parts -------------------------------------------------------------------------------

    def _evaluated(
        self, cell: Cell, task: Task, predictor: Predictor, fit_s: float, started: str
    ) -> Outcome:
        """The outcome of one fitted cell: of several fitted together, one may fail by itself."""
        try:
            clock = time.perf_counter()
            needs: str = METHODS.get(cell.method).info.needs  # type: ignore[attr-defined]
            logits = self._logits(predictor, needs)
            cost = self._cost(predictor, fit_s, time.perf_counter() - clock)
            return self._record(cell, task, predictor, logits, cost, started)
        except DataError:
            raise
        except Exception as error:
            if self._settings.debug:
                raise
            return self._failed(cell, error, started), None

    def _samples(self, name: str, split: Any) -> SplitSamples:
        # Not a method of this object: methods hold the samples, and must not reach the test split.
        progress = partial(self._display.preparing, f"features of {self.data.name} {name}")
        return SplitSamples(split, self.backbone, self._features, progress)

    def _task(self, cell: Cell) -> Task:
        if cell.select == "val" and self._validation is None:
            if self.data.validation is None:
                raise NotApplicable(f"{self.data.name} has no validation images to select by")
            self._validation = self._samples("validation", self.data.validation())
        return Task(
            kind=self.data.task,
            texts=self.data.texts,
            counts=torch.from_numpy(self.data.counts).float().to(self.backbone.device),
            membership=tuple(str(g) for g in self._membership(cell)),
            train=self._train,
            validation=self._validation if cell.select == "val" else None,
            backbone=self.backbone,
            seed=cell.seed,
            device=self.backbone.device,
            progress=self._display.stepped,
            checkpoint=FileCheckpoint(checkpoint_file(self._settings.out, cell)),
            text_cache=partial(self._features.texts, self.backbone),
        )

    def _membership(self, cell: Cell) -> NDArray[np.str_]:
        counts = self.data.counts if self.data.group_counts is None else self.data.group_counts
        return group_of(counts, cell.groups)

    @torch.no_grad()
    def _logits(self, predictor: Predictor, needs: str) -> Tensor:
        """(N, C) float32 test logits on the CPU."""
        parts = []
        classes = self.data.num_classes
        for start in range(0, len(self._test), EVAL_BATCH):
            index = np.arange(start, min(start + EVAL_BATCH, len(self._test)))
            batch: Batch = self._test.batch(index, needs=needs)
            if needs == "images":
                with self.backbone.autocast():
                    logits = predictor.logits(batch)
            else:
                logits = predictor.logits(batch)
            if tuple(logits.shape) != (len(index), classes):
                raise ValueError(
                    f"logits of shape {tuple(logits.shape)}, expected ({len(index)}, {classes})"
                )
            if not bool(torch.isfinite(logits).all()):
                raise ValueError("logits hold NaN or infinite values")
            parts.append(logits.float().cpu())
        return torch.cat(parts)

    def _cost(self, predictor: Predictor, fit_s: float, eval_s: float) -> Cost:
        dev = self.backbone.device
        return Cost(
            trainable_params=predictor.trainable_params,
            epochs=predictor.epochs,
            images_seen=predictor.images_seen,
            tuning_trials=0,
            fit_s=round(fit_s, 3),
            eval_s=round(eval_s, 3),
            peak_memory_mb=round(devices.peak_memory_mb(dev), 1),
            gpu=devices.describe(dev) if dev.type != "cpu" else None,
        )

    def _record(
        self, cell: Cell, task: Task, predictor: Predictor, logits: Tensor, cost: Cost, started: str
    ) -> tuple[Record, dict[str, NDArray[Any]]]:
        probabilities = logits.double().softmax(-1).numpy()
        labels = self.data.test.labels
        membership = self._membership(cell)
        metrics = single_label_metrics(probabilities, labels, membership)
        top = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
        predictions = {
            "ids": np.array(self.data.test.ids),
            "labels": labels.astype(np.int32),
            "top5": top.astype(np.int32),
            "top5_prob": np.take_along_axis(probabilities, top, 1).astype(np.float32),
            "true_prob": probabilities[np.arange(len(labels)), labels].astype(np.float32),
        }
        sizes = {g: int((membership == g).sum()) for g in ("many", "medium", "few")}
        notes = [*task.notes, *predictor.notes]
        if METHODS.get(cell.method).info.reconstruction:  # type: ignore[attr-defined]
            notes.append(METHODS.get(cell.method).info.reconstruction)  # type: ignore[attr-defined]
        record = self._outline(
            cell,
            status="done",
            started=started,
            notes=tuple(dict.fromkeys(notes)),
            metrics=Metrics(**vars(metrics)),
            groups=Groups(
                rule=cell.groups,
                **sizes,
                train_counts=tuple(int(n) for n in self.data.counts),
                membership=tuple(str(g) for g in membership),
            ),
            selection=Selection(
                cell.select, self.data.validation_source if cell.select == "val" else "last epoch"
            ),
            cost=cost,
        )
        record.to_json()  # a plug-in's odd values (a NaN, a tensor) fail its cell here, not the run
        return record, predictions

    def _failed(self, cell: Cell, error: Exception, started: str) -> Record:
        folder = self._settings.out / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"{cell.key}.txt"
        log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        line = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return self._unfinished(cell, "failed", f"{line} (see logs/{log.name})", started)

    def _unfinished(self, cell: Cell, status: str, error: str, started: str) -> Record:
        return self._outline(cell, status=status, started=started, error=error)

    def _outline(
        self, cell: Cell, *, status: str, started: str, error: str | None = None, **rest: Any
    ) -> Record:
        return Record(
            key=cell.key,
            identity=cell.identity,
            status=status,  # type: ignore[arg-type]
            error=error,
            method=cell.method,
            dataset=cell.dataset,
            task=self.data.task,
            dataset_version=self.data.version,
            recipe=self.data.recipe,
            backbone=cell.backbone.name,
            seed=cell.seed,
            split_seed=cell.split_seed,
            protocol=cell.protocol,
            precision=cell.precision,
            deterministic=cell.deterministic,
            config=cell.config,
            dataset_config=cell.dataset_config,
            class_names=self.data.texts.class_names,
            provenance=provenance(
                self.backbone,
                text_hash=self.data.texts.digest,
                split_hash=self.data.split_hash,
                fingerprint=cell.fingerprint,
                started=started,
                finished=_now(),
            ),
            **rest,
        )


class FileCheckpoint:
    """A cell's training state on disk, written at most every few seconds."""

    def __init__(self, file: Path, seconds: float = SECONDS_BETWEEN_CHECKPOINTS) -> None:
        self._file = file
        self._seconds = seconds
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The saved state, or None where there is none."""
        if not self._file.is_file():
            return None
        state: dict[str, Any] = torch.load(self._file, map_location="cpu", weights_only=True)
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the state under another name, then rename it."""
        if time.monotonic() - self._last < self._seconds:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(f".{os.getpid()}.partial")
        torch.save(dict(state), partial)
        os.replace(partial, self._file)
        self._last = time.monotonic()


def checkpoint_file(out: Path, cell: Cell) -> Path:
    """Where a cell's training state is kept until its record is written."""
    return out / "checkpoints" / f"{cell.key}.pt"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
