"""Values that tests compare ours with, computed by other libraries."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score


def sklearn_precisions(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(C,) average precisions of (N, C) scores by scikit-learn."""
    return np.array(
        [average_precision_score(y, s) for y, s in zip(labels.T, scores.T, strict=True)]
    )
