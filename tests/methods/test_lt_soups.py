"""LT-Soups: subsets, warm-up and averages in the loop, the chain of merges, and interruptions."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.conformance.tiny import permuted, tiny_data, tiny_task
from methods.base import Batch, Predictor
from methods.lt_soups import LTSoups
from methods.parts.heads.linear_classifiers import LinearHead, OnFeatures
from methods.parts.image.finetune import text_head, unfrozen
from methods.parts.image.vit import AdaptedClassifier
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.losses.single_label.la import LogitAdjusted
from methods.parts.training.averages import Average
from methods.parts.training.loop import Schedule, Stage, train
from methods.parts.training.subsets import Subset, limited, restricted
from tests.methods.memory import Memory

COUNTS = [4, 35, 17, 8]
SHORT: dict[str, Any] = {"ratios": 2, "epochs": 2, "batch_size": 24, "steps": 0, "lr": 1e-3}


def fitted(method: LTSoups, **world: Any) -> tuple[Predictor, Tensor]:
    task, test = tiny_task(**world)
    predictor = method.fit(task)
    with torch.no_grad():
        return predictor, predictor.logits(test.batch(np.arange(len(test)), needs="images"))


# ---- subsets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 8, 20, 100])
def test_a_subset_has_at_most_so_many_images_of_every_class(most):
    task, _ = tiny_task()
    some = limited(task, most, "soup", 0)
    labels = task.train.labels.numpy()
    assert np.bincount(labels[some]).tolist() == [min(n, most) for n in COUNTS]
    assert len(set(some.tolist())) == len(some)
    part = restricted(task, some)
    assert part.counts.tolist() == [min(n, most) for n in COUNTS]
    assert part.log_prior.exp().tolist() == pytest.approx((part.counts / len(some)).tolist())
    assert task.counts.tolist() == COUNTS


def test_a_subset_is_drawn_by_seed_purpose_and_sample_alone():
    task, _ = tiny_task()
    some = limited(task, 8, "soup", 1).tolist()
    assert some != limited(task, 8, "soup", 2).tolist()
    assert some != limited(tiny_task(1)[0], 8, "soup", 1).tolist()
    moved, _ = tiny_task(data=permuted(tiny_data(), [2, 0, 3, 1]))
    assert some == limited(moved, 8, "soup", 1).tolist()
    first = np.flatnonzero(task.train.labels.numpy() == 0)  # its images, whatever the others
    alone = limited(restricted(task, first), 8, "soup", 1)
    assert first[alone].tolist() == [i for i in some if i in first]


@pytest.mark.parametrize("needs", ["features", "images"])
def test_samples_of_a_subset(needs):
    whole = tiny_task()[0].train
    chosen = np.array([7, 3, 40, 12])
    part = Subset(whole, chosen)
    assert (len(part), part.captions) == (4, None)
    assert part.labels.tolist() == whole.labels[chosen].tolist()
    assert part.keys.tolist() == whole.keys[chosen].tolist()
    assert torch.equal(part.features(), whole.features()[chosen])
    index = np.array([2, 0, 3])
    how: dict[str, Any] = {"needs": needs, "augment": "crop_flip", "stream": (0, 1)}
    batches = [part.batch(index, **how), *part.loader([index[:1], index[1:]], **how)]
    expected = whole.batch(chosen[index], **how).inputs
    assert [b.index.tolist() for b in batches] == [[2, 0, 3], [2], [0, 3]]
    torch.testing.assert_close(batches[0].inputs, expected)
    torch.testing.assert_close(torch.cat([b.inputs for b in batches[1:]]), expected)


# ---- the loop -----------------------------------------------------------------------------------


class Position(nn.Module):
    """A number that each step moves by the learning rate."""

    def __init__(self) -> None:
        super().__init__()
        self.t = nn.Parameter(torch.zeros(()))

    def forward(self, batch: Batch) -> Tensor:
        return torch.zeros(len(batch), 4) + self.t

    def push(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        return -logits[:, 0]


def walked(**fields: Any) -> tuple[list[float], float]:
    """Positions after each of 30 steps, and the final one."""
    module, places = Position(), []

    def record(*_: int) -> None:
        places.append(float(module.t.detach()))

    task, _ = tiny_task(progress=record)
    schedule = Schedule(10, 24, 0.1, momentum=0.0, weight_decay=0.0, anneal="step", **fields)
    train(task, module, module.push, schedule, "features")
    return places, float(module.t.detach())


def test_warm_up_and_floor_by_hand():
    places, last = walked(warmup=6, floor=0.025)
    rates = np.diff([0.0, *places]) / 0.1
    rise = [1e-6, *(n / 6 for n in range(1, 6))]
    falls = [0.25 + 0.75 * (1 + math.cos(math.pi * n / 24)) / 2 for n in range(23)]
    assert rates.tolist() == pytest.approx([*rise, 1.0, *falls], abs=1e-4)
    assert last == places[-1]


def test_the_average_over_the_steps_takes_the_place_of_the_last_weights():
    places, last = walked(ema=0.9)
    expected = places[0]
    for place in places[1:]:
        expected = 0.9 * expected + 0.1 * place
    assert last == pytest.approx(expected, abs=1e-5)
    assert abs(last - places[-1]) > 0.05


def test_an_average_can_be_in_place_for_a_while():
    parameter = nn.Parameter(torch.tensor([1.0, 2.0]))
    average = Average([parameter], 0.5)
    average.stepped()
    with torch.no_grad():
        parameter += 2
    average.stepped()
    with average.in_place():
        assert parameter.tolist() == [2.0, 3.0]
    assert parameter.tolist() == [3.0, 4.0]
    average.put()
    assert parameter.tolist() == [2.0, 3.0]


def test_validation_selects_among_averages(monkeypatch):
    seen: list[float] = []
    module = Position()

    def score(task, module, needs, size):
        seen.append(float(module.t.detach()))
        return [0.2, 0.9, 0.4][len(seen) - 1]

    monkeypatch.setattr("methods.parts.training.members.validation_score", score)
    task, _ = tiny_task(validation=True)
    schedule = Schedule(3, 64, 0.1, momentum=0.0, weight_decay=0.0, ema=0.5)
    train(task, module, module.push, schedule, "features")
    steps = np.cumsum([0.1, 0.075, 0.025])
    second = 0.5 * steps[0] + 0.5 * steps[1]
    assert seen == pytest.approx([steps[0], second, 0.5 * second + 0.5 * steps[2]], abs=1e-6)
    assert float(module.t.detach()) == seen[1]


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("stop", [1, 2])
def test_a_training_with_an_average_resumes_at_the_same_bits(stop, validation):
    def run(checkpoint: Any = None, progress: Any = None) -> dict[str, Tensor]:
        task, _ = tiny_task(checkpoint=checkpoint, progress=progress, validation=validation)
        module = OnFeatures(LinearHead(task.normal_per_class("head", 16)))
        schedule = Schedule(3, 24, 0.1, anneal="step", warmup=2, ema=0.8)
        train(task, module, cross_entropy, schedule, "features")
        return module.state_dict()

    def interrupt(epoch: int, epochs: int, step: int, steps: int) -> None:
        if epoch == stop:
            raise KeyboardInterrupt

    memory = Memory()
    with pytest.raises(KeyboardInterrupt):
        run(memory, interrupt)
    resumed, expected = run(memory), run()
    assert all(torch.equal(resumed[name], value) for name, value in expected.items())


# ---- the soup -----------------------------------------------------------------------------------


def test_the_soup_by_hand():
    """Four towers one after the other, merged number by number, then the head."""
    method = LTSoups(**SHORT, merge=0.6)
    predictor, _ = fitted(method)
    task, _ = tiny_task()

    def fresh() -> AdaptedClassifier:
        return AdaptedClassifier(unfrozen(task), text_head(task))

    def trained(part: Any, module: nn.Module, images: int, stage: Stage) -> nn.Module:
        assert len(part.train) == images
        steps = -(-images // 24)
        schedule = Schedule(
            2, 24, 1e-3, weight_decay=0.01, augment="crop_flip", optimiser="adamw",
            anneal="step", warmup=2 * steps // 5, floor=1e-4, ema=0.99,
        )  # fmt: skip
        train(part, module, LogitAdjusted(part.log_prior, 1.0), schedule, "images", stage)
        return module

    soup = {name: value.clone() for name, value in fresh().state_dict().items()}
    for k, images in ((0, 16), (1, 28)):
        part = restricted(task, limited(task, 4 * 2**k, "soup", k))
        first, second = (
            trained(part, fresh(), images, Stage(0, 2 * (2 * k + b))).state_dict() for b in (0, 1)
        )
        assert any(not torch.equal(first[name], second[name]) for name in soup)
        soup = {n: 0.4 * v + 0.6 * (first[n] + second[n]) / 2 for n, v in soup.items()}
    last = fresh()
    last.load_state_dict(soup)
    last.tower.requires_grad_(False)
    expected = trained(task, last, 64, Stage(0, 8)).state_dict()
    for name, value in predictor.logits.state_dict().items():
        # Biases of keys have no gradient but rounding, which AdamW makes a step of its own size.
        if value.numel() != 96:
            torch.testing.assert_close(value, expected[name], atol=2e-5, rtol=0)
    assert not torch.allclose(expected["head.weight"], soup["head.weight"], atol=1e-4)


def test_ratio_one_is_plain_cross_entropy():
    task, _ = tiny_task()
    part = restricted(task, limited(task, 4, "soup", 0))
    logits, labels = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 0])
    batch = part.train.batch(np.arange(5), needs="features")
    adjusted = LogitAdjusted(part.log_prior, 1.0)(logits, labels, batch)
    torch.testing.assert_close(
        adjusted, nn.functional.cross_entropy(logits, labels, reduction="none")
    )


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([500, 20, 5], 7), ([500, 50, 10], 6), ([500, 50], 4), ([5, 5], 1), ([640, 0, 5], 7)],
)
def test_ratios_go_up_to_the_data_sets_own(counts, expected):
    task, _ = tiny_task()
    task.counts = torch.tensor(counts).float()
    assert LTSoups()._ratios(task) == expected
    assert LTSoups(ratios=3)._ratios(task) == min(expected, 3)


@pytest.mark.parametrize(
    ("images", "epochs", "rise"), [(500, 25, 20), (949, 13, 20), (7296, 10, 20), (50000, 10, 39)]
)
def test_small_subsets_have_a_hundred_steps(images, epochs, rise):
    task, _ = tiny_task()
    task.train = range(images)  # type: ignore[assignment]
    schedule = LTSoups()._schedule(task)
    assert (schedule.epochs, schedule.warmup) == (epochs, rise)


def test_cost_and_note():
    task, _ = tiny_task()
    predictor = LTSoups(**SHORT).fit(task)
    tower = sum(p.numel() for p in unfrozen(task).parameters() if p.requires_grad)
    assert predictor.trainable_params == tower + 4 * 32
    assert (predictor.epochs, predictor.images_seen) == (10, 2 * (2 * 16 + 2 * 28 + 64))
    assert task.notes == ["4 fine-tunings of the tower are merged, and the head trained again"]


@cache
def uninterrupted() -> tuple[Predictor, Tensor]:
    return fitted(LTSoups(**SHORT))


@pytest.mark.parametrize("at", [1, 4, 9])  # within a training, between two, and in the head's
def test_an_interrupted_soup_resumes_to_the_same_bits(at):
    def interrupt(epoch: int, epochs: int, step: int, steps: int) -> None:
        if epoch == at:
            raise KeyboardInterrupt

    seen: list[int] = []
    memory = Memory()
    with pytest.raises(KeyboardInterrupt):
        fitted(LTSoups(**SHORT), checkpoint=memory, progress=interrupt)
    assert memory.state is not None
    if at > 1:  # of the finished trainings only the last one is kept
        kept = [bool(state) for state in memory.state["finished"]]
        assert kept == [False] * (at // 2 - 1) + [True]
    progress = lambda epoch, *_: seen.append(epoch)  # noqa: E731
    again, resumed = fitted(LTSoups(**SHORT), checkpoint=memory, progress=progress)
    expected, logits = uninterrupted()
    assert torch.equal(resumed, logits)
    assert sorted(set(seen)) == list(range(at, 10))
    assert (again.epochs, again.trainable_params) == (expected.epochs, expected.trainable_params)
