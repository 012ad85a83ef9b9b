from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from benchmarks.conformance.tiny import tiny_backbone, tiny_data
from benchmarks.inputs.features import FeatureStore
from benchmarks.inputs.samples import SplitSamples
from benchmarks.run.logits import ROWS, likeliest, logits_of
from methods.base import Batch, Predictor


@pytest.fixture
def test() -> SplitSamples:
    return SplitSamples(tiny_data().test, tiny_backbone(), FeatureStore(None))


@pytest.mark.parametrize("size", [1, 5, 16, 100])
@pytest.mark.parametrize("needs", ["features", "images"])
def test_logits_of_all_samples_in_their_order(test: SplitSamples, needs: str, size: int) -> None:
    sizes = []

    def predict(batch: Batch) -> torch.Tensor:
        sizes.append(len(batch))
        return batch.inputs.flatten(1)[:, :4].double() + batch.index[:, None]

    backbone = tiny_backbone()
    logits = logits_of(Predictor(predict), test, backbone, needs, 4, size)
    whole = test.batch(np.arange(16), needs=needs).inputs.flatten(1)[:, :4]
    torch.testing.assert_close(logits, whole + torch.arange(16)[:, None])
    assert logits.dtype == torch.float32
    assert sum(sizes) == 16
    assert max(sizes) == min(size, 16)


def test_logits_are_the_mean_over_the_views(test: SplitSamples) -> None:
    seen: list[torch.Tensor] = []

    def predict(batch: Batch) -> torch.Tensor:
        seen.append(batch.inputs.flatten(1)[:, :4])
        return seen[-1]

    logits = logits_of(
        Predictor(predict, views="five crops"), test, tiny_backbone(), "images", 4, 16
    )
    assert len(seen) == 5
    torch.testing.assert_close(logits, torch.stack(seen).mean(0))


def test_unusable_logits_are_refused(test: SplitSamples) -> None:
    good = torch.zeros(16, 4)
    for bad in (good[:, :3], good[:15], good.flatten()):
        with pytest.raises(ValueError, match=r"expected \(16, 4\)"):
            logits_of(Predictor(lambda _, b=bad: b), test, tiny_backbone(), "features", 4, 16)
    for value in (float("nan"), float("inf")):
        worse = good.clone()
        worse[7, 2] = value
        with pytest.raises(ValueError, match="NaN or infinite"):
            logits_of(Predictor(lambda _, w=worse: w), test, tiny_backbone(), "features", 4, 16)


# ---- the likeliest classes -----------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 1000.0])  # of these most probabilities are zero
@pytest.mark.parametrize("classes", [2, 4, 5, 30])
def test_ranks_are_those_of_a_stable_sort(classes: int, scale: float) -> None:
    rng = np.random.default_rng(classes)
    number = 2 * ROWS + 3  # the last part is a short one
    # Few different values: many classes are equally likely, and the first of them comes first.
    logits = scale * torch.from_numpy(rng.integers(-3, 3, (number, classes))).float()
    labels = rng.integers(0, classes, number)
    top, probability, true = likeliest(logits, labels)
    exact = softmax(logits.numpy().astype(np.float64), axis=1)
    order = np.argsort(-exact, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(top, order)
    np.testing.assert_allclose(probability, np.take_along_axis(exact, order, 1), rtol=1e-12)
    np.testing.assert_allclose(true, exact[np.arange(number), labels], rtol=1e-12)


def test_ranks_of_no_images() -> None:
    top, probability, true = likeliest(torch.zeros(0, 7), np.zeros(0, dtype=np.int64))
    assert (top.shape, probability.shape, true.shape) == ((0, 5), (0, 5), (0,))


def test_logits_are_not_changed() -> None:
    logits = torch.randn(8, 3)
    before = logits.clone()
    likeliest(logits, np.zeros(8, dtype=np.int64))
    assert torch.equal(logits, before)
