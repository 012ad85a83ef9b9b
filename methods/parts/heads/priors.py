"""The class prior in zero-shot logits that results from the backbone's pre-training.

If z_c = log p(x | c) + log pi_c + const(x), then z - log pi is the classifier for balanced classes.
pi is the prior of pre-training; the training frequencies of a data set that the backbone never saw
are unrelated to it. Neither of the two estimates uses pre-training data. They estimate the shift in
the logits; reading it as a frequency assumes the model above, which a contrastive loss need not
satisfy.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 8192
"""Images whose (rows, C) probabilities are in memory at a time."""
TOLERANCE = 1e-3
"""Largest error of a class's log share of the balanced images at which the iteration stops."""
ITERATIONS = 300


def prior_from_images(features: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """(C,) log pi under which equally weighted classes of labelled images are predicted evenly.

    The zero-shot classifier corrected by log pi then has the same mean probability for every class.
    This pi also minimises the cross-entropy of the corrected classifier on these images, which is
    our reading of the "optimization-based bias estimation" of GLA (Zhu et al. 2023, arXiv
    2310.08106); computing it by iterative scaling, log pi_c += log of the class's share times C, is
    ours. Classes without images are left out and get the others' mean log pi.

    Args:
        features: (N, D) training features.
        labels: (N,) their classes.
        weight: (C, D) zero-shot weights, the logits are features @ weight.T.
    """
    counts = torch.bincount(labels, minlength=len(weight))  # (C,)
    there = counts > 0
    share = 1 / (counts[labels] * there.sum())  # (N,) equal sums for all classes
    log_prior = torch.zeros(int(there.sum()), device=features.device)
    for _ in range(ITERATIONS):
        seen = torch.zeros_like(log_prior)
        for rows, part in zip(features.split(ROWS), share.split(ROWS), strict=True):
            seen += part @ (rows @ weight[there].T - log_prior).softmax(1)
        step = (seen * len(seen)).clamp(min=torch.finfo(seen.dtype).tiny).log()
        log_prior = log_prior + step
        if float(step.abs().max()) < TOLERANCE:
            break
    full = torch.full((len(weight),), float(log_prior.mean()), device=features.device)
    full[there] = log_prior
    return full.log_softmax(0)


def prior_from_texts(weight: Tensor, scale: float) -> Tensor:
    """(C,) log pi estimated with the texts of the other classes in place of images.

    The estimate, a class's mean zero-shot logit over these texts, is ours. Texts alone do not
    determine the prior: the same texts with other images have another one. The estimate is good as
    far as texts and images agree along the directions that separate common from rare classes, which
    no text can show.

    Args:
        weight: (C, D) L2-normalised text features.
        scale: the backbone's logit scale.
    """
    # The sum includes a text's similarity to itself: it is equal for all classes and cancels.
    mean = scale * weight @ weight.sum(0) / max(len(weight) - 1, 1)  # (C,)
    return mean.log_softmax(0)
