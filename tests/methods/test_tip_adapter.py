"""Tip-Adapter against loops in NumPy: logits, cache and search."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from benchmarks.conformance.tiny import tiny_data, tiny_task
from methods.tip_adapter import ALPHAS, BETAS, Cache, TipAdapter, best_on_validation, cached
from methods.zero_shot import ZeroShot
from tests.methods.double import precise_task

pytestmark = pytest.mark.numeric

KINDS = pytest.mark.parametrize("kind", ["single", "multi"])


def sets(labels: torch.Tensor) -> np.ndarray:
    """(n, C) label sets of single-label or multi-label labels."""
    array = labels.numpy()
    return array if array.ndim == 2 else np.eye(4, dtype=int)[array]


@KINDS
@pytest.mark.parametrize("normalise", ["none", "count"])
def test_logits_equal_a_loop_over_the_cache(kind, normalise):
    task, test = tiny_task(kind=kind)
    method = TipAdapter(shots=6, alpha=1.3, beta=2.5, normalise=normalise)
    batch = test.batch(np.arange(16), needs="features")
    ours = method.fit(task).logits(batch).numpy()
    zero_shot = ZeroShot().fit(task).logits(batch).numpy()
    keys, values = task.train.features().numpy(), sets(task.train.labels)
    chosen = cached(task, 6)
    held = [sum(values[k][c] for k in chosen) for c in range(4)]
    for i, x in enumerate(batch.features.numpy()):
        for c in range(4):
            total = 0.0
            for k in chosen:
                share = max(held) / held[c] if normalise == "count" else 1.0
                total += math.exp(-2.5 * (1 - float(x @ keys[k]))) * values[k][c] * share
            assert ours[i, c] == pytest.approx(zero_shot[i, c] + 1.3 * total, abs=1e-3)


@KINDS
def test_alpha_zero_is_zero_shot(kind):
    task, test = tiny_task(kind=kind)
    batch = test.batch(np.arange(16), needs="features")
    ours = TipAdapter(alpha=0.0).fit(task).logits(batch)
    torch.testing.assert_close(ours, ZeroShot().fit(task).logits(batch), atol=1e-5, rtol=0)


# ---- what is cached ------------------------------------------------------------------------------


def test_single_label_caches_hold_the_shots_of_each_class_or_all_images():
    task, _ = tiny_task()
    for shots in (1, 6, 100):
        held = np.bincount(task.train.labels.numpy()[cached(task, shots)], minlength=4)
        assert held.tolist() == [min(shots, int(n)) for n in tiny_data().counts]
    assert cached(task, 0).tolist() == list(range(64))


def test_multi_label_caches_hold_an_image_once_and_enough_of_each_class():
    task, _ = tiny_task(kind="multi")
    labels = task.train.labels.numpy()
    chosen = cached(task, 5)
    assert len(set(chosen.tolist())) == len(chosen)
    held = labels[chosen].sum(0)
    assert all(h >= min(5, n) for h, n in zip(held, labels.sum(0), strict=True))
    assert len(chosen) <= 4 * 5


def test_the_cache_depends_only_on_the_seed():
    first, again, other = (cached(tiny_task(seed)[0], 3).tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_count_normalisation_changes_nothing_where_counts_are_equal_and_lifts_the_tail():
    task, test = tiny_task()
    batch = test.batch(np.arange(16), needs="features")

    def logits(shots: int, normalise: str) -> torch.Tensor:
        return TipAdapter(shots=shots, normalise=normalise).fit(task).logits(batch)

    assert torch.equal(logits(4, "none"), logits(4, "count"))  # the rarest class has 4
    lift = logits(16, "count") - logits(16, "none")
    counts = task.counts.tolist()
    head, tail = counts.index(max(counts)), counts.index(min(counts))
    assert bool((lift[:, head] == 0).all()) and bool((lift[:, tail] > 0).all())


# ---- fine-tuning ---------------------------------------------------------------------------------


def test_fine_tuning_trains_only_the_keys_and_lowers_the_loss():
    task, _ = tiny_task()
    everything = task.train.batch(np.arange(64), needs="features")
    losses = []
    for lr in (0.0, 0.05):
        predictor = TipAdapter(finetune=True, lr=lr, epochs=5, batch_size=16).fit(task)
        assert predictor.trainable_params == len(cached(task, 16)) * 16
        with torch.no_grad():
            logits = predictor.logits(everything)
        losses.append(float(torch.nn.functional.cross_entropy(logits, task.train.labels)))
    assert losses[1] < losses[0] - 0.05


def test_fine_tuning_starts_from_the_cache():
    task, test = tiny_task()
    batch = test.batch(np.arange(16), needs="features")
    still = TipAdapter(finetune=True, lr=0.0, epochs=1).fit(task).logits(batch)
    torch.testing.assert_close(still, TipAdapter().fit(task).logits(batch), atol=1e-6, rtol=0)


def test_the_keys_follow_the_authors_loop(double):
    """AdamW with a cosine that is lowered at every step, also where the last batch is short."""
    task, _ = precise_task()
    method = TipAdapter(finetune=True, shots=3, lr=0.05, epochs=4, batch_size=24)
    found = method.fit(task).logits.keys.detach()

    x, labels = task.train.features(), task.train.labels
    chosen = torch.from_numpy(cached(task, 3))
    keys = x[chosen].clone().requires_grad_()
    values = torch.eye(4)[labels[chosen]]
    weight = task.backbone.logit_scale * task.text_features()
    optimiser = torch.optim.AdamW([keys], lr=0.05, eps=1e-4)
    steps = math.ceil(len(x) / 24)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 4 * steps)
    for epoch in range(4):
        for rows in torch.from_numpy(task.epoch_order(epoch)).split(24):
            affinity = x[rows] @ keys.T
            logits = x[rows] @ weight.T + 1.17 * (affinity - 1).exp() @ values
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(logits, labels[rows]).backward()
            optimiser.step()
            schedule.step()
    assert steps == 3 and float((found - x[chosen]).abs().max()) > 0.1
    torch.testing.assert_close(found, keys.detach(), atol=1e-9, rtol=0)


def test_without_fine_tuning_nothing_is_trained():
    predictor = TipAdapter().fit(tiny_task()[0])
    assert predictor.trainable_params == predictor.epochs == predictor.images_seen == 0


def test_on_label_sets_the_keys_learn_by_binary_cross_entropy_with_a_calibration():
    task, test = tiny_task(kind="multi")
    everything = task.train.batch(np.arange(len(task.train)), needs="features")
    labels = task.train.labels.float()
    losses = []
    for lr in (0.0, 0.05):
        predictor = TipAdapter(finetune=True, lr=lr, epochs=5, batch_size=16).fit(task)
        with torch.no_grad():
            logits = predictor.logits(everything)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
        losses.append(float(loss))
    base = labels.mean(0)
    entropy = -(torch.xlogy(base, base) + torch.xlogy(1 - base, 1 - base)).mean()
    assert losses[1] < losses[0] - 0.002
    # Its initial loss is near that of the frequencies; at CLIP's own scale it would be far higher.
    raw = TipAdapter().fit(task).logits(everything)
    assert losses[0] < float(entropy) + 0.01
    assert torch.nn.functional.binary_cross_entropy_with_logits(raw, labels) > entropy + 0.1
    # A calibration is increasing in each class: initial rankings are those of the cache.
    batch = test.batch(np.arange(16), needs="features")
    still = TipAdapter(finetune=True, lr=0.0, epochs=1).fit(task).logits(batch)
    free = TipAdapter().fit(task).logits(batch)
    assert torch.equal(still.argsort(0), free.argsort(0))


# ---- the search ----------------------------------------------------------------------------------


@KINDS
def test_the_search_finds_the_best_pair(kind):
    task, _ = tiny_task(kind=kind, validation=True)
    predictor = TipAdapter().fit(task)
    module = predictor.logits
    assert isinstance(module, Cache)
    labels = task.validation.labels.numpy()
    batch = task.validation.batch(np.arange(len(labels)), needs="features")

    def score(alpha: float, beta: float) -> float:
        module.alpha.fill_(alpha)
        module.beta.fill_(beta)
        logits = module(batch).numpy()
        if kind == "single":
            return float(balanced_accuracy_score(labels, logits.argmax(1)))
        return float(average_precision_score(labels, logits, average="macro"))

    found = (float(module.alpha), float(module.beta))
    every = [score(a, b) for a in ALPHAS.tolist()[::4] for b in BETAS.tolist()[::4]]
    best = score(*found)
    assert best >= max(every) and best > min(every)
    # The previous values do not matter.
    assert best_on_validation(task, module) == pytest.approx(found)
    assert any("pairs on validation images" in note for note in task.notes)
    assert any(text.startswith("alpha = ") for text in task.details)


def test_there_is_no_search_without_validation_images_or_with_search_off():
    for method, validation in ((TipAdapter(), False), (TipAdapter(search=False), True)):
        task, _ = tiny_task(validation=validation)
        module = method.fit(task).logits
        assert (module.alpha, module.beta) == (1.17, 1.0) and task.notes == []
