"""Calibration of scaled cosines for sigmoid losses; ours.

A sigmoid needs its zero between the images that show a class and those that do not, and a slope
that suits the distance between them. A CLIP-like model provides neither: its own scale is meant for
a softmax over captions, and at that scale sigmoids are certain of absent classes. The shortest way
to a lower loss is then prompts that are all alike, from which training does not recover. The class
frequency is not the right start for every loss either: those that down-weight negatives
(distribution-balanced, asymmetric, focal) would start where a rare class's negatives cost nothing.

Therefore a scale and one bias per class are first fitted to the training labels under the loss
itself, with frozen prompts, and then learned together with the prompts. Neither changes an average
precision on the logits. Both change one on a softmax over the classes (`scores=softmax`), which is
therefore taken of the uncalibrated logits (`Predictor.uncalibrated`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from methods.base import Batch, Task
from methods.parts.heads.linear_classifiers import log_odds
from methods.parts.losses.base import LossFunction

STEPS = 200
SCALES = (0.1, 1.0)
"""Bounds of the factor on the backbone's scale. The lower bound lets prompts learn that are
uninformative at first."""


class Calibration(nn.Module):
    """a (z_c - centre_c) + b_c, with a and b_c fitted first and then learned.

    Args:
        task: training labels.
        loss: loss of both the fit and the training.
        logits: (N, C) logits of the training images before training.
    """

    centre: Tensor
    start: Tensor
    scale: Tensor

    def __init__(self, task: Task, loss: LossFunction, logits: Tensor) -> None:
        super().__init__()
        centre = logits.mean(0)
        scale, start = fitted(task, loss, logits - centre)
        self.register_buffer("scale", torch.tensor(scale, device=start.device), persistent=False)
        self.register_buffer("centre", centre)
        self.register_buffer("start", start)
        self.log_scale = nn.Parameter(torch.zeros((), device=logits.device))
        self.bias = nn.Parameter(torch.zeros_like(centre))

    def forward(self, z: Tensor) -> Tensor:
        """(B, C) -> (B, C)."""
        # All classes contribute gradients to the one scale: the factor turns their sum into a mean.
        scale = self.scale * (self.log_scale * z.shape[-1] ** -0.5).exp()
        out: Tensor = scale * (z - self.centre) + self.start + self.bias
        return out


def fitted(task: Task, loss: LossFunction, z: Tensor) -> tuple[float, Tensor]:
    """Scale and biases (C,) that minimise the loss of a * z + b on the training data.

    Full-batch Adam from the class frequencies, in double precision so that the result does not
    depend on the order of the classes.
    """
    labels, z = task.train.labels, z.double()
    everything = Batch(torch.arange(len(z), device=z.device), None, None)
    low, high = (math.log(scale) for scale in SCALES)
    log_scale = torch.full((), (low + high) / 2, dtype=z.dtype, device=z.device)
    parameters = [log_scale, log_odds(task.counts, len(z)).to(z.dtype)]
    optimiser = torch.optim.Adam([p.requires_grad_() for p in parameters], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    with torch.enable_grad():
        for _ in range(STEPS):
            optimiser.zero_grad()
            loss(log_scale.exp() * z + parameters[1], labels, everything).mean().backward()
            optimiser.step()
            schedule.step()
            log_scale.data.clamp_(low, high)
    return float(log_scale.detach().exp()), parameters[1].detach().float()
