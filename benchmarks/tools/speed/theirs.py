"""The training step of LIFT's published code, from a checkout that the user has.

Nothing of that code is part of the suite (https://github.com/shijxcs/LIFT has it). Its modules are
imported from the checkout: the model, the loss, and the tuner's defaults by leaving settings unset.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.tools.checkouts import Checkout, Settings

FILES = ("clip/model.py", "models/models.py", "utils/losses.py")
"""Files of the checkout that are needed."""


def require(folder: Path) -> None:
    """Refuse a folder that is not a checkout of the published code.

    Raises:
        UserError: it lacks a file.
    """
    _checkout(folder)


def step(
    folder: Path, images: Tensor, classes: int, precision: str, width: int = 768, layers: int = 12
) -> Callable[[], None]:
    """Return a function that runs one optimiser step of the published code.

    Its parts are those of its training loop: forward, loss, backward, optimiser. The loop's
    meters and its scaler, which is for GPUs, are left out.

    Args:
        folder: the checkout.
        images: (B, 3, H, W), on the device to measure.
        classes: number of classes.
        precision: fp32, or bf16 under autocast.
        width: of the image tower; the default is that of ViT-B/16.
        layers: of the image tower.

    Raises:
        UserError: the folder is not the published code, or the code cannot be used.
    """
    theirs, device = _checkout(folder), images.device
    settings = Settings(
        backbone="CLIP-ViT-B/16", classifier="CosineClassifier", adaptformer=True, scale=30
    )
    clip, models, losses = theirs.modules("clip.model", "models.models", "utils.losses")
    with theirs.usable():
        tower = clip.CLIP(512, images.shape[-1], layers, width, 16, 77, 1000, 64, 1, 1).float()
        model: nn.Module = models.PeftModelFromCLIP(settings, tower, classes).to(device)
        criterion = losses.LogitAdjustedLoss(torch.ones(classes, device=device))
    model.requires_grad_(False)
    parts: Any = model
    tuned = [*parts.tuner.parameters(), *parts.head.parameters()]
    for parameter in tuned:
        parameter.requires_grad_()
    optimiser = torch.optim.SGD(tuned, lr=0.01, momentum=0.9, weight_decay=5e-4)
    labels = torch.arange(len(images), device=device) % classes

    def run() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = criterion(model(images), labels)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return run


def _checkout(folder: Path) -> Checkout:
    return Checkout(folder, "shijxcs/LIFT", FILES)
