"""GLA and WiSE-FT: temperatures, the joint logits, merged weights, and the choice of the base."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor

from benchmarks.conformance.tiny import tiny_task
from benchmarks.errors import NotApplicable, UserError
from benchmarks.plugins.values import apply_fields
from benchmarks.protocol import EQUAL_BUDGET, budget
from benchmarks.sweep.fingerprints import fingerprint
from methods.gla import Gla
from methods.lift import Lift
from methods.linear_probe import LinearProbe
from methods.parts.bases import base_config
from methods.parts.heads.temperature import RANGE, balanced_weights, calibrated
from methods.registry import METHODS

SHORT = {"batch_size": 16, "epochs": 2}


def logits_of(predictor: Any, needs: str, world: Any) -> Tensor:
    test = world[1]
    with torch.no_grad():
        found: Tensor = predictor.logits(test.batch(np.arange(len(test)), needs=needs))
    return found


# ---- temperature --------------------------------------------------------------------------------


@pytest.mark.numeric
def test_temperature_of_two_classes_in_closed_form():
    """Every margin is 3, 4 of 5 weighted samples are right: sigmoid(3 / T) = 0.8."""
    logits = torch.tensor([[3.0, 0.0], [0.0, 3.0], [3.0, 0.0]])
    labels, weights = torch.tensor([0, 1, 1]), torch.tensor([0.5, 0.3, 0.2])
    for size in (3, 1):
        parts = list(zip(logits.split(size), labels.split(size), weights.split(size), strict=True))
        found = float(calibrated(lambda parts=parts: parts))
        assert found == pytest.approx(3 / np.log(0.8 / 0.2), rel=1e-5)
    right = [(logits[:2], labels[:2], torch.tensor([0.5, 0.5]))]
    assert float(calibrated(lambda: right)) == pytest.approx(RANGE[0], rel=1e-3)


def test_weights_are_equal_by_class():
    weights = balanced_weights(torch.tensor([0, 0, 0, 2]), 4)
    assert weights.tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])


# ---- the joint classifier -----------------------------------------------------------------------


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T at which mean confidence equals accuracy, both balanced over classes."""

    def over(classes: np.ndarray) -> float:
        return float(np.mean([classes[labels == c].mean() for c in np.unique(labels)]))

    accuracy = over((logits.argmax(1) == labels).astype(float))

    def gap(t: float) -> float:
        shifted = logits / t - (logits / t).max(1, keepdims=True)
        return over(1 / np.exp(shifted).sum(1)) - accuracy

    low, high = RANGE
    if gap(low) < 0 or gap(high) > 0:  # always more or less sure than right
        return low if gap(low) < 0 else high
    return float(brentq(gap, low, high, xtol=1e-10))


@pytest.mark.parametrize("base", ["linear_probe", "lift"])
@pytest.mark.parametrize("validation", [False, True])
def test_the_joint_logits_by_hand(base, validation):
    world = tiny_task(validation=validation)
    task, test = world
    found = Gla(base_method=base, **SHORT).fit(task)
    needs = "features" if base == "linear_probe" else "images"
    assert found.needs == needs
    logits = logits_of(found, needs, world)

    again = tiny_task(validation=validation)
    kind = LinearProbe if base == "linear_probe" else Lift
    tuned = kind(loss="ce", **SHORT).fit(again[0])
    fine = logits_of(tuned, needs, again).double().numpy()
    zero = task.backbone.logit_scale * task.text_features().double().numpy()  # (C, D)
    train, labels = task.train.features().double().numpy(), task.train.labels.numpy()
    zero = zero / temperature(train @ zero.T, labels)
    shift = (test.features().double().numpy() @ zero.T + fine) - logits.double().numpy()
    if validation:
        seen = again[0].validation
        batch = seen.batch(np.arange(len(seen)), needs=needs)
        with torch.no_grad():
            t = temperature(tuned.logits(batch).double().numpy(), seen.labels.numpy())
        shift = shift + fine / t - fine
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-4)
    # What is subtracted is log pi, and log q: under it the classes are predicted evenly.
    log_q = shift[0] - np.log(np.bincount(labels) / len(labels))
    assert np.exp(log_q).sum() == pytest.approx(1, abs=1e-4)
    corrected = np.exp(train @ zero.T - log_q)
    corrected /= corrected.sum(1, keepdims=True)
    share = np.mean([corrected[labels == c].mean(0) for c in range(4)], axis=0)
    assert share == pytest.approx(np.full(4, 0.25), abs=1e-3)


