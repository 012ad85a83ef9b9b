"""The training loop: by hand, and equal however a training is split up."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.conformance.tiny import permuted, tiny_data, tiny_task
from benchmarks.datasets.base import ArrayImages, DataSet, Split
from methods.base import Batch, Predictor, Task
from methods.parts.heads.linear_classifiers import CosineHead, LinearHead, OnFeatures
from methods.parts.image.adapters import AdaptFormer, Slots
from methods.parts.image.vit import AdaptedClassifier, AdaptedViT, vit
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.training.loop import Schedule, train
from methods.parts.training.scoring import validation_score
from tests.methods.memory import Memory

PLAIN = {"momentum": 0.0, "weight_decay": 0.0}


class History(Memory):
    """A checkpoint in memory that remembers every state."""

    def __init__(self) -> None:
        super().__init__()
        self.saved: list[dict[str, Any]] = []

    def save(self, state: Mapping[str, Any]) -> None:
        super().save(state)
        self.saved.append(copy.deepcopy(dict(state)))


def start_weight(dim: int) -> Tensor:
    return torch.randn(4, dim, generator=torch.Generator().manual_seed(7)) * dim**-0.5


def feature_head(dropout: float = 0.0) -> nn.Module:
    return OnFeatures(nn.Sequential(nn.Dropout(dropout), CosineHead(start_weight(16))))


def image_module(task: Task) -> nn.Module:
    """Adapters whose up-projection is not zero, so that every parameter has a gradient at once."""
    adapters = [AdaptFormer(32, 2, seed=i) for i in range(2)]
    for adapter in adapters:
        nn.init.normal_(adapter.up.weight, generator=torch.Generator().manual_seed(1))
    tower = AdaptedViT(vit(task.backbone), [Slots(mlp=adapter) for adapter in adapters])
    return AdaptedClassifier(tower, CosineHead(start_weight(32)))


def module_for(task: Task, needs: str, dropout: float = 0.0) -> nn.Module:
    return feature_head(dropout) if needs == "features" else image_module(task)


def assert_same_state(left: nn.Module, right: nn.Module, atol: float = 0.0) -> None:
    right_state = right.state_dict()
    for name, value in left.state_dict().items():
        if atol:
            torch.testing.assert_close(value, right_state[name], atol=atol, rtol=0)
        else:
            assert torch.equal(value, right_state[name]), name


def with_validation(labels: list[int]) -> DataSet:
    """The tiny data with validation images of the given classes, in this order."""
    split = tiny_data().validation()
    places = {c: iter(np.flatnonzero(split.labels == c)) for c in range(4)}
    keep = np.array([next(places[c]) for c in labels])
    images = ArrayImages(split.images.array[keep])
    chosen = Split(images, split.labels[keep], tuple(split.ids[i] for i in keep))
    return dataclasses.replace(tiny_data(), validation=lambda: chosen)


# ---- one step after another ---------------------------------------------------------------------


@pytest.mark.numeric
def test_a_linear_head_follows_the_textbook_update():
    """SGD with momentum, weight decay and cosine steps, written out in NumPy."""
    task, _ = tiny_task(seed=2)
    schedule = Schedule(epochs=3, batch_size=24, lr=0.02, momentum=0.9, weight_decay=0.01)
    module = OnFeatures(LinearHead(start_weight(16)))
    w, b = start_weight(16).double().numpy(), np.zeros(4)
    vw, vb = np.zeros_like(w), np.zeros_like(b)
    means = {}
    x = task.train.features().double().numpy() * 4.0  # the head's sqrt(16)
    onehot = np.eye(4)[task.train.labels.numpy()]
    for epoch in range(3):
        lr = 0.02 * (1 + math.cos(math.pi * epoch / 3)) / 2
        losses = []
        for part in np.split(task.epoch_order(epoch), [24, 48]):
            logits = x[part] @ w.T + b
            p = np.exp(logits - logits.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            losses.append(-np.log((p * onehot[part]).sum(1)).mean())
            slope = (p - onehot[part]) / len(part)
            vw = 0.9 * vw + slope.T @ x[part] + 0.01 * w
            vb = 0.9 * vb + slope.sum(0) + 0.01 * b
            w, b = w - lr * vw, b - lr * vb
        means[epoch + 1] = np.mean(losses)
    predictor = train(task, module, cross_entropy, schedule, "features")
    np.testing.assert_allclose(module.head.weight.detach().numpy(), w, atol=1e-5)
    np.testing.assert_allclose(module.head.bias.detach().numpy(), b, atol=1e-5)
    assert float(np.abs(w - start_weight(16).numpy()).max()) > 0.01
    assert (predictor.epochs, predictor.images_seen, predictor.trainable_params) == (3, 192, 68)
    assert task.curves == {"loss": pytest.approx(means, rel=1e-4)}  # float32 over nine steps


def rates(epochs: int, lr: float) -> list[float]:
    """Size of the step in each epoch for a gradient of one."""
    module = Position()
    places = [0.0]

    def record(epoch: int, epochs: int, step: int, steps: int) -> None:
        places.append(float(module.t.detach()))

    task, _ = tiny_task(progress=record)
    train(task, module, module.push, Schedule(epochs, 64, lr, **PLAIN), "features")
    return list(np.diff(places))


class Position(nn.Module):
    """One parameter that increases by the learning rate in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.t = nn.Parameter(torch.zeros(()))

    def forward(self, batch: Batch) -> Tensor:
        return torch.zeros(len(batch), 4) + self.t

    def push(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        return -logits[:, 0]


def test_cosine_schedule_by_hand():
    assert rates(4, 0.1) == pytest.approx([0.1, 0.0853553, 0.05, 0.0146447], abs=1e-6)
    assert rates(1, 0.3) == pytest.approx([0.3], abs=1e-6)


@pytest.mark.numeric
@pytest.mark.parametrize("needs", ["features", "images"])
@pytest.mark.parametrize("micro_batch", [5, 24])
def test_accumulated_micro_batches_make_the_same_step(needs, micro_batch):
    # 64 samples in batches of 24: the last has 16, and 5 divides none of them.
    schedule = Schedule(2, 24, 0.01, augment="crop_flip")
    task, _ = tiny_task()
    whole, parts = module_for(task, needs), module_for(task, needs)
    train(task, whole, cross_entropy, schedule, needs)
    train(task, parts, cross_entropy, dataclasses.replace(schedule, micro_batch=micro_batch), needs)
    assert_same_state(whole, parts, atol=1e-5)
    moved = max(
        float((after - before).detach().abs().max())
        for after, before in zip(
            whole.parameters(), module_for(task, needs).parameters(), strict=True
        )
    )
    assert moved > 1e-3


def test_only_parameters_that_require_a_gradient_train():
    module = nn.Sequential(OnFeatures(LinearHead(start_weight(16))), nn.Linear(4, 4))
    module[1].requires_grad_(False)
    before = copy.deepcopy(module.state_dict())
    predictor = train(tiny_task()[0], module, cross_entropy, Schedule(1, 64, 0.1), "features")
    assert torch.equal(module[1].weight, before["1.weight"])
    assert torch.equal(module[1].bias, before["1.bias"])
    assert not torch.equal(module[0].head.weight, before["0.head.weight"])
    assert predictor.trainable_params == 4 * 16 + 4


# ---- order --------------------------------------------------------------------------------------


def seen(seed: int, batch_size: int, epochs: int = 2) -> list[list[int]]:
    """Sample indices of each epoch of a training, in order."""
    found: list[int] = []

    def note(logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        found.extend(batch.index.tolist())
        assert torch.equal(labels, task.train.labels[batch.index])
        return cross_entropy(logits, labels, batch)

    task, _ = tiny_task(seed)
    schedule = Schedule(epochs, batch_size, 0.01, micro_batch=9)
    train(task, feature_head(), note, schedule, "features")
    return [found[i : i + 64] for i in range(0, len(found), 64)]


def test_order_differs_by_epoch_and_seed_but_not_by_batch_size():
    first, second = seen(seed=0, batch_size=64)
    assert sorted(first) == sorted(second) == list(range(64))
    assert first != second
    assert seen(seed=1, batch_size=64)[0] not in (first, second)
    assert seen(seed=0, batch_size=10) == [first, second]
    assert first == tiny_task(0)[0].epoch_order(0).tolist()


def drawn(seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """Draws of two epochs: a dropout mask, and all images in the data's order."""
    masks: list[Tensor] = []
    images: list[Tensor] = []

    class Dropping(Position):
        def forward(self, batch: Batch) -> Tensor:
            masks.append(F.dropout(torch.ones(100), 0.5))
            images.append(batch.images[batch.index.argsort()])
            return super().forward(batch)

    module = Dropping()
    task, _ = tiny_task(seed)
    train(task, module, module.push, Schedule(2, 64, 0.1, augment="crop_flip"), "images")
    return masks, images


def test_dropout_and_augmentation_are_drawn_by_epoch_and_seed():
    once = drawn(seed=0)
    torch.manual_seed(123)  # what torch's own generator was left at does not matter
    again, other = drawn(seed=0), drawn(seed=1)
    for values, same, different in zip(once, again, other, strict=True):
        assert not torch.equal(values[0], values[1])  # the epochs of a run
        assert all(torch.equal(values[epoch], same[epoch]) for epoch in range(2))
        assert not any(torch.equal(values[epoch], different[epoch]) for epoch in range(2))


def test_numbers_per_class_are_drawn_by_seed_purpose_and_name():
    (task, _), (other, _) = tiny_task(0), tiny_task(1)
    values = task.normal_per_class("head", 500)
    assert values.shape == (4, 500)
    assert torch.equal(values, task.normal_per_class("head", 500))
    assert not torch.equal(values[0], values[1])
    assert not torch.equal(values, other.normal_per_class("head", 500))
    assert not torch.equal(values, task.normal_per_class("context", 500))
    order = [2, 0, 3, 1]
    moved, _ = tiny_task(0, data=permuted(tiny_data(), order))
    assert torch.equal(moved.normal_per_class("head", 500), values[order])
    assert float(values.mean()) == pytest.approx(0, abs=0.1)
    assert float(values.std()) == pytest.approx(1, abs=0.1)


def test_training_leaves_torchs_own_generator_alone():
    before = torch.get_rng_state()
    task, _ = tiny_task()
    train(task, feature_head(dropout=0.5), cross_entropy, Schedule(2, 64, 0.1), "features")
    assert torch.equal(torch.get_rng_state(), before)


# ---- interruption -------------------------------------------------------------------------------


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize(("needs", "dropout"), [("features", 0.5), ("images", 0.0)])
@pytest.mark.parametrize("stop", [(1, 1), (2, 3), (3, 2)])  # epoch and step, after which it stops
def test_an_interrupted_run_ends_at_the_same_bits(needs, dropout, stop, validation):
    schedule = Schedule(4, 24, 0.05, augment="crop_flip")

    def run(checkpoint: Any = None, progress: Any = None) -> nn.Module:
        task, _ = tiny_task(validation=validation, checkpoint=checkpoint, progress=progress)
        module = module_for(task, needs, dropout)
        train(task, module, cross_entropy, schedule, needs)
        return module

    def interrupt(epoch: int, epochs: int, step: int, steps: int) -> None:
        if (epoch, step) == stop:
            raise KeyboardInterrupt

    resumed_from: list[int] = []

    def note(epoch: int, epochs: int, step: int, steps: int) -> None:
        resumed_from.append(epoch)

    memory = History()
    with pytest.raises(KeyboardInterrupt):
        run(memory, interrupt)
    resumed = run(memory, note)
    assert resumed_from[0] == stop[0]  # it did not start from zero
    assert_same_state(resumed, run())


def test_a_state_is_saved_after_every_epoch_but_the_last():
    memory = History()
    task, _ = tiny_task(checkpoint=memory)
    train(task, feature_head(), cross_entropy, Schedule(3, 64, 0.1), "features")
    assert [state["epoch"] for state in memory.saved] == [1, 2]


def test_a_state_can_be_read_with_weights_only(tmp_path):
    """Checkpoints are read with weights_only=True, which a state must allow."""
    memory = History()
    task, _ = tiny_task(checkpoint=memory, validation=True)
    train(task, feature_head(), cross_entropy, Schedule(2, 64, 0.1), "features")
    torch.save(memory.saved[0], tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["epoch"] == 1 and state["best"] is not None


# ---- selection ----------------------------------------------------------------------------------

LABELS = [0] * 10 + [1, 2, 3]
# What the module predicts on the validation images after epochs 1, 2 and 3: the first is best by
# plain accuracy (10 of 13), the second by balanced accuracy (0.75), the third by neither.
ANSWERS = torch.tensor([[0] * 13, [1] * 10 + [1, 2, 3], [0] * 5 + [1] * 5 + [0, 0, 3]])


class Stages(Position):
    """Predictions depend on the trained parameter: 1, 1.75 and 2 after the epochs."""

    def forward(self, batch: Batch) -> Tensor:
        if self.training:
            return super().forward(batch)
        stage = int(torch.argmin((torch.tensor([1.0, 1.75, 2.0]) - self.t.detach()).abs()))
        return F.one_hot(ANSWERS[stage, batch.index], 4).float()


def selected(*, validation: bool) -> float:
    task, _ = tiny_task(data=with_validation(LABELS), validation=validation)
    module = Stages()
    schedule = Schedule(3, 64, 1.0, **PLAIN)
    predictor: Predictor = train(task, module, module.push, schedule, "features")
    assert not module.training and predictor.epochs == 3
    return float(module.t.detach())


def test_the_last_epoch_is_kept_without_validation():
    assert selected(validation=False) == pytest.approx(2.0)


def test_validation_keeps_the_epoch_of_the_best_balanced_accuracy():
    assert selected(validation=True) == pytest.approx(1.75)


def test_of_equal_epochs_the_first_is_kept():
    task, _ = tiny_task(data=with_validation(LABELS), validation=True)
    module = Position()  # its logits are equal, so that it predicts class 0 all the time
    train(task, module, module.push, Schedule(3, 64, 1.0, **PLAIN), "features")
    assert float(module.t.detach()) == pytest.approx(1.0)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize(
    "labels", [LABELS, [0, 0, 0, 2, 2, 3]], ids=["all classes", "class 1 absent"]
)
def test_balanced_accuracy_agrees_with_scikit_learn(labels):
    task, _ = tiny_task(data=with_validation(labels), validation=True)
    module = feature_head()
    train(tiny_task()[0], module, cross_entropy, Schedule(5, 64, 0.1), "features")
    ours = validation_score(task, module, "features", 4)
    with torch.no_grad():
        batch = task.validation.batch(np.arange(len(labels)), needs="features")
        predicted = module(batch).argmax(1)
    assert 0 < ours < 1
    assert ours == pytest.approx(balanced_accuracy_score(labels, predicted))


# ---- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_an_error(value):
    def loss(logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(logits, labels, batch) * torch.where(batch.index == 3, value, 1.0)

    with pytest.raises(ValueError, match=r"(nan|inf) in epoch 1.*learning rate"):
        train(tiny_task()[0], feature_head(), loss, Schedule(2, 24, 0.1), "features")


def test_a_mean_in_place_of_one_loss_a_sample_is_refused():
    """It would train at a fraction of the learning rate and say nothing."""

    def mean(logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(logits, labels, batch).mean()

    with pytest.raises(ValueError, match="one value per sample"):
        train(tiny_task()[0], feature_head(), mean, Schedule(1, 24, 0.1), "features")


@pytest.mark.parametrize("schedule", [Schedule(0, 8, 0.1), Schedule(1, 0, 0.1)])
def test_no_epochs_or_empty_batches_are_refused(schedule):
    with pytest.raises(ValueError, match="1 or more"):
        train(tiny_task()[0], feature_head(), cross_entropy, schedule, "features")
