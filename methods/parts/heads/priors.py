"""The class prior that zero-shot logits carry from the backbone's pre-training.

If z_c = log p(x | c) + log pi_c + const(x), then z - log pi is the classifier for balanced classes.
pi is the prior of pre-training: the training frequencies of a data set the backbone never saw have
nothing to do with it. Two estimates, neither of which sees pre-training data. What they find is the
shift that the logits show; that it is a frequency rests on the model above, which a contrastive
loss need not meet.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 8192
"""Images whose (rows, C) probabilities are held at a time."""
TOLERANCE = 1e-3
"""Largest error of a class's log share of the balanced images at which the iteration ends."""
ITERATIONS = 300


def prior_from_images(features: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """(C,) log pi under which labelled images, each class weighing the same, are shared out evenly.

    The zero-shot classifier corrected by log pi then predicts every class equally often, in the
    mean of its probabilities. That pi also minimises the cross-entropy of the corrected classifier
    on these images, which is how we read the "optimization-based bias estimation" of GLA (Zhu et
    al. 2023, arXiv 2310.08106); finding it by iterative scaling, log pi_c += log of the class's
    share times C, is ours. Classes without images are left out and get the others' mean log pi.

    Args:
        features: (N, D) training features.
        labels: (N,) their classes.
        weight: (C, D) zero-shot weights, the logits are features @ weight.T.
    """
    counts = torch.bincount(labels, minlength=len(weight))  # (C,)
    there = counts > 0
    share = 1 / (counts[labels] * there.sum())  # (N,) every class has the same sum
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
    """(C,) log pi with the texts of the other classes standing in for images.

    The estimate is a class's mean zero-shot logit over them: ours. Texts alone do not determine the
    prior: the same texts with other images mean another one. It holds as far as texts are where
    images are along the directions that tell common from rare, which no text can show.

    Args:
        weight: (C, D) L2-normalised text features.
        scale: the backbone's logit scale.
    """
    # A text's likeness to itself is in the sum, too: the same for every class, so it cancels.
    mean = scale * weight @ weight.sum(0) / max(len(weight) - 1, 1)  # (C,)
    return mean.log_softmax(0)
