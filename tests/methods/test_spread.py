"""Points spread over a sphere, against known best packings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import Tensor
from torch.nn import functional as F

from methods.parts.heads import prototypes
from methods.parts.heads.prototypes import assigned, cosine_bound, max_cosine, spread

CPU = torch.device("cpu")


def points(count: int, dim: int, seed: int = 0) -> Tensor:
    return spread(count, dim, torch.Generator().manual_seed(seed), CPU)


def gram(x: Tensor) -> np.ndarray:
    x = x.double().numpy()
    return x @ x.T


def others(x: Tensor) -> np.ndarray:
    """Cosines of all pairs of different points."""
    return gram(x)[~np.eye(len(x), dtype=bool)]


def clebsch() -> Tensor:
    """16 points in 5 dimensions with cosines 1/5 and -3/5: the cube's corners of even sign."""
    signs = [s for s in itertools.product((-1.0, 1.0), repeat=5) if np.prod(s) > 0]
    return F.normalize(torch.tensor(signs), dim=-1)


# ---- a simplex where one fits -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "dim"), [(2, 1), (2, 16), (4, 16), (16, 16), (17, 16), (100, 128)]
)
def test_all_cosines_of_a_simplex_are_equal(count, dim):
    found = points(count, dim)
    assert found.shape == (count, dim)
    np.testing.assert_allclose(np.diag(gram(found)), 1, atol=1e-6)
    np.testing.assert_allclose(others(found), -1 / (count - 1), atol=2e-6)
    assert max_cosine(found) == pytest.approx(cosine_bound(count, dim), abs=2e-6)


def test_an_assigned_simplex_is_the_polar_factor_of_its_anchors():
    """The regular simplex nearest to the anchors, from SciPy's polar decomposition."""
    anchors = torch.randn(9, 12, dtype=torch.float64)
    centred = (anchors - anchors.mean(0)).numpy()
    # Subtracting the mean removes one of the 9 dimensions: take the factor in the other 8.
    basis = np.linalg.svd(centred)[0][:, :8]
    expected = basis @ linalg.polar(basis.T @ centred)[0] * (9 / 8) ** 0.5
    for seed in (0, 1):  # for any initial simplex
        found = assigned(points(9, 12, seed), anchors)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
        np.testing.assert_allclose(others(found), -1 / 8, atol=2e-6)


# ---- more points than that ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "dim", "best"),
    [
        (6, 3, 0.0),  # octahedron
        (8, 4, 0.0),  # and the other cross-polytopes
        (20, 10, 0.0),
        (5, 3, 0.0),  # Rankin: 0 for d + 1 < K <= 2d
        (14, 10, 0.0),
        (5, 2, np.cos(2 * np.pi / 5)),  # pentagon
        (12, 3, 5**-0.5),  # icosahedron
        (16, 5, 0.2),  # Clebsch
    ],
)
def test_small_packings_reach_the_best_known(count, dim, best):
    for seed in (0, 1):
        found = others(points(count, dim, seed)).max()
        assert best - 1e-6 < found < best + 0.02


def test_many_points_in_many_dimensions_are_close_to_the_bound():
    for count, dim in ((100, 50), (100, 20), (300, 64)):
        found = points(count, dim)
        start = F.normalize(torch.randn(count, dim), dim=-1)
        bound = cosine_bound(count, dim)
        assert bound < max_cosine(found) < bound + 0.1
        assert max_cosine(found) < max_cosine(start) / 2


def test_same_generator_same_points():
    for count, dim in ((4, 16), (20, 8)):
        assert torch.equal(points(count, dim, 3), points(count, dim, 3))
        assert not torch.allclose(points(count, dim, 3), points(count, dim, 4), atol=1e-2)


def energy(x: Tensor, sharpness: float) -> Tensor:
    cosines = (x @ x.T).masked_fill(torch.eye(len(x), dtype=torch.bool), -torch.inf)
    return torch.logsumexp(sharpness * cosines, -1).sum() / sharpness


@pytest.mark.parametrize("chunk", [3, 7, 100])
def test_repulsion_is_the_gradient_of_the_energy(chunk, monkeypatch):
    monkeypatch.setattr(prototypes, "CHUNK", chunk)
    x = F.normalize(torch.randn(10, 4, dtype=torch.float64), dim=-1)
    found, step = prototypes._repulsion(x, 5.0), 1e-6
    for i, j in itertools.product(range(10), range(4)):
        moved = torch.zeros_like(x)
        moved[i, j] = step
        slope = (energy(x + moved, 5.0) - energy(x - moved, 5.0)) / (2 * step)
        assert float(found[i, j]) == pytest.approx(float(slope), abs=1e-7)
    assert max_cosine(x) == pytest.approx(others(x).max())


# ---- the bound ----------------------------------------------------------------------------------


def test_bound_at_configurations_that_attain_it():
    code = clebsch()
    assert cosine_bound(16, 5) == pytest.approx(others(code).max(), abs=1e-6)
    # The Higman-Sims graph's 100 points in 22 dimensions have cosines 1/11 and -4/11.
    assert cosine_bound(100, 22) == pytest.approx(1 / 11, abs=1e-6)
    assert cosine_bound(4, 3) == pytest.approx(-1 / 3)  # tetrahedron
    assert cosine_bound(5, 3) == cosine_bound(6, 3) == 0
    assert 0 < cosine_bound(7, 3) < 1


def test_bound_grows_with_the_points_and_holds_for_every_packing():
    for dim in (2, 3, 8):
        bounds = [cosine_bound(count, dim) for count in range(2, 40)]
        assert all(np.diff(bounds) >= 0)
        for count in (2, dim + 1, dim + 2, 2 * dim + 1, 3 * dim, 30):
            assert others(points(count, dim)).max() > cosine_bound(count, dim) - 1e-6


# ---- who gets which -----------------------------------------------------------------------------


def test_assignment_moves_the_constellation_as_a_whole():
    found, anchors = points(20, 8), F.normalize(torch.randn(20, 8), dim=-1)
    placed = assigned(found, anchors)
    np.testing.assert_allclose(np.sort(others(placed)), np.sort(others(found)), atol=1e-5)
    before, turned, after = (
        float((x * anchors).sum()) for x in (found, prototypes._turned(found, anchors), placed)
    )
    assert before < turned < after


@pytest.mark.parametrize(("count", "dim"), [(6, 8), (9, 8), (20, 8)])
def test_permuted_anchors_get_permuted_points(count, dim):
    found, anchors = points(count, dim), torch.randn(count, dim)
    order = torch.randperm(count)
    placed, moved = assigned(found, anchors), assigned(found, anchors[order])
    torch.testing.assert_close(moved, placed[order], atol=1e-5, rtol=0)
    assert not torch.allclose(moved, placed, atol=0.1)


def test_the_order_of_the_points_does_not_change_the_assignment():
    found, order = points(20, 8), torch.randperm(20)
    anchors = found[order] + 0.1 * torch.randn(20, 8)
    likeness = (F.normalize(anchors, dim=-1) * assigned(found, anchors)).sum(-1)
    assert float(likeness.min()) > 0.9


def test_assignment_is_optimal_and_the_rotation_is_procrustes():
    found, anchors = points(7, 3), torch.randn(7, 3)
    orders = [list(order) for order in itertools.permutations(range(7))]
    likeness = [float((found[order] * anchors).sum()) for order in orders]
    best = found[orders[int(np.argmax(likeness))]].double().numpy()
    turn, _ = linalg.orthogonal_procrustes(best, anchors.double().numpy())
    np.testing.assert_allclose(assigned(found, anchors).numpy(), best @ turn, atol=1e-5)
