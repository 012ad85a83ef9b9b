"""What turns scaled cosines into logits for sigmoid losses; ours.

A sigmoid needs its zero between the images that show a class and those that do not, and a slope
that suits how far these are apart. Neither stands in a CLIP-like model: at its own scale, meant for
a softmax over captions, sigmoids are sure of what is not there, and the shortest way to a lower
loss is then prompts that are all alike, from which they do not come back. Nor is the class
frequency where every loss has its zero: those that go easy on negatives (distribution-balanced,
asymmetric, focal) would begin where a rare class's negatives cost nothing at all.

So a scale and a bias a class are first fitted to the training labels under the loss itself, prompts
held still, and then learned along with them. Neither changes an average precision.
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
"""Of the backbone's own scale. The lower bound lets prompts learn that know nothing at first."""


class Calibration(nn.Module):
    """a (z_c - centre_c) + b_c, with a and b_c fitted at first and learned from there.

    Args:
        task: training labels.
        loss: the loss to fit under and to be learned under.
        logits: (N, C) of the training images before training.
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
        # All classes pull at the one scale: divided so that a step moves it by their mean.
        scale = self.scale * (self.log_scale * z.shape[-1] ** -0.5).exp()
        out: Tensor = scale * (z - self.centre) + self.start + self.bias
        return out


def fitted(task: Task, loss: LossFunction, z: Tensor) -> tuple[float, Tensor]:
    """The scale and the biases (C,) under which a * z + b has the least loss on the training data.

    Full-batch Adam from the class frequencies, in double precision so that the order of the classes
    does not show in the result.
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
