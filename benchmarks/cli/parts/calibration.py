"""A backbone's zero-shot accuracies against the values that others have published for its weights.

Wrong weights, or a wrong activation, transform or list of class names, give numbers that look right
and are off by one point or ten. `zero_shot` therefore runs on complete public test sets that have
public evaluations (`results/published.yaml`, kind calibration), through the same loaders, texts,
transform and feature store as any run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from benchmarks import backbones
from benchmarks import device as devices
from benchmarks.backbone.identify import identify
from benchmarks.backbone.names import BackboneId
from benchmarks.backbones import Backbone
from benchmarks.cli.parts.progress import ProgressDisplay
from benchmarks.conformance.tiny import NoCheckpoint
from benchmarks.datasets.base import DataSet, Family
from benchmarks.errors import DataError, DataMissing, UserError, counted
from benchmarks.inputs.features import FeatureStore, user_store
from benchmarks.inputs.samples import SplitSamples
from benchmarks.metrics import multi_label_metrics, single_label_metrics
from benchmarks.protocol import group_of
from benchmarks.run.logits import SAMPLES, likeliest, logits_of
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.settings import Choice, Sweep
from methods.base import Method, Task
from methods.registry import METHODS
from results.published import Published, published


@dataclass(frozen=True)
class CalibrationResult:
    """The result on one data set beside the known values."""

    dataset: str
    expected: tuple[float, ...]
    """In percent; several if public evaluations differ."""
    tolerance: float
    """In percentage points."""
    got: float | None = None
    """In percent; None if it was not checked."""
    why: str = ""
    """Why it was not checked, in a word or two."""
    detail: str = ""
    """The reason as a sentence that says what to do."""
    damaged: bool = False

    @property
    def difference(self) -> float | None:
        """Percentage points from the nearest of the known values."""
        if self.got is None:
            return None
        return min((self.got - value for value in self.expected), key=abs)

    @property
    def failed(self) -> bool:
        """True if the value is wrong or the data are damaged, not if it was merely unchecked."""
        gap = self.difference
        return self.damaged if gap is None else abs(gap) > self.tolerance + 1e-9


def calibrate(sweep: Sweep, console: Console, known: Sequence[Published] | None = None) -> int:
    """Compare the zero-shot values of a backbone with the known ones and print a table.

    Args:
        sweep: its backbone, data root, device, precision and `offline` are used.
        console: where to print.
        known: entries of kind calibration, by default all of `results/published.yaml`.

    Returns:
        0 if every value that could be checked passes, 1 if one fails, 2 if none could be checked.

    Raises:
        UserError: the backbone or the data root does not exist.
        DataMissing: the weights are missing and could not be downloaded.
    """
    if sweep.data_root != Sweep().data_root and not os.path.isdir(sweep.data_root):
        raise UserError(f"--data-root {sweep.data_root}: no such folder.")
    every = [e for e in published() if e.kind == "calibration"] if known is None else known
    ident = identify(sweep.backbone or Family.default_backbone)
    name, entries = _known_for(ident, every)
    if not entries:
        others = ", ".join(dict.fromkeys(entry.backbone for entry in every))
        line = f"No zero-shot values of {ident.name} are known. Known backbones: {others}."
        _print_line(console, line)
        return 2
    datasets = dict.fromkeys(entry.dataset for entry in entries if entry.dataset is not None)
    zero_shot_sweep = replace(
        Sweep(), methods=(Choice("zero_shot"),), datasets=tuple(map(Choice, datasets)),
        seeds=(0,), backbone=sweep.backbone, data_root=sweep.data_root, device=sweep.device,
        precision=sweep.precision, protocol="paper",
    )  # fmt: skip
    cells = plan.expand(zero_shot_sweep).cells
    with ProgressDisplay(console, len(cells), 0) as display:

        @cache
        def backbone() -> Backbone:  # loaded only if there is data to check it on
            display.preparing(f"loading backbone {ident.name}")
            device = devices.pick(sweep.device)
            offline, precision = sweep.offline, cells[0].precision
            return backbones.load(
                cells[0].backbone.typed, device=device, precision=precision, offline=offline
            )

        results = []
        for cell in cells:
            wanted = [entry for entry in entries if entry.dataset == cell.family.name]
            results.append(_check(cell, sweep.data_root, wanted, backbone, display))
    _print(results, ident, name, console)
    wrong = [result for result in results if result.failed]
    if any(result.got is not None for result in wrong):
        _advise(results, backbone(), console)
    if wrong:
        return 1
    return 0 if any(result.got is not None for result in results) else 2


def zero_shot(
    data: DataSet,
    backbone: Backbone,
    store: FeatureStore,
    progress: Callable[[int, int], None] | None = None,
) -> float:
    """Top-1 accuracy of the method `zero_shot`, or mean average precision on its logits.

    Args:
        data: a data set; its complete test set is evaluated, its training images are not read.
        backbone: computes the features of images and prompts.
        store: where features are stored.
        progress: called with (images done, images in total).

    Returns:
        In percent.
    """
    test = SplitSamples(data.test, backbone, store, progress)
    task = Task(
        kind=data.task,
        texts=data.texts,
        counts=torch.from_numpy(data.counts).float().to(backbone.device),
        membership=tuple(group_of(data.counts, "lift").tolist()),
        train=SplitSamples(data.train, backbone, store),
        validation=None,
        backbone=backbone,
        seed=0,
        device=backbone.device,
        progress=lambda epoch, epochs, step, steps: None,
        checkpoint=NoCheckpoint(),
        text_cache=partial(store.texts, backbone),
    )
    method: Method = METHODS.get("zero_shot")()
    predictor, size = method.fit(task), SAMPLES["features"]
    logits = logits_of(predictor, test, backbone, "features", data.num_classes, size)
    groups = group_of(data.counts, "lift")
    if data.task == "multi":
        metrics = multi_label_metrics(logits.numpy(), data.test.labels, groups)
    else:
        top, probability, _ = likeliest(logits, data.test.labels)
        metrics = single_label_metrics(top[:, 0], probability[:, 0], data.test.labels, groups)
    if metrics.overall is None:
        raise DataError(f"{data.name}: the test set is empty.")
    return metrics.overall


def _known_for(ident: BackboneId, every: Sequence[Published]) -> tuple[str, list[Published]]:
    """The known values for a backbone, and the name that they are listed under.

    A weight file for an OpenAI architecture is checked against the values of OpenAI's weights.
    """
    names = [ident.name, ident.published]
    if ident.form == "file":
        names += [f"{ident.arch.removesuffix('-quickgelu')}-quickgelu/openai"]
    for name in names:
        found = [entry for entry in every if entry.backbone == name]
        if found:
            return name, found
    return ident.name, []


def _check(
    cell: Cell,
    root: Path,
    entries: Sequence[Published],
    backbone: Callable[[], Backbone],
    display: ProgressDisplay,
) -> CalibrationResult:
    """Compare one data set.

    Raises:
        UserError: the backbone cannot be loaded.
    """
    expected = tuple(entry.values["overall"] for entry in entries if entry.values)
    unchecked = CalibrationResult(cell.family.name, expected, entries[0].tolerance or 0.0)
    display.preparing(f"loading {cell.dataset}")
    try:
        data = cell.family.load(root, cell.split_seed)
    except DataMissing as missing:
        return replace(unchecked, why="no data", detail=str(missing))
    except DataError as error:
        return replace(unchecked, why="damaged data", detail=str(error), damaged=True)
    images = entries[0].test_images
    if images is not None and len(data.test) != images:
        return replace(unchecked, why=f"{len(data.test):,} of {images:,} test images")
    loaded = backbone()
    progress = partial(display.preparing, f"features of {cell.dataset} test")
    try:
        return replace(unchecked, got=zero_shot(data, loaded, user_store(), progress))
    except DataError as error:
        return replace(unchecked, why="damaged data", detail=str(error), damaged=True)


def _print(
    results: Sequence[CalibrationResult], ident: BackboneId, name: str, console: Console
) -> None:
    alias = "" if name == ident.name else f", checked as {name}"
    console.print(Text(f"Zero-shot values of {ident.name}{alias} (%)", style="bold"))
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    grid.add_column("data set", no_wrap=True)
    for head in ("expected", "got", "difference"):
        grid.add_column(head, justify="right", no_wrap=True)
    grid.add_column("")
    for result in results:
        gap = result.difference
        verdict = Text(f"not checked: {result.why}", style="red" if result.damaged else "dim")
        if gap is not None:
            verdict = Text("FAIL", style="bold red") if result.failed else Text("pass")
        grid.add_row(
            Text(result.dataset),
            " / ".join(f"{value:.2f}" for value in result.expected),
            "–" if result.got is None else f"{result.got:.2f}",
            "–" if gap is None else f"{gap:+.2f}".replace("-", "−"),
            verdict,
        )
    console.print(grid)
    limits = sorted({result.tolerance for result in results})
    _print_line(
        console,
        "Top-1 accuracy (voc_lt: mean average precision) on the complete public test set with its "
        "own prompts. A value passes within "
        f"{' or '.join(f'{limit:g}' for limit in limits)} points of a public evaluation.",
    )
    none_checked = all(result.got is None for result in results)
    for result in results:
        if result.detail and (result.damaged or none_checked):
            _print_line(console, result.detail)


def _advise(results: Sequence[CalibrationResult], backbone: Backbone, console: Console) -> None:
    """Print the likely causes of wrong values, in the order to check them."""
    checked = [result for result in results if result.got is not None]
    failed = [result for result in checked if result.failed]
    settings = backbone.preprocess
    size, resize = settings.get("size"), settings.get("resize_mode")
    lines = [
        f"weights: {backbone.id.weights_id}; are these the weights that the values belong to?",
        f"activation: {backbone.id.arch or backbone.id.name}; OpenAI's weights need an "
        "architecture that ends in -quickgelu",
        f"preprocessing: size {size}, {settings.get('interpolation')}, {resize}, mean "
        f"{settings.get('mean')}, std {settings.get('std')}; is this the checkpoint's own?",
        "class names and prompts: `show DATASET` prints the text package; benchmarks/text holds it",
    ]
    if len(failed) == len(checked) > 1:
        first = "Every checked data set fails: look at the first three before the last."
    elif len(failed) < len(checked):
        first = (
            f"{counted(len(checked) - len(failed), 'data set')} passed: look at the last before "
            "the first three, and at the images."
        )
    else:
        first = "To check:"
    _print_line(console, first)
    for line in lines:
        _print_line(console, f"- {line}")


def _print_line(console: Console, line: str) -> None:
    console.print(Padding(Text(line), (0, 0, 0, 1)))
