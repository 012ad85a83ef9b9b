"""Image towers with trained parts: `benchmarks.towers.image` with adapters, and a head.

B images, W width of the tokens, W' width of the pooled output, D joint space.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.backbones import Backbone
from benchmarks.errors import NotApplicable
from benchmarks.towers import image
from methods.base import Batch
from methods.parts.image.adapters import Slots
from methods.parts.image.changes import Changes


class AdaptedViT(nn.Module):
    """An image tower, with trained parts in its blocks if it is a ViT.

    The parameters of this module are those in the slots, the prompts, those of the changes and
    those of the tower that require a gradient. Frozen parameters of the backbone are not part of
    its state.

    Args:
        visual: a backbone's tower, or a copy from `with_own`.
        slots: one per block of a tower from `vit`; if empty, the blocks have no additional parts.
        prompts: (P, W) tokens that follow those of an image through all blocks.
        changes: replacements of some of the tower's parameters.
    """

    def __init__(
        self,
        visual: Any,
        slots: Sequence[Slots] = (),
        *,
        prompts: nn.Parameter | None = None,
        changes: Changes | None = None,
    ) -> None:
        super().__init__()
        blocks = len(image.reader(visual).blocks) if image.supports(visual) else 0
        if slots and len(slots) != blocks:
            raise ValueError("one Slots per block is needed")
        self.slots = nn.ModuleList(slots or [Slots() for _ in range(blocks)])
        self.own = nn.ParameterList(p for p in visual.parameters() if p.requires_grad)
        self.prompts = prompts
        self.changes = changes
        self._tower = [visual]  # in a list, so that frozen parameters are neither moved nor saved

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, W') pooled output, see `benchmarks.towers.image.pooled`."""
        slots = cast(Sequence[Slots], self.slots)

        def pooled(visual: Any) -> Tensor:
            return image.pooled(visual, images, slots, self.prompts)

        visual = self._tower[0]
        return pooled(visual) if self.changes is None else self.changes.within(visual, pooled)


def vit(backbone: Backbone, use: str = "adapters") -> Any:
    """The backbone's image tower, if its blocks can be changed.

    Args:
        backbone: any backbone.
        use: what the blocks are needed for, as in "adapters have no place in".

    Raises:
        NotApplicable: it is not a ViT of plain blocks.
    """
    visual: Any = backbone.model.visual
    if not image.supports(visual):
        raise NotApplicable(
            f"{use} have no place in the image tower of {backbone.id.name}, which is not a ViT of "
            "plain blocks"
        )
    return visual


def with_own(visual: Any, own: Callable[[str], bool]) -> Any:
    """A copy of a tower in which some parameters are copied and trained, the others shared.

    Args:
        visual: a backbone's tower; it is not changed.
        own: predicate on parameter names: True to copy and train.
    """
    tensors = [*visual.named_parameters(), *visual.named_buffers()]
    shared = {id(tensor): tensor for name, tensor in tensors if not own(name)}
    copied = copy.deepcopy(visual, shared)
    for name, parameter in copied.named_parameters():
        if own(name):
            parameter.requires_grad_()
    return copied


def project_to_width(visual: Any, features: Tensor) -> Tensor:
    """(n, D) joint features -> (n, W'), L2-normalised: norm(norm(t) @ proj^T), as in LIFT.

    The bias that some projections have is left out: a cosine head has none.
    """
    unit = F.normalize(features, dim=-1)
    layer = image.reader(visual).projection() if image.supports(visual) else None
    return unit if layer is None else F.normalize(unit @ layer.weight.float(), dim=-1)


class AdaptedClassifier(nn.Module):
    """An image tower and a head on its pooled output.

    Args:
        tower: (B, 3, H, W) -> (B, W).
        head: (B, W) -> (B, C).
        calibration: (B, C) -> (B, C), applied to the head's logits; trained with it.
    """

    def __init__(
        self, tower: AdaptedViT, head: nn.Module, calibration: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.tower = tower
        self.head = head
        self.calibration = calibration

    def uncalibrated(self, batch: Batch) -> Tensor:
        """B images -> (B, C) logits of the head."""
        x = self.tower(batch.inputs)
        # The head runs in full precision: rounded cosines tie, and argmax picks the first class.
        with torch.autocast(x.device.type, enabled=False):
            logits: Tensor = self.head(x.float())
        return logits

    def forward(self, batch: Batch) -> Tensor:
        """B images -> (B, C)."""
        logits = self.uncalibrated(batch)
        if self.calibration is not None:
            with torch.autocast(logits.device.type, enabled=False):
                logits = self.calibration(logits)
        return logits
