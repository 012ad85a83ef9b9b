"""Class prototypes spread uniformly over the unit sphere, and which class gets which.

K <= d + 1 unit vectors in d dimensions are spread best as a regular simplex: every pairwise cosine
is -1/(K-1). More than that cannot be equidistant; they are placed by minimising, for each vector,
the log-sum-exp of its cosines with the others, ever more sharply, so that in the end only the
nearest neighbours count. `cosine_bound` says what the largest cosine cannot go below: -1/(K-1) for
a simplex, 0 up to K = 2d (Rankin 1955; both attained), beyond that by Levenshtein's bound. Welch's
bound is on |cosine|, hence on lines, and none on the largest signed cosine.
"""

from __future__ import annotations

import math

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

STEPS = 200
"""Of the optimisation; 1,000 in 512 dimensions then come to 0.017, after 300 steps to 0.015."""
CHUNK = 1024
"""Prototypes whose cosines with all others are held at a time."""


def spread(count: int, dim: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """(count, dim) unit vectors, as far apart as they get; the same for the same generator state.

    Args:
        count: K, 2 or more.
        dim: d.
        generator: on the CPU; turns a simplex, and starts the optimisation of what is none.
        device: where to optimise.
    """
    start = torch.randn(count, dim, generator=generator, dtype=torch.float64)
    frame = F.normalize(_isometry(start - start.mean(0)), dim=-1)
    points = frame.to(device, torch.get_default_dtype())
    return points if count <= dim + 1 else _optimised(points)


def _isometry(matrix: Tensor) -> Tensor:
    """The nearest matrix whose singular values are 1, or 0 where those of `matrix` are."""
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    rank = int((s > 1e-9 * s[0]).sum())
    return u[:, :rank] @ v[:rank]


def _optimised(points: Tensor) -> Tensor:
    """(K, d) unit vectors moved apart by gradient descent with momentum."""
    velocity = torch.zeros_like(points)
    for step in range(STEPS):
        done = step / (STEPS - 1)
        # Cosines of random directions have a standard deviation of 1/sqrt(d).
        sharpness = points.shape[1] ** 0.5 * 50.0**done
        gradient = _repulsion(points, sharpness)
        gradient -= (gradient * points).sum(-1, keepdim=True) * points  # along the sphere
        # The energy's curvature grows with the sharpness.
        velocity = 0.9 * velocity - 3.0 * (1 - done) / sharpness * gradient
        points = F.normalize(points + velocity, dim=-1)
    return points


def _repulsion(points: Tensor, sharpness: float) -> Tensor:
    """(K, d) gradient of sum_i 1/sharpness log sum_{j != i} exp(sharpness cos_ij)."""
    gradient = torch.zeros_like(points)
    for low in range(0, len(points), CHUNK):
        part = points[low : low + CHUNK]
        weights = (sharpness * _cosines_with_others(points, low)).softmax(-1)  # (n, K)
        gradient[low : low + CHUNK] += weights @ points
        gradient += weights.T @ part
    return gradient


def _cosines_with_others(points: Tensor, low: int) -> Tensor:
    """(n, K) cosines of the points from `low` on, a chunk of them; -inf with themselves."""
    cosines = points[low : low + CHUNK] @ points.T
    cosines.diagonal(low).fill_(-math.inf)
    return cosines


def max_cosine(points: Tensor) -> float:
    """The largest cosine of two of (K, d) unit vectors."""
    return max(
        float(_cosines_with_others(points, low).max()) for low in range(0, len(points), CHUNK)
    )


def cosine_bound(count: int, dim: int) -> float:
    """What the largest pairwise cosine of `count` unit vectors in `dim` dimensions cannot go below.

    Beyond 2 dim vectors it is the s at which Levenshtein's third bound on their number,
    d (1 - s) (2 + (d + 1) s) / (1 - d s^2), reaches `count`, in the range of s where it holds.
    """
    if count <= dim + 1:
        return -1 / (count - 1)
    if count <= 2 * dim:
        return 0.0
    low, high = 0.0, ((dim + 3) ** 0.5 - 1) / (dim + 2)
    for _ in range(60):
        s = (low + high) / 2
        room = dim * (1 - s) * (2 + (dim + 1) * s) / (1 - dim * s * s)
        low, high = (s, high) if room < count else (low, s)
    return low


def assigned(points: Tensor, anchors: Tensor) -> Tensor:
    """(K, d) the same constellation, turned and handed out so that each class is near its anchor.

    A simplex can be turned onto any of its permutations, so turning it (orthogonal Procrustes) is
    all there is to do, and the result is the regular simplex nearest to the anchors. In other
    constellations an optimal assignment comes before that; after it, it hardly ever changes again.
    Permuting the anchors permutes the result, if no two of them are alike.

    Args:
        points: (K, d) unit vectors.
        anchors: (K, d), one a class; their mean does not matter to a simplex.
    """
    if len(points) > points.shape[1] + 1:
        _, chosen = linear_sum_assignment((anchors @ points.T).cpu().numpy(), maximize=True)
        points = points[torch.from_numpy(chosen).to(points.device)]
    return _turned(points, anchors)


def _turned(points: Tensor, anchors: Tensor) -> Tensor:
    """The points under the orthogonal map that brings them closest to the anchors."""
    exact = points.double().cpu()
    u, _, v = torch.linalg.svd(exact.T @ anchors.double().cpu())
    return F.normalize(exact @ (u @ v), dim=-1).to(points)
