"""Soft labels from a tree over the classes. B samples, C classes, L levels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.errors import NotApplicable
from benchmarks.hierarchy import Hierarchy
from methods.base import Task


def hierarchy_of(task: Task) -> Hierarchy:
    """The tree over the task's classes.

    Raises:
        NotApplicable: there is none, or it needs something that is not on this machine.
    """
    if task.hierarchy is None:
        raise NotApplicable("needs a class hierarchy, and the data set has none")
    return task.hierarchy()


class SoftLabels(nn.Module):
    """softmax over c of -tau * height(y, c), for labels y (HGLTR's code).

    The height is that of the lowest common ancestor of y and c: the steps from it down to the
    farther one of the two. Classes that have only the root in common with y get the probability 0.

    Args:
        hierarchy: tree over C classes.
        tau: sharpness; a large one gives hard labels.
        device: of the labels.
    """

    nodes: Tensor
    depths: Tensor

    def __init__(self, hierarchy: Hierarchy, tau: float, device: torch.device) -> None:
        super().__init__()
        self.tau = tau
        for name, value in (("nodes", hierarchy.nodes), ("depths", hierarchy.depths)):
            self.register_buffer(name, torch.from_numpy(value).to(device), persistent=False)

    def heights(self, labels: Tensor) -> Tensor:
        """(B,) labels -> (B, C) heights; infinite where only the root is common."""
        common = (self.nodes[labels][:, None] == self.nodes).sum(-1)  # nodes above both, (B, C)
        found = torch.maximum(self.depths[labels][:, None], self.depths) - common
        # A class has more than its own nodes in common with itself: those that fill its row.
        return found.clamp(min=0).float().masked_fill(common == 1, torch.inf)

    def forward(self, labels: Tensor) -> Tensor:
        """(B,) labels -> (B, C) probabilities."""
        heights = self.heights(labels)
        return torch.where(heights.isinf(), -torch.inf, -self.tau * heights).softmax(-1)
