"""Sums and variances over strata of test images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Strata:
    """Sums and variances over the strata of N images."""

    def __init__(self, strata: NDArray[np.int64]) -> None:
        self._order = np.argsort(strata, kind="stable")
        _, self._first, self._sizes = np.unique(
            strata[self._order], return_index=True, return_counts=True
        )

    def total(self, parts: Array) -> Array:
        """(...,) sums over the strata of the means of (..., N) parts."""
        return np.asarray(self._means(parts).sum(-1))

    def variance(self, parts: Array, steps: Array | None = None) -> tuple[float, float]:
        """The variance of the total of (N,) parts, and its degrees of freedom.

        The degrees of freedom are Satterthwaite's, or those from the fourth moment if these are
        fewer, because the variance then depends on few images (classes with few positives,
        variants that rarely disagree).

        Args:
            parts: (N,) what the images contribute.
            steps: (N,) change of a part when its image turns; with them one image more than was
                seen is taken to have turned.
        """
        shares, squares, freedom = self._squares(parts)
        variances = squares * (freedom + 1) / freedom
        second, fourth = self._turned(steps)
        total = float(variances.sum()) + second
        if total == 0.0:
            return 0.0, 1.0
        by_moments = 2 * (squares.sum() + second) ** 2 / ((shares**4).sum() + fourth)
        spread = float((variances**2 / freedom).sum())
        satterthwaite = total**2 / spread if spread else np.inf
        return total, float(max(min(satterthwaite, by_moments), 1.0))

    def variances(self, parts: Array) -> Array:
        """(R,) variances of the totals of (R, N) parts."""
        _, squares, freedom = self._squares(parts)
        return np.asarray((squares * (freedom + 1) / freedom).sum(-1))

    def _squares(self, parts: Array) -> tuple[Array, Array, Array]:
        """Deviations of (..., N) parts from their strata's means, their sums of squares, freedom.

        Deviations are divided by the sizes of the strata. Strata of one image are put together
        behind the others.
        """
        sizes, means = self._sizes, self._means(parts)
        shares: Array = parts[..., self._order] - np.repeat(means, sizes, axis=-1)
        shares /= np.repeat(sizes, sizes)
        squares: Array = np.add.reduceat(shares**2, self._first, axis=-1)
        freedom: Array = np.asarray(sizes - 1.0, dtype=np.float64)
        lone = sizes == 1
        if lone.any():  # classes of one image share a stratum, which may overstate the variance
            alone = means[..., lone]
            if lone.sum() > 1:
                alone = alone - alone.mean(-1, keepdims=True)
            shares = np.concatenate([shares, alone], axis=-1)
            together = (alone**2).sum(-1, keepdims=True)
            squares = np.concatenate([squares[..., ~lone], together], axis=-1)
            freedom = np.append(freedom[~lone], max(lone.sum() - 1.0, 1.0))
        return shares, squares, freedom

    def _turned(self, steps: Array | None) -> tuple[float, float]:
        """Second and fourth moment that one image adds if it turns, any image alike.

        Without it, the variance is zero where no image was seen to turn, or all of a class: the
        interval then says that nothing can ever turn. Agresti and Min (2005, Statistics in
        Medicine 24:729) add half an image to each cell of the table of right and wrong; half turns
        in either direction.
        """
        if steps is None or not (steps > 0).any():
            return 0.0, 0.0
        shares = (steps[self._order] / np.repeat(self._sizes, self._sizes))[steps[self._order] > 0]
        return float((shares**2).mean()), float((shares**4).mean())

    def _means(self, parts: Array) -> Array:
        sums = np.add.reduceat(parts[..., self._order], self._first, axis=-1)
        return np.asarray(sums / self._sizes)
