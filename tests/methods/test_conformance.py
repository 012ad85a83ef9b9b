"""What every registered method must do, on the tiny world. A new method is tested by existing."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.backbone_names import BackboneId
from benchmarks.backbones import Backbone
from benchmarks.datasets.base import ArrayImages, DataSet, Split
from benchmarks.datasets.glyphs import Glyphs
from benchmarks.errors import NotApplicable, UserError
from benchmarks.settings import apply_fields
from benchmarks.tiny import permuted, tiny_backbone, tiny_data, tiny_task
from methods.base import Method, Predictor, Samples, Task
from methods.registry import METHODS

EPOCHS = 2
NAMES = [
    name
    for name, entry in sorted(METHODS.entries().items())
    if "single" in entry.options.get("tasks", ("single",))
]

every = pytest.mark.parametrize("name", NAMES)


def built(name: str) -> Method:
    """The method with its defaults, but short."""
    cls = METHODS.get(name)
    has_epochs = "epochs" in {f.name for f in dataclasses.fields(cls)}
    return cls(**({"epochs": EPOCHS} if has_epochs else {}))


@torch.no_grad()
def evaluated(method: Method, predictor: Predictor, test: Samples, size: int = 1000) -> Tensor:
    """(N, C) logits of all test samples, `size` at a time."""
    index = np.arange(len(test))
    batches = np.split(index, range(size, len(index), size))
    parts = [predictor.logits(test.batch(i, needs=method.info.needs)) for i in batches]
    return torch.cat(parts)


def fitted(name: str, seed: int = 0, **world: Any) -> Tensor:
    """Test logits of a freshly fitted method."""
    task, test = tiny_task(seed, **world)
    method = built(name)
    return evaluated(method, method.fit(task), test)


def glyphs(**knobs: Any) -> DataSet:
    return Glyphs(test_per_class=4, **knobs).load(None, split_seed=0)  # type: ignore[arg-type]


def without_class(data: DataSet, label: int) -> DataSet:
    """The same data with no training image of one class."""
    keep = np.flatnonzero(data.train.labels != label)
    images = ArrayImages(data.train.images.array[keep])  # type: ignore[attr-defined]
    ids = tuple(data.train.ids[i] for i in keep)
    return dataclasses.replace(data, train=Split(images, data.train.labels[keep], ids))


def hash_of(model: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


class Memory:
    """A checkpoint in memory, copied both ways as one on disk is."""

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None

    def load(self) -> dict[str, Any] | None:
        return copy.deepcopy(self.state)

    def save(self, state: Mapping[str, Any]) -> None:
        self.state = copy.deepcopy(dict(state))


def test_the_tiny_world_is_long_tailed_and_known():
    counts = tiny_data().counts
    assert counts.sum() == 64 and counts.max() >= 8 * counts.min() > 0
    task = tiny_task()[0]
    task.text_features()
    assert task.notes == []


# ---- what a method declares ---------------------------------------------------------------------


@every
def test_declares_what_list_and_show_print(name):
    entry, info = METHODS.entries()[name], METHODS.get(name).info
    assert entry.summary and info.paper
    assert info.needs in ("features", "images") and set(info.tasks) <= {"single", "multi"}
    assert {k: getattr(info, k) for k in entry.options} == entry.options  # source and class agree


@every
def test_configuration_survives_json_and_the_command_line(name):
    cls = METHODS.get(name)
    values = dataclasses.asdict(cls())
    assert apply_fields(name, cls, json.loads(json.dumps(values))) == values
    assert cls(**json.loads(json.dumps(values))) == cls()
    typed = {field: str(value) for field, value in values.items() if value is not None}
    assert apply_fields(name, cls, typed) == values


@every
def test_is_a_frozen_dataclass(name):
    method = built(name)
    for field in dataclasses.fields(method):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(method, field.name, None)


# ---- logits -------------------------------------------------------------------------------------


@every
def test_logits_are_finite_and_of_the_right_shape(name):
    logits = fitted(name)
    assert logits.shape == (16, 4)
    assert logits.dtype.is_floating_point and bool(logits.isfinite().all())


@every
def test_logits_of_a_sample_do_not_depend_on_its_batch(name):
    method = built(name)
    task, test = tiny_task()
    predictor = method.fit(task)
    whole, parts = (evaluated(method, predictor, test, size) for size in (16, 3))
    torch.testing.assert_close(whole, parts, atol=1e-4, rtol=0)


@every
def test_a_seed_gives_the_same_logits_bit_for_bit(name):
    torch.manual_seed(1)  # whatever was drawn before must not matter
    first = fitted(name, seed=3)
    torch.manual_seed(2)
    assert torch.equal(first, fitted(name, seed=3))


@every
def test_another_seed_gives_other_logits_unless_deterministic(name):
    same = torch.equal(fitted(name, seed=0), fitted(name, seed=1))
    assert same == METHODS.get(name).info.deterministic


@every
def test_permuting_the_classes_permutes_the_logits(name):
    order = [2, 0, 3, 1]
    logits = fitted(name)
    expected = logits[:, order]
    assert not torch.allclose(logits, expected, atol=1e-2)  # or the next line would prove nothing
    moved = fitted(name, data=permuted(tiny_data(), order))
    torch.testing.assert_close(moved, expected, atol=1e-4, rtol=0)


@every
def test_seeds_together_give_what_they_give_alone(name):
    method = built(name)
    tasks, tests = zip(*(tiny_task(seed) for seed in (0, 1)), strict=True)
    together = method.fit_many(list(tasks))
    for seed, (predictor, test) in enumerate(zip(together, tests, strict=True)):
        alone = fitted(name, seed=seed)
        torch.testing.assert_close(evaluated(method, predictor, test), alone, atol=1e-4, rtol=0)


# ---- small and empty classes --------------------------------------------------------------------


@every
def test_two_classes(name):
    logits = fitted(name, data=glyphs(classes=2, n_max=12, imbalance=3))
    assert logits.shape == (8, 2) and bool(logits.isfinite().all())


@every
def test_a_class_with_one_training_image(name):
    data = glyphs(classes=4, n_max=12, imbalance=12)
    assert data.counts.min() == 1
    assert bool(fitted(name, data=data).isfinite().all())


@every
def test_a_class_without_training_images_works_or_is_refused_clearly(name):
    data = without_class(tiny_data(), 3)
    assert data.counts[3] == 0
    try:
        logits = fitted(name, data=data)
    except (NotApplicable, UserError) as refusal:
        assert str(refusal)
    else:
        assert logits.shape == (16, 4) and bool(logits.isfinite().all())


# ---- training -----------------------------------------------------------------------------------


@every
def test_progress_is_reported_step_by_step(name):
    calls: list[tuple[int, int, int, int]] = []
    task, _ = tiny_task(progress=lambda *call: calls.append(call))
    predictor = built(name).fit(task)
    if predictor.epochs == 0:
        assert predictor.images_seen == 0
        return
    epochs, steps = predictor.epochs, calls[0][3]
    expected = [(e, epochs, s + 1, steps) for e in range(epochs) for s in range(steps)]
    assert calls == expected
    assert predictor.images_seen > 0 and predictor.trainable_params > 0


@every
def test_an_interrupted_fit_goes_on_to_the_same_logits(name):
    def interrupt(epoch: int, epochs: int, step: int, steps: int) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    memory, method = Memory(), built(name)
    task, test = tiny_task(progress=interrupt, checkpoint=memory)
    try:
        predictor = method.fit(task)
        assert predictor.epochs < 2
    except KeyboardInterrupt:
        predictor = method.fit(tiny_task(checkpoint=memory)[0])
    assert torch.equal(evaluated(method, predictor, test), fitted(name))


@every
def test_validation_images_are_accepted(name):
    assert bool(fitted(name, validation=True).isfinite().all())


@every
def test_fit_changes_neither_the_method_nor_the_backbone(name):
    method = built(name)
    before, fields = hash_of(tiny_backbone().model), dict(vars(method))
    task, _ = tiny_task()
    labels, counts = task.train.labels.clone(), task.counts.clone()
    method.fit(task)
    assert vars(method) == fields
    assert torch.equal(task.train.labels, labels) and torch.equal(task.counts, counts)
    model = tiny_backbone().model
    assert hash_of(model) == before
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
    assert not any(module.training for module in model.modules())


# ---- what a method can see ----------------------------------------------------------------------


def reachable(root: Any) -> list[Any]:
    """Everything that attributes, containers and closures lead to; not modules and classes."""
    found: dict[int, Any] = {}
    queue = [root]
    while queue:
        value = queue.pop()
        if id(value) in found or isinstance(value, type | str | bytes | int | float):
            continue
        found[id(value)] = value
        if isinstance(value, dict):
            queue += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            queue += list(value)
        elif isinstance(value, np.ndarray | Tensor | torch.nn.Module):
            continue
        else:
            queue += list(getattr(value, "__dict__", {}).values())
            queue += [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
            queue.append(getattr(value, "__self__", None))
    return list(found.values())


def holds_test(data: DataSet, root: Any) -> bool:
    test_ids = set(data.test.ids)
    for value in reachable(root):
        if value is data or value is data.test or value is data.test.labels:
            return True
        if isinstance(value, Split) and test_ids & set(value.ids):
            return True
    return False


def test_no_test_label_is_reachable_from_a_task():
    data = tiny_data()
    task, test = tiny_task(validation=True)
    task.train.features()
    assert holds_test(data, test)  # the walk finds them where they are
    assert not holds_test(data, task)
    assert not [f.name for f in dataclasses.fields(Task) if "test" in f.name]
    assert task.validation is not None and not set(task.validation.keys) & set(test.keys)
    assert not set(task.train.keys) & set(test.keys)


class Counting:
    """A tokenizer that says whether it was used."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.used = False

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        self.used = True
        return self._tokenizer(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


def ignorant(form: str) -> Backbone:
    """The tiny backbone as one trained on no words at all, or on others than the world's own."""
    ident = BackboneId(f"tiny/{form}", form, "tiny", form, f"tiny-{form}")
    tokenizer = Counting(tiny_backbone().tokenizer)
    return dataclasses.replace(tiny_backbone(), id=ident, tokenizer=tokenizer)


@pytest.mark.parametrize("form", ["random", "file"])
@every
def test_a_method_that_reads_words_the_text_tower_never_saw_says_so(name, form):
    backbone = ignorant(form)
    task, _ = tiny_task(backbone=backbone)
    predictor = built(name).fit(task)
    said = any("untrained on these words" in note for note in (*task.notes, *predictor.notes))
    assert said == backbone.tokenizer.used
    task, _ = tiny_task()
    built(name).fit(task)
    assert not any("untrained" in note for note in task.notes)
