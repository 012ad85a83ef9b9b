"""Seeds and grid points in one batched problem end at the numbers of separate fits."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from benchmarks.datasets.base import TaskKind
from benchmarks.errors import NotApplicable
from methods.base import Batch, Predictor, Task
from methods.clip_adapter import ClipAdapter
from methods.linear_probe import LinearProbe
from methods.logit_adjustment import LogitAdjustment
from methods.parts.heads.linear_classifiers import SCALE, CosineHead, LinearHead, OnFeatures
from methods.parts.losses.base import Loss
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.training.learning import Learner, Learning, fit_learners
from methods.parts.training.schedules import Schedule, Training
from methods.prototype import Prototype
from methods.registry import METHODS, info_of
from methods.tau_norm import TauNorm
from methods.tip_adapter import TipAdapter
from tests.methods.double import precise_task
from tests.methods.memory import Memory

Pairs = list[tuple[Learner, Task]]


def short(name: str, **fields: Any) -> Learner:
    """A method with 20 steps per training: 4 of 16 images per epoch."""
    own = METHODS.get(name).__dataclass_fields__
    wanted = {"epochs": 5, "batch_size": 16, "finetune": True} | fields
    method: Learner = METHODS.get(name)(**{k: v for k, v in wanted.items() if k in own})
    return method


def world(seed: int, kind: TaskKind = "single", **more: Any) -> Task:
    return precise_task(seed, kind=kind, **more)[0]


def logits_of(predictor: Any, task: Task) -> Tensor:
    assert isinstance(predictor, Predictor), predictor
    index = np.arange(len(task.train))
    with torch.no_grad():
        return predictor.logits(task.train.batch(index, needs="features"))


def assert_as_alone(pairs: Pairs, alone: Pairs, atol: float, many: int | None = None) -> None:
    """Assert that batched fits of `pairs` have the logits of separate fits."""
    for found, (method, task) in zip(fit_learners(pairs), alone, strict=True):
        expected = method.fit(task)
        assert isinstance(found, Predictor), found
        assert found.fitted_together == (len(pairs) if many is None else many)
        assert dataclasses.replace(found, logits=None, fitted_together=1) == dataclasses.replace(
            expected, logits=None
        )
        ours, theirs = logits_of(found, task), logits_of(expected, task)
        assert ours.dtype == theirs.dtype == torch.get_default_dtype()
        assert float((ours - theirs).abs().max()) <= atol


LEARNERS = [
    (name, kind)
    for name in sorted(METHODS.entries())
    if issubclass(METHODS.get(name), Learner)
    for kind in info_of(name).tasks
]
PROMPTED = ("coop", "lmpt")  # without validation: test_prompt_encoder.py
SELECTED = [(*one, validation) for one in LEARNERS for validation in (False, True)]
APART = {("tip_adapter", "multi")}
"""Methods whose seeds differ in structure: several classes per image, caches of several sizes."""


def test_every_method_on_features_that_trains_is_here() -> None:
    names = {name for name, _ in LEARNERS}
    assert names >= {
        "clip_adapter", "coop", "linear_probe", "lmpt", "logit_adjustment", "prototype",
        "tau_norm", "tip_adapter",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind", "validation"), [one for one in SELECTED if one[2] or one[0] not in PROMPTED]
)
def test_in_double_precision_seeds_together_are_seeds_alone(
    name: str, kind: TaskKind, validation: bool, double: None
) -> None:
    """In single precision, the check `together` of every method compares fewer steps."""
    method = short(name)
    worlds = [
        [(method, world(seed, kind, validation=validation)) for seed in (3, 0, 5)] for _ in range(2)
    ]
    assert_as_alone(*worlds, atol=1e-9, many=1 if (name, kind) in APART else 3)


GRIDS: list[tuple[Learner, dict[str, list[Any]]]] = [
    (short("linear_probe", loss="la"), {"lr": [0.3, 0.01, 0.3], "tau": [1.0, 2.0, 0.5]}),
    (short("linear_probe", loss="cb"), {"weight_decay": [0.0, 0.1, 0.01]}),
    (short("linear_probe", loss="ldam_drw"), {"lr": [0.1, 0.2, 0.1]}),
    (short("linear_probe", loss="lade", head="linear"), {"lr": [0.1, 0.2, 0.01]}),
    (short("linear_probe", loss="focal"), {"lr": [0.1, 0.2, 0.01]}),
    (short("linear_probe", loss="grw", init="class_mean"), {"lr": [0.1, 0.2, 0.01]}),
    (short("logit_adjustment", mode="posthoc"), {"tau": [0.5, 1.0, 2.0]}),
    (short("clip_adapter"), {"lr": [0.5, 0.1, 0.5], "ratio": [0.2, 0.5, 0.9]}),
    (short("tau_norm"), {"tau": [0.0, 0.5, 1.0]}),
    (
        short("prototype"),
        {
            "lr": [0.1, 0.03, 0.3],
            "matching_scale": [15.0, 30.0, 100.0],
            "prototype_share": [0.0, 0.5, 1.0],
            "pull": [0.3, 3.0, 30.0],
            "text_weight": [0.0, 1.0, 2.0],
        },
    ),
    (short("tip_adapter"), {"lr": [1e-2, 1e-3, 1e-2], "alpha": [0.1, 1.0, 5.0], "beta": [1, 3, 5]}),
    (short("coop", loss="asl"), {"lr": [0.1, 0.02, 0.1]}),
    (short("lmpt"), {"lr": [0.01, 0.02, 0.03], "cse_weight": [0.1, 0.5, 0.9]}),
]


@pytest.mark.numeric
@pytest.mark.parametrize(("method", "grid"), GRIDS, ids=lambda v: type(v).__name__)
def test_grid_points_are_one_problem_too(
    method: Learner, grid: dict[str, list[Any]], double: None
) -> None:
    points = [dict(zip(grid, values, strict=True)) for values in zip(*grid.values(), strict=True)]
    methods = [dataclasses.replace(method, **point) for point in points]  # type: ignore[type-var]
    worlds = [[(m, world(seed)) for seed, m in enumerate(methods)] for _ in range(2)]
    assert_as_alone(*worlds, atol=1e-9)


@pytest.mark.numeric
def test_double_precision_of_losses_that_need_their_batch(double: None) -> None:
    for loss in ("cb", "ldam_drw", "lade"):
        method = short("linear_probe", loss=loss, weight_decay=0.01)
        worlds = [[(method, world(s)) for s in (1, 2)] for _ in range(2)]
        assert_as_alone(*worlds, atol=1e-9)


# ---- what is not one problem ---------------------------------------------------------------------


@pytest.mark.numeric
def test_other_structures_are_not_batched(double: None) -> None:
    methods = [
        short("linear_probe"),
        short("linear_probe", head="linear"),
        short("linear_probe", epochs=4),
        short("linear_probe", batch_size=8),
        short("linear_probe", loss="focal"),
        short("tau_norm"),
        short("logit_adjustment"),
    ]
    worlds = [[(m, world(0)) for m in methods] for _ in range(2)]
    found = fit_learners(worlds[0])
    # tau_norm trains the same linear head under the same loss: methods can share a batch.
    assert [f.fitted_together for f in found if isinstance(f, Predictor)] == [1, 2, 1, 1, 1, 2, 1]
    for one, (method, task) in zip(found, worlds[1], strict=True):
        expected = logits_of(method.fit(task), task)
        torch.testing.assert_close(logits_of(one, task), expected, atol=1e-9, rtol=0)


@dataclasses.dataclass(frozen=True)
class Dropping(Learner):
    """A head after dropout."""

    rate: float = 0.5
    alone: bool = False

    def learn(self, task: Task) -> Learning:
        head = LinearHead(task.normal_per_class("head", 16))
        module = OnFeatures(nn.Sequential(nn.Dropout(self.rate), head))
        return (yield Training(task, module, cross_entropy, Schedule(2, 16, 0.1), alone=self.alone))


@pytest.mark.parametrize(
    ("method", "many"), [(Dropping(), 1), (Dropping(0.0), 2), (Dropping(0.0, alone=True), 1)]
)
def test_trainings_with_random_modules_or_alone_are_not_batched(
    method: Learner, many: int, double: None
) -> None:
    worlds = [[(method, world(seed)) for seed in (0, 1)] for _ in range(2)]
    assert_as_alone(*worlds, atol=1e-9, many=many)


# ---- failures and interruptions ------------------------------------------------------------------


@pytest.mark.numeric
def test_one_that_diverges_fails_alone(double: None) -> None:
    rates = [0.03, 1e308, 0.03]
    methods = [short("linear_probe", head="linear", lr=rate) for rate in rates]
    found = fit_learners([(m, world(seed)) for seed, m in enumerate(methods)])
    assert isinstance(found[1], ValueError) and "lower the learning rate" in str(found[1])
    for seed in (0, 2):
        task = world(seed)
        expected = logits_of(methods[seed].fit(task), task)
        torch.testing.assert_close(logits_of(found[seed], task), expected, atol=1e-9, rtol=0)


def test_one_that_does_not_apply_does_not_stop_the_others() -> None:
    methods = [short("linear_probe", loss="ldam_drw", head=head) for head in ("cosine", "linear")]
    found = fit_learners([(m, world(0)) for m in methods])
    assert isinstance(found[0], Predictor) and isinstance(found[1], NotApplicable)


@pytest.mark.numeric
@pytest.mark.parametrize(
    "method",
    [
        LinearProbe(epochs=4, batch_size=16),
        TipAdapter(finetune=True, epochs=4, batch_size=16),
        Prototype(epochs=4, batch_size=16),
        ClipAdapter(epochs=4, batch_size=16, lr=0.5),
    ],
    ids=lambda m: type(m).__name__,
)
@pytest.mark.parametrize("left", [(0, 1, 2), (1,)])
def test_an_interrupted_group_resumes(method: Learner, left: tuple[int, ...], double: None) -> None:
    """A member also resumes alone, if records of the others exist already."""
    kept = {seed: Memory() for seed in range(3)}

    def stop(epoch: int, epochs: int, step: int, steps: int) -> None:
        if (epoch, step) == (3, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_learners([(method, world(s, checkpoint=kept[s], progress=stop)) for s in range(3)])
    steps: list[int] = []

    def note(epoch: int, epochs: int, step: int, steps_: int) -> None:
        steps.append(epoch)

    found = fit_learners([(method, world(s, checkpoint=kept[s], progress=note)) for s in left])
    assert steps[0] == 3  # it did not start from zero
    assert len(steps) == 4  # and was notified once
    for seed, one in zip(left, found, strict=True):
        assert isinstance(one, Predictor) and one.fitted_together == len(left)
        task = world(seed)
        expected = logits_of(method.fit(task), task)
        torch.testing.assert_close(logits_of(one, task), expected, atol=1e-9, rtol=0)


@pytest.mark.numeric
def test_states_of_different_epochs_resume_separately() -> None:
    method = LinearProbe(epochs=4, batch_size=16)
    kept = [Memory(), Memory()]

    def stop(epoch: int, epochs: int, step: int, steps: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        method.fit(world(0, checkpoint=kept[0], progress=stop))
    found = fit_learners([(method, world(s, checkpoint=kept[s])) for s in (0, 1)])
    for seed, one in enumerate(found):
        assert isinstance(one, Predictor) and one.fitted_together == 1
        expected = logits_of(method.fit(world(seed)), world(seed))
        assert torch.equal(logits_of(one, world(seed)), expected)  # the same steps


def test_predictors_share_no_memory() -> None:
    found = fit_learners([(LogitAdjustment(epochs=1), world(seed)) for seed in (0, 1)])
    modules = [one.logits for one in found if isinstance(one, Predictor)]
    for module in modules:
        assert isinstance(module, nn.Module) and not module.training
        for parameter in module.parameters():
            assert parameter.untyped_storage().nbytes() == parameter.numel() * 4
            assert parameter.grad is None and parameter.is_leaf


class Counting(Loss):
    """A loss that counts how often it is called."""

    coupled = False
    calls = 0

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        Counting.calls += 1
        return cross_entropy(logits, labels, batch)


@dataclasses.dataclass(frozen=True)
class Counted(Learner):
    """A linear head under the loss that counts."""

    def learn(self, task: Task) -> Learning:
        module = OnFeatures(LinearHead(task.normal_per_class("head", 16)))
        return (yield Training(task, module, Counting(), Schedule(2, 16, 0.1)))


def test_a_batch_takes_as_many_steps_as_one_training() -> None:
    Counting.calls = 0
    fit_learners([(Counted(), world(seed)) for seed in range(5)])
    assert Counting.calls == 2 * 4


def test_memory_bounds_the_size_of_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    # 4 x 16 weights of 4 bytes, six times: two fit into 4,000 bytes.
    monkeypatch.setattr("methods.parts.training.stacking.MEMORY", {"cpu": 4000})
    found = fit_learners([(TauNorm(epochs=1, init="text"), world(seed)) for seed in range(5)])
    assert [one.fitted_together for one in found if isinstance(one, Predictor)] == [2, 2, 2, 2, 1]


# ---- heads ---------------------------------------------------------------------------------------


def test_a_cosine_head_has_the_value_and_the_gradients_of_normalised_products() -> None:
    draw = torch.Generator().manual_seed(0)
    rows, weight, given = (
        torch.randn(3, n, m, dtype=torch.float64, generator=draw)
        for n, m in ((5, 7), (4, 7), (5, 4))
    )
    rows[0, 0] = weight[1, 2] = 0
    weight[2] *= 3  # not of unit length, like weights after a step
    head = CosineHead(weight)
    head.weight.data = weight.clone()
    x = rows.requires_grad_()
    reference = weight.clone().requires_grad_()
    units = [nn.functional.normalize(y, dim=-1) for y in (x, reference)]
    expected = SCALE * units[0] @ units[1].mT
    torch.testing.assert_close(head(x), expected, atol=1e-12, rtol=0)
    ours = torch.autograd.grad(head(x), (x, head.weight), given)
    theirs = torch.autograd.grad(expected, (x, reference), given)
    there = [y.detach().norm(dim=-1) > 0 for y in (x, weight)]  # a row of zeros has no direction
    for found, wanted, which in zip(ours, theirs, there, strict=True):
        torch.testing.assert_close(found[which], wanted[which], atol=1e-10, rtol=0)


@pytest.mark.numeric
def test_a_cosine_head_supports_vmap(double: None) -> None:
    weights, x = torch.randn(3, 4, 7), torch.randn(5, 7)
    head = CosineHead(weights[0])

    def loss(weight: torch.Tensor) -> torch.Tensor:
        return functional_call(head, {"weight": weight}, (x,)).square().sum()

    found = vmap(grad(loss))(weights)
    for weight, row in zip(weights, found, strict=True):
        torch.testing.assert_close(row, grad(loss)(weight), atol=1e-9, rtol=0)


@pytest.mark.numeric
@pytest.mark.parametrize("kind", [CosineHead, LinearHead])
def test_heads_broadcast(kind: type[nn.Module], double: None) -> None:
    weights, x = torch.randn(3, 4, 7), torch.randn(3, 5, 7)
    heads = [kind(weight) for weight in weights]
    expected = torch.stack([head(part) for head, part in zip(heads, x, strict=True)])
    wide = kind(weights[0])
    for name, _ in wide.named_parameters():
        stack = torch.stack([head.get_parameter(name).data for head in heads])
        setattr(wide, name, nn.Parameter(stack))
    torch.testing.assert_close(wide(x), expected, atol=1e-12, rtol=0)
    if kind is CosineHead:
        cosines = nn.functional.cosine_similarity(x[1][:, None], weights[1], dim=-1)
        torch.testing.assert_close(expected[1], SCALE * cosines, atol=1e-12, rtol=0)
