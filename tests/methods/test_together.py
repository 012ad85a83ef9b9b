"""Seeds and grid points that are fitted together end at the numbers of separate fits, bit for bit.

The equality rests on the loop and on no kernel: a training among others runs the operations of a
training alone, in the same order, on tensors of its own with the same shapes and strides, which
torch's allocator aligns alike. A kernel whose sums depend on the state of the machine would break
it, but then also two runs of one cell. Matrix units such as AMX were not tried; their sums depend
on the shapes alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.datasets.base import TaskKind
from benchmarks.errors import NotApplicable
from methods.base import Batch, Predictor, Task
from methods.linear_probe import LinearProbe
from methods.logit_adjustment import LogitAdjustment
from methods.parts.heads.linear_classifiers import SCALE, CosineHead, LinearHead, OnFeatures
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.training.learning import Learner, Learning, fit_learners
from methods.parts.training.schedules import Schedule, Training
from methods.registry import METHODS, info_of
from methods.tau_norm import TauNorm
from tests.methods.double import precise_task
from tests.methods.memory import Memory

pytestmark = pytest.mark.usefixtures("short_calibration")

Pairs = list[tuple[Learner, Task]]


def short(name: str, **fields: Any) -> Learner:
    """A method with 10 steps per training: 2 of 32 images per epoch."""
    own = METHODS.get(name).__dataclass_fields__
    wanted = {"epochs": 5, "batch_size": 32, "finetune": True} | fields
    method: Learner = METHODS.get(name)(**{k: v for k, v in wanted.items() if k in own})
    return method


def world(seed: int, kind: TaskKind = "single", **more: Any) -> Task:
    return precise_task(seed, kind=kind, **more)[0]


def logits_of(predictor: Any, task: Task) -> Tensor:
    assert isinstance(predictor, Predictor), predictor
    index = np.arange(len(task.train))
    with torch.no_grad():
        return predictor.logits(task.train.batch(index, needs="features"))


def assert_as_alone(world: Callable[[], Pairs], companies: Sequence[Sequence[int]]) -> None:
    """Assert that fits in several companies have the bits of fits alone.

    Args:
        world: three methods with new tasks.
        companies: which of them are fitted together.
    """
    alone = [fit_learners([pair])[0] for pair in world()]
    for company in companies:
        pairs = [world()[number] for number in company]
        for number, one, (_, task) in zip(company, fit_learners(pairs), pairs, strict=True):
            assert isinstance(one, Predictor), one
            expected = alone[number]
            assert isinstance(expected, Predictor) and expected.fitted_together == 1
            own = {"logits": None, "uncalibrated": None, "fitted_together": 1}
            assert dataclasses.replace(one, **own) == dataclasses.replace(expected, **own)
            assert torch.equal(logits_of(one, task), logits_of(expected, task))


LEARNERS = [
    (name, kind)
    for name in sorted(METHODS.entries())
    if issubclass(METHODS.get(name), Learner)
    for kind in info_of(name).tasks
]


def test_every_method_on_features_that_trains_is_here() -> None:
    names = {name for name, _ in LEARNERS}
    assert names >= {
        "clip_adapter", "coop", "linear_probe", "lmpt", "logit_adjustment", "prototype",
        "tau_norm", "tip_adapter",
    }  # fmt: skip


@pytest.mark.numeric
@pytest.mark.parametrize(("name", "kind"), LEARNERS)
def test_seeds_together_have_the_bits_of_seeds_alone(name: str, kind: TaskKind) -> None:
    method = short(name, epochs=2)
    assert_as_alone(lambda: [(method, world(seed, kind)) for seed in (3, 0, 5)], [(2, 0, 1)])


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize(("name", "kind"), LEARNERS)
def test_any_company_of_seeds(
    name: str, kind: TaskKind, validation: bool, threads: int, with_threads: Any
) -> None:
    with_threads(threads)
    method = short(name)
    assert_as_alone(
        lambda: [(method, world(seed, kind, validation=validation)) for seed in (3, 0, 5)],
        [(0, 1), (1, 2), (2, 0), (0, 1, 2), (2, 1, 0)],
    )


@pytest.fixture
def with_threads() -> Iterator[Any]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


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
def test_grid_points_together_have_the_bits_of_grid_points_alone(
    method: Learner, grid: dict[str, list[Any]]
) -> None:
    points = [dict(zip(grid, values, strict=True)) for values in zip(*grid.values(), strict=True)]
    methods = [dataclasses.replace(method, **point) for point in points]  # type: ignore[type-var]
    assert_as_alone(lambda: [(m, world(seed)) for seed, m in enumerate(methods)], [(0, 1, 2)])


# ---- groups ------------------------------------------------------------------------------------


@pytest.mark.numeric
def test_trainings_of_other_lengths_are_not_in_turns() -> None:
    methods = [
        short("linear_probe"),
        short("linear_probe", head="linear"),
        short("linear_probe", epochs=4),
        short("linear_probe", batch_size=8),
        short("linear_probe", loss="focal"),
        short("tip_adapter"),
        short("logit_adjustment"),
    ]
    found = fit_learners([(m, world(0)) for m in methods])
    # Methods share a group if their numbers of epochs and steps and their optimisers are equal.
    assert [f.fitted_together for f in found if isinstance(f, Predictor)] == [4, 4, 1, 1, 4, 1, 4]
    for one, method in zip(found, methods, strict=True):
        expected = method.fit(world(0))
        assert torch.equal(logits_of(one, world(0)), logits_of(expected, world(0)))


@dataclasses.dataclass(frozen=True)
class Dropping(Learner):
    """A head after dropout."""

    def learn(self, task: Task) -> Learning:
        head = LinearHead(task.normal_per_class("head", 16))
        module = OnFeatures(nn.Sequential(nn.Dropout(0.5), head))
        return (yield Training(task, module, cross_entropy, Schedule(2, 16, 0.1)))


@pytest.mark.numeric
def test_every_training_draws_from_a_random_state_of_its_own() -> None:
    companies = [(1, 0), (0, 1, 2)]
    assert_as_alone(lambda: [(Dropping(), world(seed)) for seed in range(3)], companies)


@dataclasses.dataclass(frozen=True)
class Annealed(Learner):
    """A head whose learning rate falls at every epoch or step."""

    anneal: Literal["epoch", "step"]

    def learn(self, task: Task) -> Learning:
        module = OnFeatures(LinearHead(task.normal_per_class("head", 16)))
        schedule = Schedule(2, 16, 0.1, anneal=self.anneal)
        return (yield Training(task, module, cross_entropy, schedule))


@pytest.mark.numeric
def test_trainings_whose_rates_fall_at_other_times_are_not_in_turns() -> None:
    pairs = [(Annealed("epoch"), world(0)), (Annealed("step"), world(0))]
    found = fit_learners(pairs)
    assert [f.fitted_together for f in found if isinstance(f, Predictor)] == [1, 1]
    every, falling = (logits_of(one, world(0)) for one in found)
    assert not torch.equal(every, falling)
    assert torch.equal(falling, logits_of(Annealed("step").fit(world(0)), world(0)))


# ---- failures and interruptions ------------------------------------------------------------------


@pytest.mark.numeric
def test_one_that_diverges_fails_alone() -> None:
    rates = [0.03, 1e38, 0.03]
    methods = [short("linear_probe", head="linear", lr=rate) for rate in rates]
    found = fit_learners([(m, world(seed)) for seed, m in enumerate(methods)])
    assert isinstance(found[1], ValueError) and "lower the learning rate" in str(found[1])
    for seed in (0, 2):
        task = world(seed)
        expected = logits_of(methods[seed].fit(task), task)
        assert torch.equal(logits_of(found[seed], task), expected)


@dataclasses.dataclass(frozen=True)
class Raising(Learner):
    """A head that raises in the second epoch of seed 1."""

    def learn(self, task: Task) -> Learning:
        calls: list[int] = []

        def loss(logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
            calls.append(1)
            if task.seed == 1 and len(calls) == 6:
                raise RuntimeError("no")
            return cross_entropy(logits, labels, batch)

        module = OnFeatures(LinearHead(task.normal_per_class("head", 16)))
        return (yield Training(task, module, loss, Schedule(2, 16, 0.1)))


@pytest.mark.numeric
def test_one_that_raises_fails_alone() -> None:
    found = fit_learners([(Raising(), world(seed)) for seed in range(3)])
    assert isinstance(found[1], RuntimeError) and str(found[1]) == "no"
    for seed in (0, 2):
        expected = Raising().fit(world(seed))
        assert torch.equal(logits_of(found[seed], world(seed)), logits_of(expected, world(seed)))


def test_one_that_does_not_apply_does_not_stop_the_others() -> None:
    methods = [short("linear_probe", loss="ldam_drw", head=head) for head in ("cosine", "linear")]
    found = fit_learners([(m, world(0)) for m in methods])
    assert isinstance(found[0], Predictor) and isinstance(found[1], NotApplicable)


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


def test_memory_bounds_the_size_of_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    # 4 x 16 weights of 4 bytes, six times: two fit into 4,000 bytes.
    monkeypatch.setattr("methods.parts.training.groups.MEMORY", {"cpu": 4000})
    found = fit_learners([(TauNorm(epochs=1, init="text"), world(seed)) for seed in range(5)])
    assert [one.fitted_together for one in found if isinstance(one, Predictor)] == [2, 2, 2, 2, 1]


# ---- heads ---------------------------------------------------------------------------------------


def test_a_cosine_head_has_the_value_and_the_gradients_of_normalised_products() -> None:
    draw = torch.Generator().manual_seed(0)
    rows, weight, given = (
        torch.randn(n, m, dtype=torch.float64, generator=draw) for n, m in ((5, 7), (4, 7), (5, 4))
    )
    rows[0] = weight[2] = 0
    weight[3] *= 3  # not of unit length, like weights after a step
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