@pytest.mark.parametrize(
    ("fields", "subtracted"),
    [
        ({"base_fields": "loss=la"}, False),
        ({"base_fields": "loss=ce", "train_prior": "keep"}, False),
        ({"base_fields": "loss=la", "train_prior": "subtract"}, True),
    ],
)
def test_the_training_frequencies_are_subtracted_once(fields, subtracted):
    world = tiny_task()
    logits = logits_of(Gla(**SHORT, **fields).fit(world[0]), "features", world)
    fields["train_prior"] = "keep" if subtracted else "subtract"
    other = logits_of(Gla(**SHORT, **fields).fit(world[0]), "features", world)
    shift = (logits - other) * (-1 if subtracted else 1)
    expected = world[0].log_prior.expand_as(shift)
    torch.testing.assert_close(shift, expected, atol=1e-4, rtol=0)


# ---- merged weights -----------------------------------------------------------------------------


def test_weights_between_the_start_and_the_end():
    def weights(alpha: float) -> tuple[dict[str, Tensor], Tensor]:
        world = tiny_task()
        method = Gla(base_method="lift", mode="weights", alpha=alpha, **SHORT)
        predictor = method.fit(world[0])
        state = {k: v.clone() for k, v in predictor.logits.state_dict().items()}
        return state, logits_of(predictor, "images", world)

    (first, start), (half, _), (last, end) = (weights(alpha) for alpha in (0.0, 0.5, 1.0))
    world = tiny_task()
    frozen = Lift(loss="ce", batch_size=16, epochs=1, lr=0.0, weight_decay=0.0).fit(world[0])
    assert torch.equal(start, logits_of(frozen, "images", world))
    world = tiny_task()
    assert torch.equal(end, logits_of(Lift(loss="ce", **SHORT).fit(world[0]), "images", world))
    assert any(not torch.equal(first[name], last[name]) for name in first)
    for name, numbers in half.items():
        torch.testing.assert_close(numbers, (first[name] + last[name]) / 2)


def test_a_base_that_predicts_with_another_module_cannot_be_merged():
    method = Gla(base_method="crt", base_fields="", mode="weights", **SHORT)
    with pytest.raises(NotApplicable, match="crt does not predict with the module it trained"):
        method.fit(tiny_task()[0])


# ---- the base -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"base_method": "lfit"}, "Unknown method 'lfit'.*lift"),
        ({"base_method": "gla"}, "gla builds on another method itself"),
        ({"base_fields": "loss"}, "'loss' is not FIELD=VALUE"),
        ({"base_fields": "rate=1"}, "Unknown field of method linear_probe 'rate'"),
        ({"base_fields": "lr=-1"}, "method linear_probe, field lr: -1 is less than 0"),
        ({"base_fields": "loss=focal"}, "train_prior: choose subtract or keep.*loss=focal"),
        ({"base_method": "coop", "base_fields": ""}, "logits of coop .its defaults."),
    ],
)
def test_a_wrong_base_is_one_line(fields, said):
    with pytest.raises(UserError, match=said):
        Gla(**fields).fit(tiny_task()[0])


def test_the_source_of_the_base_and_of_its_loss_count():
    def source(**fields: Any) -> str:
        return fingerprint("gla", dataclasses.asdict(Gla(**fields)))

    found = {
        source(),
        source(base_fields="loss=la"),
        source(base_method="lift"),
        source(base_method="ncm", base_fields=""),
    }
    assert len(found) == 4
    assert source(base_fields="loss=ce,lr=0.5") == source()
    with pytest.raises(UserError, match="lfit"):
        source(base_method="lfit")


def test_fields_that_a_protocol_sets_reach_the_base():
    assert {"epochs", "batch_size", "augment"} <= METHODS.fields("gla").keys()
    equal = apply_fields("gla", Gla, budget("equal", METHODS.fields("gla")))
    passed = base_config(equal | {"base_method": "lift"})
    assert {name: passed[name] for name in EQUAL_BUDGET} == EQUAL_BUDGET
    own = base_config(apply_fields("gla", Gla, {"base_method": "lift"}))
    assert own == apply_fields("lift", Lift, {"loss": "ce"})
    predictor = Gla(epochs=3).fit(tiny_task()[0])
    assert (predictor.epochs, predictor.images_seen) == (3, 192)
    assert Gla().fit(tiny_task()[0]).epochs == 10  # linear_probe's own
